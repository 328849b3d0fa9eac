import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { Aedes, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket } from 'aedes';
import { Complaints } from '#lib/complaints.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { parseTopic } from '#protocol/topics.ts';
import type { AccessRules, Peer } from './access.ts';
import { PacketGate } from './packet-gate.ts';
import { Presence } from './presence.ts';

export interface BrokerLimits {
  /** Connections at once, TCP and WebSocket together. */
  readonly clients: number;
  /** Packets per second one client may send on average; four times as many at once. */
  readonly packetsPerSecond: number;
}

export interface BrokerOptions {
  readonly log: Logger;
  readonly access: AccessRules;
  readonly limits: BrokerLimits;
}

/** Longest MQTT packet, bytes: a sealed message is at most half of it. */
const MAX_PACKET = 256 * 1024;
/** What may wait for a client that does not read, bytes: far more than any honest viewer has coming. */
const MAX_UNREAD = 1024 * 1024;
/** A viewer watches one mailbox and the status of some cameras. */
const MAX_SUBSCRIPTIONS = 256;
/** CONNACK codes, MQTT 3.1.1 table 3.1. */
const VERSION_REFUSED = 1;
const NOT_AUTHORIZED = 5;

/**
 * The embedded MQTT 3.1.1 broker. It lets through peercam's topics only: a status is retained and well-formed, a
 * mailbox never retained; nobody subscribes with wildcards, so nobody can list cameras or viewers. Whoever breaks
 * a rule is disconnected, as MQTT 3.1.1 demands (section 3.3.5), and named in the log.
 */
export class Broker {
  private readonly access: AccessRules;
  private readonly limits: BrokerLimits;
  private readonly log: Logger;
  private readonly complaints: Complaints;
  private readonly presence: Presence;
  private readonly connections = new Set<PacketGate>();
  private readonly peers = new WeakMap<Client, Peer>();
  private aedes: Aedes | undefined;

  constructor(options: BrokerOptions) {
    this.access = options.access;
    this.limits = options.limits;
    this.log = options.log;
    this.complaints = new Complaints({ log: options.log });
    this.presence = new Presence({ log: options.log });
  }

  async start(): Promise<void> {
    this.aedes = await Aedes.createBroker({
      connectTimeout: 10_000,
      // A client that lets MAX_UNREAD pile up is let go at once: while the broker waits for one, it makes all wait.
      drainTimeout: 100,
      preConnect: (client, packet, done) => this.preConnect(client, packet, done),
      authenticate: (client, username, password, done) => {
        void this.authenticate(client, username, password).then(
          (refusal) => done(refusal ?? null, refusal === undefined),
          (error) => {
            this.log.error({ err: error }, 'the access rules failed');
            done(refused('internal error'), false);
          },
        );
      },
      authorizePublish: (client, packet, done) => done(this.refusalToPublish(client, packet)),
      authorizeSubscribe: (client, subscription, done) => {
        const refusal = this.refusalToSubscribe(client, subscription.topic);
        if (refusal) this.complain(client, `subscription refused: ${refusal}`, { topic: clipped(subscription.topic) });
        done(null, refusal === undefined ? subscription : null);
      },
    });
    this.aedes.on('clientError', (client, error) => this.complain(client, `disconnected: ${errorText(error)}`));
    this.aedes.on('connectionError', (client, error) => {
      // A camera that asks for MQTT 5 first and then takes 3.1.1 is nothing to complain about.
      if ('errorCode' in error && error.errorCode === VERSION_REFUSED) return;
      this.complain(client, `not connected: ${errorText(error)}`);
    });
    this.aedes.on('publish', (packet) => {
      const topic = parseTopic(packet.topic);
      if (topic?.kind === 'status') this.presence.note(topic.uid, Buffer.from(packet.payload));
    });
  }

