import type { Duplex } from 'node:stream';
import { type IClientOptions, type IPublishPacket, MqttClient } from 'mqtt';
import { Backoff } from '#lib/backoff.ts';
import { Complaints } from '#lib/complaints.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { MAX_MESSAGE } from '#protocol/message.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { type PublicKeyJwk, type Status, WILL_EXPIRY_SECONDS } from '#protocol/status.ts';
import { type ServerNotes, serverNotesSchema } from '#protocol/token.ts';
import { cameraInbox, isThumbprint, serverNotes, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';

export interface SignallingOptions {
  readonly uid: Uid;
  /**
   * A connection to the broker that is ready for MQTT: made, encrypted, and the server found to be the right one.
   * Rejects when there is none; an abort ends the attempt.
   */
  openStream(signal: AbortSignal): Promise<Duplex>;
  readonly firmware: string;
  readonly key: PublicKeyJwk;
  /** Hashes of thumbprints whose grants are revoked, as the status has them; read anew at every publication. */
  revoked?(): readonly string[];
  readonly log: Logger;
  /** One payload of the mailbox, of unknown content. The next one waits until the promise is settled. */
  onPayload(payload: Uint8Array): Promise<void>;
  /** What the server tells this camera: its clock, relay credentials. */
  onNotes?(notes: ServerNotes): void;
  /** True once viewers can reach the camera, false when they no longer can. */
  onState?(connected: boolean): void;
  /** 4 is MQTT 3.1.1. `auto` (the default) tries 5 and keeps to 4 once the broker has refused 5. */
  readonly mqttVersion?: 'auto' | 4 | 5;
}

/** A camera that vanishes without a word is noticed by the broker after one and a half times this. */
const KEEPALIVE_SECONDS = 20;
const CONNECT_TIMEOUT_MS = 10_000;
/** How long a goodbye may hold up the camera's shutdown. */
const GOODBYE_MS = 1_000;
/** A message for a viewer that nobody fetched in this time is worthless (MQTT 5 brokers then drop it). */
const MESSAGE_EXPIRY_SECONDS = 30;
/** Longest notes of the server, bytes. */
const MAX_NOTES = 8192;
const REPAIR_EVERY_MS = 1_000;
/** A connection that lasted this long was a good one: the next loss is a new one, not the same trouble again. */
const SETTLED_MS = 5_000;
/** Messages waiting to be opened; more than this at once come from no honest viewer. */
const MAX_WAITING = 128;
/** CONNACK codes for "I do not speak this version": MQTT 3.1.1 table 3.1, MQTT 5.0 section 3.2.2.2. */
const VERSION_REFUSED = new Set([1, 132]);
const SESSION_TAKEN_OVER = 142;

/**
 * The camera's place at the broker: presence, and the mailbox viewers write to.
 *
 * The client id is made of the UID, so there is one connection per camera: a second one (after a change of link,
 * before the broker has noticed that the first is dead) takes the first one's place. The broker then publishes the
 * first one's last will, *after* the new connection has said `online`: the camera therefore reads its own status
 * and repairs it.
 *
 * Nothing is queued, here or at the broker (clean session): a call is answered while the viewer waits, or never.
 */
export class Signalling {
  private readonly options: SignallingOptions;
  private readonly log: Logger;
  private readonly complaints: Complaints;
  private readonly backoff = new Backoff({ firstMs: 500, maxMs: 30_000 });
  private version: 4 | 5;
  private running = false;
  private online = false;
  private attempt: AbortController | undefined;
  private client: MqttClient | undefined;
  private retry: NodeJS.Timeout | undefined;
  private repair: NodeJS.Timeout | undefined;
  private repairedAt = Number.NEGATIVE_INFINITY;
  private onlineAt = 0;
  /** ms since 1970, as the status has it. */
  private onlineSince = 0;
  private troubled = false;
  /** The status as last published on this connection, to tell it from what others write there. */
  private published = '';
  private opening: Promise<void> = Promise.resolve();
  private waiting = 0;

  constructor(options: SignallingOptions) {
    this.options = options;
    this.log = options.log;
    this.complaints = new Complaints({ log: options.log });
    this.version = options.mqttVersion === 4 ? 4 : 5;
  }

  /** Connects, and keeps connecting. */
  start(): void {
    if (this.running) return;
    this.running = true;
    void this.connect();
  }

  /** Whether viewers can reach the camera: the mailbox is open and the status says `online`. */
  get connected(): boolean {
    return this.online;
  }

  /** Delivers a sealed payload to the broker. Rejects with an AppError when there is no connection or it breaks. */
  async send(to: string, payload: Uint8Array): Promise<void> {
    if (!isThumbprint(to)) throw new AppError('signalling.bad-address', `not sent: "${to}" is not a thumbprint`);
    const client = this.client;
    if (!client || !this.online) {
      throw new AppError('signalling.offline', 'not sent: there is no connection to the server', { retry: true });
    }
    try {
      await client.publishAsync(viewerInbox(to), Buffer.from(payload), {
        qos: 1,
        properties: { messageExpiryInterval: MESSAGE_EXPIRY_SECONDS },
      });
    } catch (error) {
      const text = `not sent: the connection to the server broke (${errorText(error)})`;
      throw new AppError('signalling.offline', text, { retry: true, cause: error });
    }
  }

  /** What the status says may have changed (a revocation): then it is published again, now or with the next connection. */
  refreshStatus(): void {
    const client = this.client;
    if (!client || !this.online) return;
    const status: Status = { state: 'online', since: this.onlineSince, ...this.selfDescription() };
    if (JSON.stringify(status) !== this.published) this.publishStatus(client, status).catch(() => {});
  }

  /** Says a retained goodbye and disconnects, within a second. `backBy`: when it expects to be back, ms since 1970. */
  async leave(options: { reason: string; backBy?: number }): Promise<void> {
    if (!this.running) return;
    this.running = false;
    clearTimeout(this.retry);
    this.attempt?.abort();
    const client = this.client;
    const wasOnline = this.online;
    this.forget();
    if (!client) return;
    const closed = new Promise<void>((resolve) => client.once('close', resolve));
    // Whatever holds the goodbye up, the stream goes; the broker then publishes the will instead.
    const limit = setTimeout(() => client.stream.destroy(), GOODBYE_MS);
    if (wasOnline) {
      const said = this.publishStatus(client, { state: 'leaving', since: Date.now(), ...options }).catch(() => {});
      await Promise.race([said, closed]);
      client.end();
    } else {
      client.end(true);
    }
    await closed;
    clearTimeout(limit);
    client.end(true);
  }

  /** The goodbye of a camera that is switched off. */
  stop(): Promise<void> {
    return this.leave({ reason: 'stopping' });
  }

  private async connect(): Promise<void> {
    const attempt = new AbortController();
    this.attempt = attempt;
    let stream: Duplex;
    try {
      stream = await this.options.openStream(
        AbortSignal.any([attempt.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
      );
    } catch (error) {
      if (this.attempt === attempt && this.running) this.tryAgain(error, 0);
      return;
    }
    if (attempt.signal.aborted) {
      stream.destroy();
      return;
    }
    this.follow(new MqttClient(() => stream, this.clientOptions()));
  }

  private follow(client: MqttClient): void {
    this.client = client;
    this.published = '';
    let cause: unknown;
    client.on('connect', () => void this.greet(client));
    client.on('message', (topic, payload, packet) => {
      if (this.client === client) this.receive(topic, payload, packet);
    });
    client.on('disconnect', (packet) => {
      cause = disconnectReason(packet.reasonCode);
    });
    client.on('error', (error) => {
      cause ??= error;
      client.end(true);
    });
    client.on('close', () => this.lost(client, cause));
  }

  private clientOptions(): IClientOptions {
    const { uid } = this.options;
    const will: Status = { state: 'offline', ...this.selfDescription() };
    return {
      protocolVersion: this.version,
      clientId: `cam-${uid}`,
      clean: true,
      keepalive: KEEPALIVE_SECONDS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      // One client is one connection: trying again, and with which version, is decided here.
      reconnectPeriod: 0,
      queueQoSZero: false,
      // Else mqtt keeps a Buffer for each of 65,536 packet ids: 7 MB, and the garbage collector walks them.
      writeCache: false,
      will: {
        topic: statusTopic(uid),
        payload: Buffer.from(JSON.stringify(will)),
        qos: 1,
        retain: true,
        ...(this.version === 5 && { properties: { messageExpiryInterval: WILL_EXPIRY_SECONDS } }),
      },
      // The broker keeps from us what we would drop anyway, before it costs a metered link anything.
      ...(this.version === 5 && { properties: { maximumPacketSize: MAX_MESSAGE + 1024 } }),
    };
  }

  /** Opens the mailbox first, then says `online`: whoever reads that can call at once. */
  private async greet(client: MqttClient): Promise<void> {
    const limit = setTimeout(() => client.stream.destroy(), CONNECT_TIMEOUT_MS);
    try {
      const { uid } = this.options;
      await client.subscribeAsync([cameraInbox(uid), statusTopic(uid), serverNotes(uid)], { qos: 1 });
      this.onlineSince = Date.now();
      await this.publishStatus(client, { state: 'online', since: this.onlineSince, ...this.selfDescription() });
    } catch (error) {
      if (this.client === client) client.emit('error', error instanceof Error ? error : new Error(String(error)));
      return;
    } finally {
      clearTimeout(limit);
    }
    if (this.client !== client) return;
    this.troubled = false;
    this.onlineAt = performance.now();
    this.setOnline(true);
    this.log.info(
      { mqtt: this.version === 5 ? '5' : '3.1.1' },
      'connected to the server: viewers can find this camera',
    );
  }

  private lost(client: MqttClient, cause: unknown): void {
    if (this.client !== client) return;
    const lasted = this.online ? performance.now() - this.onlineAt : 0;
    this.forget();
    // Fails what still waits for an acknowledgement; left alone, mqtt would keep it waiting for ever.
    client.end(true);
    if (!this.running) return;
    if (
      this.options.mqttVersion !== 4 &&
      this.options.mqttVersion !== 5 &&
      this.version === 5 &&
      refusesVersion(cause)
    ) {
      this.log.info({}, 'the server does not speak MQTT 5: going on with MQTT 3.1.1');
      this.version = 4;
      void this.connect();
      return;
    }
    this.tryAgain(cause, lasted);
  }

  /** @param lasted how long the connection that was lost had been good, ms; 0 where there was none */
  private tryAgain(cause: unknown, lasted: number): void {
    if (lasted > SETTLED_MS) this.backoff.reset();
    const delay = this.backoff.next();
    const fields = { cause: cause === undefined ? 'connection closed' : errorText(cause), retryMs: Math.round(delay) };
    // One warning an outage; the tries after it are of interest to who looks for them only.
    if (this.troubled) this.log.debug(fields, 'no connection to the server yet');
    else this.log.warn(fields, 'no connection to the server: viewers elsewhere cannot find this camera; trying again');
    this.troubled = true;
    this.retry = setTimeout(() => void this.connect(), delay);
  }

  private forget(): void {
    this.client = undefined;
    clearTimeout(this.repair);
    this.repair = undefined;
    this.setOnline(false);
  }

  private setOnline(online: boolean): void {
    if (this.online === online) return;
    this.online = online;
    this.options.onState?.(online);
  }

  private selfDescription(): Pick<Status, 'firmware' | 'key' | 'revoked'> {
    const { firmware, key, revoked } = this.options;
    const hashes = revoked?.() ?? [];
    return { firmware, key, ...(hashes.length > 0 && { revoked: [...hashes] }) };
  }

  private async publishStatus(client: MqttClient, status: Status): Promise<void> {
    this.published = JSON.stringify(status);
    await client.publishAsync(statusTopic(this.options.uid), this.published, { qos: 1, retain: true });
  }

  private receive(topic: string, payload: Buffer, packet: IPublishPacket): void {
    if (topic === statusTopic(this.options.uid)) {
      // Retained: how it stood before this connection, already overwritten by our own.
      if (!packet.retain && this.published && payload.toString() !== this.published) this.repairStatus();
      return;
    }
    if (topic === serverNotes(this.options.uid)) {
      this.readNotes(payload);
      return;
    }
    if (packet.retain) {
      this.complaints.about('unknown', {}, 'message dropped: it is retained, a call from the past');
      return;
    }
    if (this.waiting >= MAX_WAITING) {
      this.complaints.about('unknown', {}, 'message dropped: too many at once');
      return;
    }
    // One after the other: a candidate must not overtake its call because it was opened faster.
    this.waiting++;
    this.opening = this.opening.then(async () => {
      this.waiting--;
      await this.deliver(payload);
    });
  }

  private async deliver(payload: Buffer): Promise<void> {
    if (!this.running) return;
    try {
      await this.options.onPayload(payload);
    } catch (error) {
      this.log.error({ err: error, bytes: payload.length }, 'a message could not be handled');
    }
  }

  private readNotes(payload: Buffer): void {
    try {
      this.options.onNotes?.(parseJsonAs(serverNotesSchema, payload, 'notes of the server', MAX_NOTES));
    } catch (error) {
      this.complaints.about('server', { bytes: payload.length }, `notes dropped: ${errorText(error)}`);
    }
  }

  /** Writes our status over what somebody else (our own former connection's will, mostly) has put there. */
  private repairStatus(): void {
    if (this.repair) return;
    const wait = Math.max(0, this.repairedAt + REPAIR_EVERY_MS - performance.now());
    this.repair = setTimeout(() => {
      this.repair = undefined;
      this.repairedAt = performance.now();
      const client = this.client;
      if (!client) return;
      this.log.info({}, 'the status of this camera was overwritten at the server: published again');
      client.publish(statusTopic(this.options.uid), this.published, { qos: 1, retain: true }, () => {});
    }, wait);
  }
}

function refusesVersion(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && VERSION_REFUSED.has(Number(cause.code));
}

function disconnectReason(code: number | undefined): Error {
  if (code === SESSION_TAKEN_OVER) {
    return new Error('another connection has taken the place of this one: does a second device carry the same UID?');
  }
  return new Error(`the server ended the connection (MQTT reason ${code ?? 0})`);
}
