import type { MqttClient } from 'mqtt';
import { randomName } from '#identity/seal.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, stateSince, statusSchema } from '#protocol/status.ts';
import type { Token } from '#protocol/token.ts';
import { cameraInbox, parseTopic, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import type { IceServerEntry, ViewerConfig } from '#protocol/viewer-config.ts';
import type { Self } from '../memory/self.ts';
import { RetryPause } from './retry.ts';
import { fetchToken } from './token.ts';

const KEEPALIVE_SECONDS = 20;
const CONNECT_WITHIN_MS = 10_000;
/** Kept open this long when nobody needs it: the next page of this viewer then finds it open. */
const LINGER_MS = 2000;
/** A new token means a new connection; a call that is being set up has this long to finish on the old one. */
const SETTLED_MS = 4000;
/** A token this near its end is not shown any more, seconds. */
const SPARE_SECONDS = 30;

/** What a user of the broker hears. */
export interface BrokerEvents {
  /** The servers of a fresh token, relays with their credentials among them. */
  relays(iceServers: readonly IceServerEntry[]): void;
  /** Connected; these cameras' presence can be read. */
  online(readable: ReadonlySet<Uid>): void;
  lost(problem: string): void;
  /** The retained status, undefined where it was cleared; `fresh` when it was published just now. */
  status(uid: Uid, status: Status | undefined, fresh: boolean): void;
  /** One payload of this viewer's mailbox, of unknown content. */
  mail(payload: Uint8Array): void;
}

/** The broker as its users see it. */
export interface Post {
  /** Takes part from here on; the broker connects for its first user, and lets go after its last has left. */
  join(events: BrokerEvents): () => void;
  hurry(): void;
  /** Lost without a word where there is no connection: whoever waits for an answer notices. */
  publish(uid: Uid, payload: Uint8Array): void;
  /**
   * A new token with the grants as they are now; where it lists more cameras, then also a connection made with it:
   * soon, or `atOnce` where no call is being set up.
   */
  renew(how?: { readonly atOnce: boolean }): Promise<void>;
}

interface HeldToken extends Token {
  /** ms, on the scale of `performance.now()`. */
  readonly until: number;
}

/**
 * This viewer's place at the broker: its own mailbox, and the presence of the cameras that have given it a grant.
 * Connects, and keeps connecting; one MQTT client is one connection, so that when to try again is decided here.
 */
export class Broker implements Post {
  private readonly self: Promise<Self>;
  private readonly page: URL;
  private readonly loadConfig: () => Promise<ViewerConfig>;
  private readonly grants: (self: Self) => readonly string[];
  private readonly users = new Set<BrokerEvents>();
  private readonly pause = new RetryPause({ firstMs: 500, maxMs: 15_000 });
  private client: MqttClient | undefined;
  private connecting = false;
  private online = false;
  private token: HeldToken | undefined;
  /** The cameras that the connection's own token lists. */
  private readable: ReadonlySet<Uid> = new Set();
  private readonly heard = new Map<Uid, Status | undefined>();
  private usedNonce: string | undefined;
  private timers: { [name in 'retry' | 'linger' | 'renewal' | 'change']?: ReturnType<typeof setTimeout> } = {};

  /**
   * @param options.page the address of this page: relative addresses are completed from it
   * @param options.grants what is shown to the server, the most wanted first
   */
  constructor(options: {
    readonly self: Promise<Self>;
    readonly page: string;
    readonly loadConfig: () => Promise<ViewerConfig>;
    readonly grants: (self: Self) => readonly string[];
  }) {
    this.self = options.self;
    this.page = new URL(options.page);
    this.loadConfig = options.loadConfig;
    this.grants = options.grants;
  }

  join(events: BrokerEvents): () => void {
    clearTimeout(this.timers.linger);
    this.users.add(events);
    if (this.online) this.catchUp(events);
    else if (!this.connecting && !this.client) void this.connect();
    return () => {
      if (!this.users.delete(events) || this.users.size > 0) return;
      this.timers.linger = setTimeout(() => this.stop(), LINGER_MS);
    };
  }

  /** The page goes: nobody is told anything any more. */
  stop(): void {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.users.clear();
    this.online = false;
    this.heard.clear();
    // Not forced: a goodbye that was just published still leaves.
    this.client?.end();
    this.client = undefined;
  }

  hurry(): void {
    if (this.client || this.connecting || this.users.size === 0) return;
    clearTimeout(this.timers.retry);
    this.pause.reset();
    void this.connect();
  }

  publish(uid: Uid, payload: Uint8Array): void {
    // Not awaited: what is lost with the connection is noticed by the call it belongs to.
    if (this.client?.connected) this.client.publish(cameraInbox(uid), payload as Buffer, { qos: 1 });
  }

  async renew({ atOnce }: { readonly atOnce: boolean } = { atOnce: false }): Promise<void> {
    // Whoever connects later asks anew.
    this.token = undefined;
    if (!this.online) return;
    const token = await this.takeToken();
    if (!this.online || token.cameras.every((uid) => this.readable.has(uid))) return;
    clearTimeout(this.timers.change);
    this.timers.change = setTimeout(() => this.changeConnection(), atOnce ? 0 : SETTLED_MS);
  }

  /** What one who joins late has missed. */
  private catchUp(events: BrokerEvents): void {
    if (this.token) events.relays(this.token.iceServers);
    events.online(this.readable);
    for (const [uid, status] of this.heard) events.status(uid, status, false);
  }

  private changeConnection(): void {
    const { client } = this;
    this.client = undefined;
    this.online = false;
    client?.end();
    if (this.users.size > 0) void this.connect();
  }

  private async connect(): Promise<void> {
    this.connecting = true;
    let socket: WebSocket | undefined;
    try {
      const config = await this.loadConfig();
      // The handshake is under way while the token is fetched and the MQTT library is being loaded.
      socket = new WebSocket(brokerAddress(config.mqtt, this.page), 'mqtt');
      const [{ default: mqtt }, token, { key }] = await Promise.all([import('mqtt'), this.takeToken(), this.self]);
      this.connecting = false;
      if (this.users.size === 0) {
        socket.close();
        return;
      }
      if (socket.readyState > WebSocket.OPEN) throw new Error('the WebSocket was refused');
      const opened = socket;
      const client = mqtt.connect(opened.url, {
        createWebsocket: () => opened,
        protocolVersion: config.mqttVersion,
        clientId: `viewer-${key.thumbprint}-${randomName(6)}`,
        username: key.thumbprint,
        password: token.token,
        clean: true,
        keepalive: KEEPALIVE_SECONDS,
        connectTimeout: CONNECT_WITHIN_MS,
        reconnectPeriod: 0,
        resubscribe: false,
        queueQoSZero: false,
        // The default is a worker made of a blob, which the page's security policy rightly forbids.
        timerVariant: 'native',
      });
      this.client = client;
      this.listen(client, key.thumbprint, token);
    } catch (error) {
      this.connecting = false;
      socket?.close();
      this.lost(error instanceof Error ? error.message : String(error));
    }
  }

  private listen(client: MqttClient, thumbprint: string, token: Token): void {
    let problem = 'the connection closed';
    client.on('connect', () => {
      if (this.client !== client) return;
      // The broker takes packets in order, so the subscriptions stand before any answer: no need to wait for them.
      client.subscribe(viewerInbox(thumbprint), { qos: 1 }, (error) => {
        if (!error) return;
        problem = error.message;
        client.end(true);
      });
      if (token.cameras.length > 0) {
        client.subscribe(token.cameras.map(statusTopic), { qos: 1 }, (error) => {
          // Revoked since: the calls will tell.
          if (error) console.warn('peercam: a presence that cannot be read', error);
        });
      }
      this.pause.reset();
      this.online = true;
      this.heard.clear();
      this.readable = new Set(token.cameras);
      for (const user of [...this.users]) user.online(this.readable);
    });
    client.on('message', (topic, payload, packet) => {
      if (this.client !== client) return;
      const parsed = parseTopic(topic);
      if (parsed?.kind === 'status') {
        this.readStatus(parsed.uid, payload, packet.retain, packet.properties?.messageExpiryInterval);
      } else if (parsed?.kind === 'viewer-inbox') {
        for (const user of [...this.users]) user.mail(payload);
      }
    });
    client.on('error', (error) => {
      problem = error.message;
      // A token that was refused is not shown again.
      if ('code' in error) this.token = undefined;
      client.end(true);
    });
    client.on('close', () => {
      if (this.client !== client) return;
      this.client = undefined;
      client.end(true);
      this.lost(problem);
    });
  }

  private lost(problem: string): void {
    this.online = false;
    if (this.users.size === 0) return;
    for (const user of [...this.users]) user.lost(problem);
    this.timers.retry = setTimeout(() => void this.connect(), this.pause.next());
  }

  private readStatus(uid: Uid, payload: Uint8Array, retained: boolean, expirySeconds: number | undefined): void {
    try {
      // A retained message that was cleared: as if there had never been one.
      const read = payload.length === 0 ? undefined : parseJsonAs(statusSchema, payload, 'status', MAX_STATUS);
      const status = read && { ...read, since: stateSince(read, expirySeconds, Date.now()) };
      this.heard.set(uid, status);
      for (const user of [...this.users]) user.status(uid, status, !retained);
    } catch (error) {
      console.warn('peercam: a status that cannot be read', error);
    }
  }

  private async takeToken(): Promise<HeldToken> {
    if (this.token && performance.now() < this.token.until) return this.token;
    const [config, self] = await Promise.all([this.loadConfig(), this.self]);
    const nonce = config.nonce === this.usedNonce ? undefined : config.nonce;
    this.usedNonce = config.nonce;
    const url = new URL(config.token, this.page);
    const token = await fetchToken({ url, nonce, key: self.key, grants: this.grants(self) });
    const held = { ...token, until: performance.now() + (token.expiresIn - SPARE_SECONDS) * 1000 };
    this.token = held;
    for (const user of [...this.users]) user.relays(held.iceServers);
    // A relay's credentials end with the token: a call that is made later needs fresh ones at once.
    clearTimeout(this.timers.renewal);
    this.timers.renewal = setTimeout(() => this.refresh(), Math.max(10_000, token.expiresIn * 750));
    return held;
  }

  private refresh(): void {
    this.token = undefined;
    // While the server is away the next connection asks for itself.
    if (this.online) this.takeToken().catch((error: unknown) => console.warn('peercam: a fresh token', error));
  }
}

/** The broker's WebSocket address: absolute as configured, or a path at this page's host. */
function brokerAddress(configured: string, page: URL): string {
  const address = new URL(configured, page);
  if (address.protocol === 'http:') address.protocol = 'ws:';
  if (address.protocol === 'https:') address.protocol = 'wss:';
  return address.href;
}
