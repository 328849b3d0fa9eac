import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { connect as connectMqtt, type MqttClient } from 'mqtt';
import {
  generate,
  type IConnackPacket,
  type IPublishPacket,
  type ISubackPacket,
  type ISubscribePacket,
  type IUnsubscribePacket,
} from 'mqtt-packet';
import { Complaints } from '#lib/complaints.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { parseTopic, serverNotes, statusTopic } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { nameOf } from './access.ts';
import type { Client, Exchange, ExchangeEvents } from './exchange.ts';
import { PacketFramer } from './packet-framer.ts';
import { PacketParser } from './packet-parser.ts';

export interface RemoteExchangeOptions {
  /** `mqtt://127.0.0.1:1884`, or `mqtts://…` with a certificate this machine trusts. */
  readonly url: string;
  /** This server's own account there. */
  readonly username: string;
  readonly password: string;
  readonly log: Logger;
  readonly events: ExchangeEvents;
}

/** A client's connection to the broker behind. */
interface Upstream {
  readonly socket: Socket;
  /** SUBSCRIBE packets under way: the topics in their order, and which of them were refused here. */
  readonly subscribes: Map<number, readonly boolean[]>;
}

const MAX_PACKET = 512 * 1024;
/** What may wait for a broker that does not read, bytes. */
const MAX_UNREAD = 1024 * 1024;
const CONNECT_LIMIT_MS = 5_000;
const FAILURE = 0x80;
const CONNACK = 2;
const SUBACK = 9;

/**
 * The way to another broker (Mosquitto, EMQX), at which the cameras are. Each viewer that was let in here gets a
 * connection of its own there, under its thumbprint as the user name; every packet has passed the rules before it
 * gets this far. The server itself has one more, for presence and its notes to cameras.
 */
export class RemoteExchange implements Exchange {
  private readonly options: RemoteExchangeOptions;
  private readonly parser = new PacketParser();
  private readonly upstreams = new Map<Client, Upstream>();
  private readonly complaints: Complaints;
  private own: MqttClient | undefined;

  constructor(options: RemoteExchangeOptions) {
    this.options = options;
    this.complaints = new Complaints({ log: options.log });
  }

  /** Returns at once: a broker that starts later than this server is found when it is there. */
  async start(): Promise<void> {
    const { url, username, password, log } = this.options;
    const own = connectMqtt(url, {
      protocolVersion: 4,
      clientId: username,
      username,
      ...(password && { password }),
      reconnectPeriod: 2_000,
      writeCache: false,
    });
    this.own = own;
    own.on('connect', () => {
      log.info({ broker: url }, 'connected to the broker');
      own.subscribe(statusTopic('+' as Uid), { qos: 1 }, (error) => {
        if (error) log.error({ cause: errorText(error) }, 'the broker does not let this server read presence');
      });
    });
    own.on('error', (error) => log.warn({ broker: url, cause: errorText(error) }, 'no connection to the broker'));
    own.on('offline', () => log.warn({ broker: url }, 'no connection to the broker: trying again'));
    own.on('message', (topic, payload) => this.hear(topic, payload));
  }

  async stop(): Promise<void> {
    for (const { socket } of this.upstreams.values()) socket.destroy();
    this.own?.end(true);
  }

