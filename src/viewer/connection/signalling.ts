import type { MqttClient } from 'mqtt';
import type { Envelope } from '#identity/envelope.ts';
import { type ToCamera, toViewerSchema } from '#protocol/message.ts';
import { parseAs, parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, stateSince, statusSchema } from '#protocol/status.ts';
import { cameraInbox, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import type { ViewerConfig } from '#protocol/viewer-config.ts';
import type { Signalling, SignallingEvents } from './connection.ts';
import { RetryPause } from './retry.ts';

const KEEPALIVE_SECONDS = 20;
const CONNECT_WITHIN_MS = 10_000;

/**
 * The viewer's place at the broker: its own mailbox, and the presence of one camera. Connects, and keeps connecting;
 * one MQTT client is one connection, so that when to try again is decided here.
 */
export class MqttSignalling implements Signalling {
  private readonly uid: Uid;
  private readonly self: string;
  private readonly envelope: Envelope;
  private readonly page: URL;
  private readonly pause = new RetryPause({ firstMs: 500, maxMs: 15_000 });
  private events: SignallingEvents | undefined;
  private config: ViewerConfig | undefined;
  private client: MqttClient | undefined;
  private waiting: ReturnType<typeof setTimeout> | undefined;
  /** Messages go out and come in one after the other, however long sealing and opening takes. */
  private sending: Promise<void> = Promise.resolve();
  private opening: Promise<void> = Promise.resolve();

  /** @param options.page the address of this page: a relative broker address is completed from it */
  constructor(options: {
    readonly uid: Uid;
    readonly self: string;
    readonly envelope: Envelope;
    readonly page: string;
  }) {
    this.uid = options.uid;
    this.self = options.self;
    this.envelope = options.envelope;
    this.page = new URL(options.page);
  }

  start(config: ViewerConfig, events: SignallingEvents): void {
    this.config = config;
    this.events = events;
    void this.connect();
  }

  stop(): void {
    this.events = undefined;
    clearTimeout(this.waiting);
    // Not forced: a goodbye that was just published still leaves.
    this.client?.end();
    this.client = undefined;
  }

  hurry(): void {
    if (this.client || !this.events) return;
    clearTimeout(this.waiting);
    this.pause.reset();
    void this.connect();
  }

  send(message: ToCamera): void {
    const client = this.client;
    if (!client?.connected) return;
    const sealed = this.envelope.seal(message, this.uid);
    this.sending = this.sending.then(async () => {
      const payload = await sealed;
      // Not awaited: what is lost with the connection is noticed by the call it belongs to.
      client.publish(cameraInbox(this.uid), payload as Buffer, { qos: 1 });
    });
  }

  private async connect(): Promise<void> {
    this.waiting = undefined;
    const { mqtt: address, mqttVersion } = this.config!;
    try {
      // The handshake is under way while the MQTT library is being loaded.
      const socket = new WebSocket(brokerAddress(address, this.page), 'mqtt');
      const { default: mqtt } = await import('mqtt');
      if (!this.events || this.client) {
        socket.close();
        return;
      }
      if (socket.readyState > WebSocket.OPEN) throw new Error('the WebSocket was refused');
      const client = mqtt.connect(socket.url, {
        createWebsocket: () => socket,
        protocolVersion: mqttVersion,
        clientId: `viewer-${this.self}`,
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
      this.listen(client);
    } catch (error) {
      this.lost(error instanceof Error ? error.message : String(error));
    }
  }

  private listen(client: MqttClient): void {
    let problem = 'the connection closed';
    client.on('connect', () => {
      // The broker takes packets in order, so the subscriptions stand before any answer: no need to wait for them.
      client.subscribe([viewerInbox(this.self), statusTopic(this.uid)], { qos: 1 }, (error) => {
        if (!error) return;
        problem = error.message;
        client.end(true);
      });
      this.pause.reset();
      this.events?.online();
    });
    client.on('message', (topic, payload, packet) => {
      if (this.client !== client) return;
      if (topic === statusTopic(this.uid)) {
        this.readStatus(payload, packet.retain, packet.properties?.messageExpiryInterval);
      } else if (topic === viewerInbox(this.self)) {
        this.opening = this.opening.then(() => this.readMessage(payload));
      }
    });
    client.on('error', (error) => {
      problem = error.message;
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
    if (!this.events) return;
    this.events.lost(problem);
    this.waiting = setTimeout(() => void this.connect(), this.pause.next());
  }

  private readStatus(payload: Uint8Array, retained: boolean, expirySeconds: number | undefined): void {
    try {
      if (payload.length === 0) {
        // A retained message that was cleared: as if there had never been one.
        this.events?.status(undefined, !retained);
        return;
      }
      const status: Status = parseJsonAs(statusSchema, payload, 'status', MAX_STATUS);
      const since = stateSince(status, expirySeconds, Date.now());
      this.events?.status({ ...status, since }, !retained);
    } catch (error) {
      console.warn('peercam: a status that cannot be read', error);
    }
  }

  private async readMessage(payload: Uint8Array): Promise<void> {
    try {
      const { from, message } = await this.envelope.open(payload);
      if (from !== this.uid) return;
      this.events?.message(parseAs(toViewerSchema, message, 'message'));
    } catch (error) {
      console.warn('peercam: a message that cannot be read', error);
    }
  }
}

/** The broker's WebSocket address: absolute as configured, or a path at this page's host. */
function brokerAddress(configured: string, page: URL): string {
  const address = new URL(configured, page);
  if (address.protocol === 'http:') address.protocol = 'ws:';
  if (address.protocol === 'https:') address.protocol = 'wss:';
  return address.href;
}
