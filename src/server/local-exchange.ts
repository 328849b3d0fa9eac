import { randomInt } from 'node:crypto';
import type { IPublishPacket, ISubscribePacket, IUnsubscribePacket } from 'mqtt-packet';
import { parseTopic, serverNotes } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Client, Exchange, ExchangeEvents } from './exchange.ts';

interface Seat {
  readonly client: Client;
  readonly qos: 0 | 1;
}

/** Longest that a viewer's message is kept back, ms. */
const MAX_DELAY_MS = 3;
const FAILURE = 0x80;
const MAX_MESSAGE_ID = 65_535;

/**
 * The broker inside peercam-server. It needs no wildcards, queues or sessions, since nobody here may use them: a topic
 * is a key in a table. A message is acknowledged before anybody looks whether somebody listens, and handed over later:
 * its sender cannot tell by the answer, nor by its time, whether there is such a camera.
 */
export class LocalExchange implements Exchange {
  private readonly events: ExchangeEvents;
  private readonly clients = new Map<string, Client>();
  /** Almost every topic has one listener: a set is made for the second only. */
  private readonly seats = new Map<string, Seat | Seat[]>();
  private readonly topics = new Map<Client, string[]>();
  private readonly retained = new Map<string, Buffer>();
  /** Viewers' messages that are on their way to cameras. */
  private readonly posted: IPublishPacket[] = [];
  private messageId = 0;
  private stopped = false;

  constructor(options: { events: ExchangeEvents }) {
    this.events = options.events;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.stopped = true;
  }

  async join(client: Client): Promise<void> {
    const former = this.clients.get(client.clientId);
    if (former) {
      former.connection.destroy(new Error('another connection with the same identity has taken its place'));
      this.leave(former);
    }
    this.clients.set(client.clientId, client);
    client.connection.send({ cmd: 'connack', returnCode: 0, sessionPresent: false });
  }

  leave(client: Client): void {
    if (this.clients.get(client.clientId) !== client) return;
    this.clients.delete(client.clientId);
    for (const topic of this.topics.get(client) ?? []) this.unseat(client, topic);
    this.topics.delete(client);
    // When the server stops, it is not the cameras that went away.
    const will = this.stopped ? undefined : client.will?.();
    client.will = undefined;
    if (will) this.deliver(will.topic, will.payload, will.retain);
  }

  publish(client: Client, packet: IPublishPacket): void {
    if (packet.qos === 1) client.connection.send({ cmd: 'puback', messageId: packet.messageId! });
    if (client.identity.kind === 'camera') this.deliver(packet.topic, packet.payload as Buffer, packet.retain);
    else this.deliverSoon(packet);
  }

  subscribe(client: Client, packet: ISubscribePacket, refused: ReadonlySet<string>): void {
    const granted = packet.subscriptions.map(({ topic, qos }) => {
      if (refused.has(topic)) return FAILURE;
      const given = qos === 0 ? 0 : 1;
      this.seat({ client, qos: given }, topic);
      return given;
    });
    client.connection.send({ cmd: 'suback', messageId: packet.messageId!, granted });
    packet.subscriptions.forEach(({ topic }, i) => {
      if (granted[i] !== FAILURE) this.greet({ client, qos: granted[i] as 0 | 1 }, topic);
    });
  }

  unsubscribe(client: Client, packet: IUnsubscribePacket): void {
    for (const topic of packet.unsubscriptions) {
      const topics = this.topics.get(client) ?? [];
      if (!topics.includes(topic)) continue;
      this.unseat(client, topic);
      this.topics.set(
        client,
        topics.filter((other) => other !== topic),
      );
    }
    client.connection.send({ cmd: 'unsuback', messageId: packet.messageId! } as never);
  }

  ping(client: Client): void {
    client.connection.send({ cmd: 'pingresp' });
  }

  /** Nothing is sent twice within a connection (MQTT 3.1.1 section 4.4), and nothing kept beyond it. */
  acknowledged(): void {}

  tell(uid: Uid, payload: Buffer): void {
    this.deliver(serverNotes(uid), payload, false);
  }

  /**
   * Encrypting a message for a camera takes a tenth of a millisecond, in which its sender's next packet would wait:
   * with enough of them that could be measured. At a moment of chance it cannot be told from what others cause.
   */
  private deliverSoon(packet: IPublishPacket): void {
    if (this.posted.push(packet) > 1) return;
    setTimeout(
      () => {
        for (const { topic, payload } of this.posted.splice(0)) this.deliver(topic, payload as Buffer, false);
      },
      randomInt(1, MAX_DELAY_MS + 1),
    );
  }

  private deliver(topic: string, payload: Buffer, retain: boolean): void {
    if (retain) {
      // A copy: the payload is a piece of a larger buffer, which would be kept with it.
      this.retained.set(topic, Buffer.from(payload));
      const parsed = parseTopic(topic);
      if (parsed?.kind === 'status') this.events.status(parsed.uid, payload);
    }
    const seats = this.seats.get(topic);
    if (!seats) return;
    for (const seat of Array.isArray(seats) ? [...seats] : [seats]) this.hand(seat, topic, payload, false);
  }

  /** What somebody who begins to listen is told at once. */
  private greet(seat: Seat, topic: string): void {
    const payload = this.retained.get(topic);
    if (payload) this.hand(seat, topic, payload, true);
    const parsed = parseTopic(topic);
    if (parsed?.kind === 'server-notes') this.events.listening(parsed.uid);
  }

  private hand({ client, qos }: Seat, topic: string, payload: Buffer, retain: boolean): void {
    this.messageId = (this.messageId % MAX_MESSAGE_ID) + 1;
    const { messageId } = this;
    client.connection.send({ cmd: 'publish', topic, payload, qos, retain, dup: false, ...(qos > 0 && { messageId }) });
  }

  private seat(seat: Seat, topic: string): void {
    this.unseat(seat.client, topic);
    const others = this.seats.get(topic);
    if (!others) this.seats.set(topic, seat);
    else this.seats.set(topic, Array.isArray(others) ? [...others, seat] : [others, seat]);
    const topics = this.topics.get(seat.client);
    if (!topics) this.topics.set(seat.client, [topic]);
    else if (!topics.includes(topic)) topics.push(topic);
  }

  private unseat(client: Client, topic: string): void {
    const seats = this.seats.get(topic);
    if (!seats) return;
    if (!Array.isArray(seats)) {
      if (seats.client === client) this.seats.delete(topic);
      return;
    }
    const others = seats.filter((seat) => seat.client !== client);
    if (others.length === 0) this.seats.delete(topic);
    else this.seats.set(topic, others.length === 1 ? others[0]! : others);
  }
}