  async join(client: Client): Promise<void> {
    const upstream: Upstream = { socket: await this.reach(), subscribes: new Map() };
    const { socket } = upstream;
    this.upstreams.set(client, upstream);
    const framer = new PacketFramer();
    socket.on('data', (chunk: Buffer) => {
      try {
        framer.take(chunk, MAX_PACKET, (raw) => this.back(client, upstream, raw));
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', () => {});
    socket.once('close', () => client.connection.destroy(new Error('the broker closed the connection')));
    const { clientId, keepalive, identity } = client;
    const connect = {
      clientId,
      keepalive,
      username: nameOf(identity),
      protocolId: 'MQTT',
      protocolVersion: 4,
    } as const;
    socket.write(generate({ cmd: 'connect', clean: true, ...connect }));
  }

  leave(client: Client): void {
    const upstream = this.upstreams.get(client);
    this.upstreams.delete(client);
    upstream?.socket.destroy();
  }

  publish(client: Client, _packet: IPublishPacket, raw: Buffer): void {
    this.forward(client, raw);
  }

  subscribe(client: Client, packet: ISubscribePacket, refused: ReadonlySet<string>): void {
    const allowed = packet.subscriptions.filter(({ topic }) => !refused.has(topic));
    const messageId = packet.messageId!;
    if (allowed.length === 0) {
      client.connection.send({ cmd: 'suback', messageId, granted: packet.subscriptions.map(() => FAILURE) });
      return;
    }
    const pattern = packet.subscriptions.map(({ topic }) => refused.has(topic));
    this.upstreams.get(client)?.subscribes.set(messageId, pattern);
    this.forward(client, generate({ cmd: 'subscribe', messageId, subscriptions: allowed }));
  }

  unsubscribe(client: Client, _packet: IUnsubscribePacket, raw: Buffer): void {
    this.forward(client, raw);
  }

  ping(client: Client, raw: Buffer): void {
    this.forward(client, raw);
  }

  acknowledged(client: Client, raw: Buffer): void {
    this.forward(client, raw);
  }

  tell(uid: Uid, payload: Buffer): void {
    // Not kept for later: what it says would be old by then.
    if (this.own?.connected) this.own.publish(serverNotes(uid), payload, { qos: 1 });
  }

  private hear(name: string, payload: Buffer): void {
    const topic = parseTopic(name);
    if (topic?.kind !== 'status') return;
    try {
      this.options.events.status(topic.uid, payload);
    } catch (error) {
      // That broker checks no forms.
      if (!(error instanceof ProtocolError)) throw error;
      this.complaints.about(topic.uid, {}, `status not used: ${error.message}`);
    }
  }

  private async reach(): Promise<Socket> {
    const { protocol, hostname, port } = new URL(this.options.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    const isTls = protocol === 'mqtts:';
    const place = { host, port: Number(port || (isTls ? 8883 : 1883)) };
    const socket = isTls ? connectTls({ ...place, servername: host }) : connectTcp({ ...place, noDelay: true });
    const limit = setTimeout(() => socket.destroy(new Error('it does not answer')), CONNECT_LIMIT_MS);
    try {
      await once(socket, isTls ? 'secureConnect' : 'connect');
    } catch (error) {
      const text = `the broker cannot be reached: ${errorText(error)}`;
      throw new AppError('server.broker', text, { cause: error, retry: true });
    } finally {
      clearTimeout(limit);
    }
    return socket;
  }

  private forward(client: Client, raw: Buffer): void {
    const socket = this.upstreams.get(client)?.socket;
    if (!socket || socket.destroyed) return;
    if (socket.writableLength > MAX_UNREAD) socket.destroy();
    else socket.write(raw);
  }

  /** What the broker says to the client. */
  private back(client: Client, upstream: Upstream, raw: Buffer): boolean {
    const type = raw[0]! >> 4;
    if (type === CONNACK) this.checkAdmission(raw);
    if (type === SUBACK) {
      const packet = this.parser.parse(raw) as ISubackPacket;
      const pattern = upstream.subscribes.get(packet.messageId!);
      upstream.subscribes.delete(packet.messageId!);
      const granted = (packet.granted as number[]).values();
      const all = pattern?.map((isRefused) => (isRefused ? FAILURE : (granted.next().value ?? FAILURE)));
      client.connection.send({ ...packet, granted: all ?? packet.granted });
      return true;
    }
    client.connection.sendRaw(raw);
    return true;
  }

  private checkAdmission(raw: Buffer): void {
    const { returnCode } = this.parser.parse(raw) as IConnackPacket;
    if (returnCode) this.options.log.error({ returnCode }, 'the broker refuses viewers: see its configuration');
  }
}
