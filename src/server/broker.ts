import type { Duplex } from 'node:stream';
import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet';
import { Complaints } from '#lib/complaints.ts';
import { AppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { parseTopic } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { type Identity, nameOf, refusalOfClientId, refusalToRead, refusalToWrite } from './access.ts';
import type { Client, Exchange, Will } from './exchange.ts';
import { MailboxLimits } from './mailbox-limits.ts';
import { type ConnectionOwner, MqttConnection } from './mqtt-connection.ts';
import { PacketParser } from './packet-parser.ts';
import type { Presence } from './presence.ts';
import { RateLimit } from './rate-limit.ts';
import type { Tokens } from './tokens.ts';

export interface BrokerLimits {
  /** Connections at once, cameras and viewers together. */
  readonly clients: number;
  /** Packets per second one camera or viewer may send on average, four times as many at once. */
  readonly packetsPerSecond: number;
  /** Connections one viewer may have at once: its open pages. */
  readonly connectionsPerViewer: number;
  /** Messages per second to one camera's mailbox on average, four times as many at once. */
  readonly messagesPerCamera: number;
}

export interface BrokerOptions {
  readonly log: Logger;
  readonly tokens: Tokens;
  readonly exchange: Exchange;
  readonly presence: Presence;
  readonly limits: BrokerLimits;
}

/** What is known of a peer when its connection begins. */
export interface Visitor {
  /** IP address. */
  readonly address: string | undefined;
  /** The camera whose certificate TLS has verified, and the names of its certificates (see RevocationList). */
  readonly camera?: { readonly uid: Uid; readonly serials: readonly string[] };
}

interface Guest {
  readonly visitor: Visitor;
  readonly since: number;
  client: Client | undefined;
}

/** Longest MQTT packet, bytes: a sealed message is at most half of it. */
const MAX_PACKET = 256 * 1024;
/** Longest one of somebody whose name is not known yet: a token and a will fit. */
const MAX_FIRST_PACKET = 16 * 1024;
const CONNECT_LIMIT_MS = 10_000;
const SWEEP_EVERY_MS = 1_000;
/** CONNACK codes, MQTT 3.1.1 table 3.1. */
const VERSION_REFUSED = 1;
const UNAVAILABLE = 3;
const NOT_AUTHORIZED = 5;

/**
 * The door to the broker: MQTT 3.1.1 with peercam's rules. It knows who is there (a camera by its certificate, a
 * viewer by its token), lets through only what access.ts allows and what has the right form, keeps the limits, and
 * hands the rest to an exchange. Whoever breaks a rule is disconnected, as MQTT 3.1.1 demands (section 3.3.5), and
 * named in the log; a subscription that is not allowed is answered with a failure.
 */
export class Broker implements ConnectionOwner {
  readonly parser = new PacketParser();
  private readonly options: BrokerOptions;
  private readonly log: Logger;
  private readonly complaints: Complaints;
  private readonly packets: RateLimit;
  private readonly mailboxes: MailboxLimits;
  private readonly guests = new Map<MqttConnection, Guest>();
  private readonly pages = new Map<string, number>();
  private sweeping: NodeJS.Timeout | undefined;

  constructor(options: BrokerOptions) {
    const { log, limits } = options;
    this.options = options;
    this.log = log;
    this.complaints = new Complaints({ log });
    this.packets = new RateLimit({ perSecond: limits.packetsPerSecond, burst: 4 * limits.packetsPerSecond });
    this.mailboxes = new MailboxLimits({ messagesPerCamera: limits.messagesPerCamera });
  }

  async start(): Promise<void> {
    await this.options.exchange.start();
    this.sweeping = setInterval(() => this.sweep(), SWEEP_EVERY_MS);
  }

  /** Serves one connection. */
  accept(stream: Duplex, visitor: Visitor): void {
    const { clients } = this.options.limits;
    if (!this.sweeping || this.guests.size >= clients) {
      this.complaints.about('server', { limit: clients }, 'connection refused: too many clients');
      stream.on('error', () => {});
      stream.destroy();
      return;
    }
    const connection = new MqttConnection(stream, this);
    this.guests.set(connection, { visitor, since: connection.heardAt, client: undefined });
    connection.start();
  }

  /** Ends the connections of cameras with such a certificate. */
  endRevoked(isRevoked: (serials: readonly string[]) => boolean): void {
    for (const [connection, { visitor }] of this.guests) {
      if (visitor.camera && isRevoked(visitor.camera.serials)) {
        connection.destroy(new Error('the certificate of this camera has been revoked'));
      }
    }
  }

  /** Ends all connections. */
  async stop(): Promise<void> {
    clearInterval(this.sweeping);
    this.sweeping = undefined;
    await this.options.exchange.stop();
    for (const connection of this.guests.keys()) connection.destroy();
  }

  maxPacket(connection: MqttConnection): number {
    return this.guests.get(connection)?.client ? MAX_PACKET : MAX_FIRST_PACKET;
  }

  packet(connection: MqttConnection, packet: Packet, raw: Buffer): void {
    const guest = this.guests.get(connection);
    if (!guest) return;
    if (guest.client) {
      this.serve(guest.client, packet, raw);
      return;
    }
    if (packet.cmd !== 'connect') throw new Error('the first packet is not a CONNECT');
    connection.hold();
    void this.welcome(connection, guest, packet).finally(() => connection.release());
  }

  closed(connection: MqttConnection, error: Error | undefined): void {
    const guest = this.guests.get(connection);
    this.guests.delete(connection);
    const client = guest?.client;
    if (guest && error) this.complain(guest, `${client ? 'disconnected' : 'not connected'}: ${error.message}`, error);
    if (client) this.dismiss(client);
  }

  private async welcome(connection: MqttConnection, guest: Guest, packet: IConnectPacket): Promise<void> {
    if (packet.protocolVersion !== 4) {
      // A camera that asks for MQTT 5 first and then takes 3.1.1 is nothing to complain about.
      connection.end({ cmd: 'connack', returnCode: VERSION_REFUSED, sessionPresent: false });
      return;
    }
    try {
      const identity = await this.identify(guest.visitor, packet);
      const client = this.clientFor(connection, identity, packet);
      // The place of a former connection is given away here, to nobody who has not come past all of the above.
      await this.options.exchange.join(client);
      if (connection.closed) this.options.exchange.leave(client);
      else this.enter(guest, client);
    } catch (error) {
      if (!isRefusal(error)) this.log.error({ err: error }, 'a connection could not be set up');
      const returnCode = error instanceof AppError && error.retry ? UNAVAILABLE : NOT_AUTHORIZED;
      const told = isRefusal(error) ? error : new Error('internal error');
      connection.end({ cmd: 'connack', returnCode, sessionPresent: false }, told);
    }
  }

  private async identify({ camera }: Visitor, { username, password }: IConnectPacket): Promise<Identity> {
    if (camera) return { kind: 'camera', uid: camera.uid };
    if (!password) throw new ProtocolError('connection', 'password', 'a token is needed');
    const identity = await this.options.tokens.identify(password.toString('latin1'));
    if (nameOf(identity) !== username) throw new ProtocolError('connection', 'username', 'not whose token it is');
    return identity;
  }

  private clientFor(connection: MqttConnection, identity: Identity, packet: IConnectPacket): Client {
    const { clientId, clean, keepalive = 0, will } = packet;
    const refusal = refusalOfClientId(identity, clientId);
    if (refusal) throw new ProtocolError('connection', 'client id', refusal);
    if (!clean) throw new ProtocolError('connection', 'clean session', 'nothing is kept for who is away');
    if (identity.kind === 'viewer' && this.pagesOf(identity) >= this.options.limits.connectionsPerViewer) {
      throw new ProtocolError('connection', '', 'this viewer has too many connections');
    }
    const client: Client = { connection, identity, clientId, keepalive, will: undefined };
    if (will) client.will = this.willOf(identity, will as unknown as IPublishPacket);
    return client;
  }

  private willOf(identity: Identity, packet: IPublishPacket): () => Will {
    const refusal = this.refusalOf(identity, packet);
    if (refusal) throw new ProtocolError('connection', 'last will', refusal);
    const { topic, retain } = packet;
    // A copy: the packet is a piece of a larger buffer, and this lives as long as the connection.
    const payload = Buffer.from(packet.payload as Buffer);
    const isStatus = parseTopic(topic)?.kind === 'status';
    const { presence } = this.options;
    return () => ({ topic, retain, payload: isStatus ? presence.stamp(payload, Date.now()) : payload });
  }

  private enter(guest: Guest, client: Client): void {
    guest.client = client;
    const { identity } = client;
    if (identity.kind === 'viewer') this.pages.set(identity.thumbprint, this.pagesOf(identity) + 1);
  }

  private dismiss(client: Client): void {
    const { identity } = client;
    if (identity.kind === 'viewer') {
      const left = this.pagesOf(identity) - 1;
      if (left > 0) this.pages.set(identity.thumbprint, left);
      else this.pages.delete(identity.thumbprint);
    }
    this.options.exchange.leave(client);
  }

  private pagesOf(identity: Identity): number {
    return this.pages.get(nameOf(identity)) ?? 0;
  }

  private serve(client: Client, packet: Packet, raw: Buffer): void {
    const { exchange } = this.options;
    this.charge(client, this.packets.take(nameOf(client.identity)), 'packets');
    switch (packet.cmd) {
      case 'publish':
        this.publish(client, packet, raw);
        break;
      case 'subscribe':
        this.subscribe(client, packet);
        break;
      case 'unsubscribe':
        exchange.unsubscribe(client, packet, raw);
        break;
      case 'pingreq':
        exchange.ping(client, raw);
        break;
      case 'puback':
        exchange.acknowledged(client, raw);
        break;
      case 'disconnect':
        client.will = undefined;
        client.connection.destroy();
        break;
      default:
        throw new Error(`a ${packet.cmd} packet has no place here`);
    }
  }

  private publish(client: Client, packet: IPublishPacket, raw: Buffer): void {
    const { identity } = client;
    const refusal = this.refusalOf(identity, packet);
    if (refusal) throw new Error(`message to ${clipped(packet.topic)} refused: ${refusal}`);
    const topic = parseTopic(packet.topic)!;
    if (topic.kind === 'camera-inbox') {
      const verdict = this.mailboxes.take(nameOf(identity), topic.uid);
      if (verdict === 'refuse') throw new Error('too many messages to one camera');
      this.charge(client, verdict, 'messages to one camera');
    }
    this.options.exchange.publish(client, packet, raw);
  }

  /** What is wrong with a message or a will. The same for every camera, known or not. */
  private refusalOf(identity: Identity, packet: IPublishPacket): string | undefined {
    const topic = parseTopic(packet.topic);
    if (!topic) return 'not a topic of peercam';
    const refusal = refusalToWrite(identity, topic);
    if (refusal) return refusal;
    // Half-finished QoS 2 deliveries would have to be kept.
    if (packet.qos > 1) return 'QoS 2 is not spoken here';
    if (topic.kind !== 'status') return packet.retain ? 'a mailbox takes no retained messages' : undefined;
    if (!packet.retain) return 'a status must be retained';
    try {
      this.options.presence.parse(packet.payload as Buffer);
      return undefined;
    } catch (error) {
      if (error instanceof ProtocolError) return error.message;
      throw error;
    }
  }

  private subscribe(client: Client, packet: ISubscribePacket): void {
    const refused = new Set<string>();
    for (const { topic } of packet.subscriptions) {
      const refusal = this.refusalToSubscribe(client.identity, topic);
      if (refusal === undefined) continue;
      refused.add(topic);
      this.complain(this.guests.get(client.connection)!, `subscription to ${clipped(topic)} refused: ${refusal}`);
    }
    this.options.exchange.subscribe(client, packet, refused);
  }

  private refusalToSubscribe(identity: Identity, filter: string): string | undefined {
    const topic = parseTopic(filter);
    return topic ? refusalToRead(identity, topic) : 'not a topic of peercam, or one with wildcards';
  }

  /** Makes one who is in debt wait until it is paid. */
  private charge(client: Client, debtMs: number, what: string): void {
    if (debtMs <= 0) return;
    client.connection.holdFor(debtMs);
    this.complain(this.guests.get(client.connection)!, `slowed down: too many ${what}`);
  }

  private sweep(): void {
    const now = performance.now();
    const time = Date.now();
    for (const [connection, { client, since }] of this.guests) {
      if (!client) {
        if (now - since > CONNECT_LIMIT_MS) connection.destroy(new Error('no CONNECT in time'));
      } else if (client.keepalive > 0 && now - connection.heardAt > client.keepalive * 1_500) {
        connection.destroy(new Error('nothing heard of it any more'));
      } else if (client.identity.kind === 'viewer' && client.identity.expiresAt <= time) {
        // It comes back with a new one; its log line would be one an hour for everybody who watches.
        connection.destroy();
      }
    }
  }

  private complain({ visitor, client }: Guest, message: string, error?: Error): void {
    const { address = 'unknown', camera } = visitor;
    const who = client ? nameOf(client.identity) : (camera?.uid ?? address);
    // A line that broke is nobody's fault.
    if (error && 'code' in error && !isRefusal(error)) this.log.debug({ from: who, address }, message);
    else this.complaints.about(who, { address, ...(client && { clientId: client.clientId }) }, message);
  }
}

function isRefusal(error: unknown): error is Error {
  return error instanceof ProtocolError || error instanceof AppError;
}

/** Text from outside, short enough for a log line. */
function clipped(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