  /** Serves one connection. @param request the HTTP request, where the connection began as one */
  accept(stream: Duplex, address: string | undefined, request?: IncomingMessage): void {
    if (!this.aedes || this.connections.size >= this.limits.clients) {
      this.complaints.about('server', { limit: this.limits.clients }, 'connection refused: too many clients');
      stream.on('error', () => {});
      stream.destroy();
      return;
    }
    const { packetsPerSecond } = this.limits;
    const gate = new PacketGate(stream, {
      maxPacket: MAX_PACKET,
      maxUnread: MAX_UNREAD,
      packetsPerSecond,
      burst: 4 * packetsPerSecond,
    });
    this.connections.add(gate);
    gate.once('close', () => this.connections.delete(gate));
    const client = this.aedes.handle(gate, request);
    this.peers.set(client, { clientId: '', ...(address && { address }) });
  }

  /** Ends all connections. */
  async stop(): Promise<void> {
    const aedes = this.aedes;
    this.aedes = undefined;
    if (!aedes) return;
    // The cameras do not go offline, the server does: no news about them from here on.
    aedes.removeAllListeners('publish');
    aedes.removeAllListeners('clientError');
    aedes.removeAllListeners('connectionError');
    for (const connection of this.connections) connection.destroy();
    await new Promise<void>((resolve) => aedes.close(resolve));
  }

  private preConnect(
    client: Client,
    packet: ConnectPacket,
    done: (error: Error | null, success: boolean) => void,
  ): void {
    const { clientId, username, will } = packet;
    const peer: Peer = { ...this.peerOf(client), clientId: clipped(clientId), ...(username && { username }) };
    this.peers.set(client, peer);
    const refusal = will && this.refusalOfForm(will as PublishPacket);
    done(refusal ? new Error(`last will refused: ${refusal}`) : null, refusal === undefined);
  }

  private async authenticate(
    client: Client,
    _username: string | undefined,
    password: Buffer | undefined,
  ): Promise<AuthenticateError | undefined> {
    const refusal = await this.access.connect(this.peerOf(client), password);
    return refusal === undefined ? undefined : refused(refusal);
  }

  /** @param client null for what the broker itself says about the cluster */
  private refusalToPublish(client: Client | null, packet: PublishPacket): Error | null {
    if (!client) return null;
    const topic = parseTopic(packet.topic);
    const refusal = this.refusalOfForm(packet) ?? (topic && this.access.publish(this.peerOf(client), topic));
    if (refusal) return new Error(`message to ${clipped(packet.topic)} refused: ${refusal}`);
    if (topic?.kind === 'status' && isWill(client, packet)) {
      packet.payload = this.presence.stamp(Buffer.from(packet.payload), Date.now());
    }
    return null;
  }

  /** What is wrong with a message whoever may have sent it. */
  private refusalOfForm(packet: PublishPacket): string | undefined {
    const topic = parseTopic(packet.topic);
    if (!topic) return 'not a topic of peercam';
    if (topic.kind !== 'status') return packet.retain ? 'a mailbox takes no retained messages' : undefined;
    if (!packet.retain) return 'a status must be retained';
    try {
      this.presence.parse(Buffer.from(packet.payload));
      return undefined;
    } catch (error) {
      if (error instanceof ProtocolError) return error.message;
      throw error;
    }
  }

  private refusalToSubscribe(client: Client, filter: string): string | undefined {
    const topic = parseTopic(filter);
    if (!topic) return 'not a topic of peercam, or one with wildcards';
    if (Object.keys(subscriptionsOf(client)).length >= MAX_SUBSCRIPTIONS) return 'too many subscriptions';
    return this.access.subscribe(this.peerOf(client), topic);
  }

  private complain(client: Client, message: string, fields: object = {}): void {
    const { clientId, address, username } = this.peerOf(client);
    this.complaints.about(address ?? 'unknown', { clientId, ...(username && { username }), ...fields }, message);
  }

  private peerOf(client: Client): Peer {
    return this.peers.get(client) ?? { clientId: clipped(client.id ?? '') };
  }
}

/** aedes hands a client's will to `authorizePublish` as the very object it keeps. */
function isWill(client: Client, packet: PublishPacket): boolean {
  return (client as Client & { will?: unknown }).will === packet;
}

function subscriptionsOf(client: Client): object {
  return (client as Client & { subscriptions?: object }).subscriptions ?? {};
}

function refused(message: string): AuthenticateError {
  return Object.assign(new Error(message), { returnCode: NOT_AUTHORIZED });
}

/** Text from outside, short enough for a log line. */
function clipped(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
