import type { IPublishPacket, MqttClient } from 'mqtt';
import type { DeviceIdentity } from '#identity/device-key.ts';
import { GrantIssuer } from '#identity/grant.ts';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, stateSince, statusSchema } from '#protocol/status.ts';
import { cameraInbox, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { connectMqtt } from './mqtt-client.ts';
import { connectViewer, type TestServer } from './server.ts';

export interface SeenStatus {
  readonly status: Status;
  readonly retained: boolean;
  /** Since when, by everything the broker tells, ms since 1970. */
  readonly since: number | undefined;
}

/** A viewer without a browser: its mailbox, and the presence of the cameras it watches. It opens no payload. */
export class MqttViewer {
  readonly key: SigningKey;
  readonly received: Buffer[] = [];
  readonly statuses: SeenStatus[] = [];
  readonly client: MqttClient;

  private constructor(client: MqttClient, key: SigningKey) {
    this.client = client;
    this.key = key;
  }

  /** At peercam-server, with a token. @param options.grantedBy the cameras it may see the status of */
  static async atServer(
    server: Pick<TestServer, 'httpUrl' | 'webSocketUrl'>,
    options: { readonly key?: SigningKey; readonly grantedBy?: readonly DeviceIdentity[] } = {},
  ): Promise<MqttViewer> {
    const { key = await newSigningKey(), grantedBy = [] } = options;
    const grants = await Promise.all(
      grantedBy.map((board) => new GrantIssuer({ ...board, now: Date.now }).issue(key.thumbprint, ['view'])),
    );
    const { client } = await connectViewer(server, { key, grants });
    return MqttViewer.listen(client, key);
  }

  /** At a broker that believes whoever comes: by the name of his thumbprint, as peercam-server passes viewers on. */
  static async atBroker(url: string, options: { readonly key?: SigningKey; readonly version?: 4 | 5 } = {}) {
    const { key = await newSigningKey(), version = 4 } = options;
    return MqttViewer.listen(await connectMqtt(url, { protocolVersion: version, username: key.thumbprint }), key);
  }

  private static async listen(client: MqttClient, key: SigningKey): Promise<MqttViewer> {
    const viewer = new MqttViewer(client, key);
    client.on('message', (topic, payload, packet) => viewer.take(topic, payload, packet));
    await client.subscribeAsync(viewerInbox(key.thumbprint), { qos: 1 });
    return viewer;
  }

  get thumbprint(): string {
    return this.key.thumbprint;
  }

  /** What it received, as text. */
  get texts(): string[] {
    return this.received.map(String);
  }

  async watch(uid: Uid): Promise<void> {
    await this.client.subscribeAsync(statusTopic(uid), { qos: 1 });
  }

  async send(to: Uid, payload: Uint8Array | string, options: { retain?: boolean } = {}): Promise<void> {
    await this.client.publishAsync(cameraInbox(to), Buffer.from(payload as Uint8Array), { qos: 1, ...options });
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
    if (!topic.endsWith('/status')) {
      this.received.push(payload);
      return;
    }
    const status = parseJsonAs(statusSchema, payload, 'status', MAX_STATUS);
    const since = stateSince(status, packet.properties?.messageExpiryInterval, Date.now());
    this.statuses.push({ status, retained: packet.retain, since });
  }
}
