import type { IPublishPacket, MqttClient } from 'mqtt';
import { plainEnvelope } from '#identity/envelope.ts';
import { type ToCamera, type ToViewer, toViewerSchema } from '#protocol/message.ts';
import { parseAs, parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, stateSince, statusSchema } from '#protocol/status.ts';
import { cameraInbox, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { randomThumbprint } from './camera-signalling.ts';
import { connectMqtt } from './mqtt-client.ts';

export interface SeenStatus {
  readonly status: Status;
  readonly retained: boolean;
  /** Since when, by everything the broker tells, ms since 1970. */
  readonly since: number | undefined;
}

/** A viewer without a browser: its mailbox, and the presence of the cameras it watches. */
export class MqttViewer {
  readonly thumbprint = randomThumbprint();
  readonly received: { from: string; message: ToViewer }[] = [];
  readonly statuses: SeenStatus[] = [];
  private readonly client: MqttClient;

  private constructor(client: MqttClient) {
    this.client = client;
  }

  static async connect(url: string, version: 4 | 5): Promise<MqttViewer> {
    const client = await connectMqtt(url, { protocolVersion: version });
    const viewer = new MqttViewer(client);
    client.on('message', (topic, payload, packet) => viewer.take(topic, payload, packet));
    await client.subscribeAsync(viewerInbox(viewer.thumbprint), { qos: 1 });
    return viewer;
  }

  async watch(uid: Uid): Promise<void> {
    await this.client.subscribeAsync(statusTopic(uid), { qos: 1 });
  }

  async send(to: Uid, message: ToCamera): Promise<void> {
    await this.sendRaw(to, Buffer.from(await plainEnvelope(this.thumbprint).seal(message, to)));
  }

  async sendRaw(to: Uid, payload: Buffer | string, options: { retain?: boolean } = {}): Promise<void> {
    await this.client.publishAsync(cameraInbox(to), payload, { qos: 1, ...options });
  }

  async publishStatus(uid: Uid, status: Status): Promise<void> {
    await this.client.publishAsync(statusTopic(uid), JSON.stringify(status), { qos: 1, retain: true });
  }

  get connected(): boolean {
    return this.client.connected;
  }

  /** Of the status seen last. */
  get state(): Status['state'] | undefined {
    return this.statuses.at(-1)?.status.state;
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }

  private take(topic: string, payload: Buffer, packet: IPublishPacket): void {
    if (topic.endsWith('/status')) {
      const status = parseJsonAs(statusSchema, payload, 'status', MAX_STATUS);
      const since = stateSince(status, packet.properties?.messageExpiryInterval, Date.now());
      this.statuses.push({ status, retained: packet.retain, since });
      return;
    }
    void plainEnvelope(this.thumbprint)
      .open(payload)
      .then(({ from, message }) => this.received.push({ from, message: parseAs(toViewerSchema, message, 'message') }));
  }
}
