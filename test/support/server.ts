import type { IClientOptions, MqttClient } from 'mqtt';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { randomName, sign } from '#identity/seal.ts';
import { PROOF_TYPE, type Token } from '#protocol/token.ts';
import type { Uid } from '#protocol/uid.ts';
import type { ServerConfig } from '#server/config.ts';
import { createServer, type PeercamServer } from '#server/server.ts';
import { type ServerFiles, TestFactory } from './factory.ts';
import { connectMqtt } from './mqtt-client.ts';
import { RecordingLogger } from './recording-logger.ts';

export interface TestServerOptions {
  /** Whose cameras it knows; one of its own where left out. */
  readonly factory?: TestFactory;
  /** Its own certificate; for loopback where left out. */
  readonly certificate?: ServerFiles;
  readonly crl?: string;
  readonly viewerFolder?: string;
  readonly httpPort?: number;
  readonly mqttPort?: number;
  /** HTTPS too, on a free port. */
  readonly https?: boolean;
  readonly behindProxy?: boolean;
  readonly state?: string;
  readonly names?: string[];
  readonly turn?: Partial<ServerConfig['turn']>;
  readonly broker?: Partial<ServerConfig['broker']>;
  readonly limits?: Partial<ServerConfig['limits']>;
  readonly viewer?: Partial<ServerConfig['viewer']>;
}

/** peercam-server in this process, on free ports of loopback; stopped and started again, it keeps its ports. */
export class TestServer {
  readonly log = new RecordingLogger();
  private readonly options: TestServerOptions;
  private server: PeercamServer | undefined;
  private ports: { http: number; mqtt: number; https: number };
  private ownFactory: TestFactory | undefined;
  private files: ServerFiles | undefined;

  constructor(options: TestServerOptions = {}) {
    this.options = options;
    this.ports = { http: options.httpPort ?? 0, mqtt: options.mqttPort ?? 0, https: 0 };
  }

  async start(): Promise<void> {
    const { viewerFolder = '/nonexistent', limits, viewer, turn, broker, crl = '' } = this.options;
    this.files ??= this.options.certificate ?? (await (await this.provideFactory()).serverCertificate());
    const factory = await this.provideFactory();
    const host = '127.0.0.1';
    this.server = createServer({
      viewerFolder,
      log: this.log,
      config: {
        http: { host, port: this.ports.http, behindProxy: this.options.behindProxy ?? false },
        https: { host, port: this.options.https ? this.ports.https : null },
        mqtt: { host, port: this.ports.mqtt },
        tls: { cert: this.files.certFile, key: this.files.keyFile },
        names: this.options.names ?? [],
        cameras: { ca: factory.rootFile, crl },
        state: this.options.state ?? '',
        viewer: { folder: '', mqtt: '/mqtt', mqttVersion: 4, iceServers: [], ...viewer },
        turn: { urls: [], secret: '', ttl: 600, ...turn },
        broker: { url: '', username: 'peercam-server', password: '', ...broker },
        limits: {
          clients: 1000,
          packetsPerSecond: 50,
          connectionsPerViewer: 20,
          messagesPerCamera: 100,
          visitsPerMinute: 6000,
          ...limits,
        },
        log: { level: 'debug' },
      },
    });
    const { httpUrl, httpsUrl, mqttUrl } = await this.server.start();
    const port = (url: string | undefined) => (url === undefined ? 0 : Number(new URL(url).port));
    this.ports = { http: port(httpUrl), mqtt: port(mqttUrl), https: port(httpsUrl) };
  }

  /** The factory whose cameras this server knows. Only after the start, where it was not given. */
  get factory(): TestFactory {
    return this.options.factory ?? this.ownFactory!;
  }

  /** The server's own certificate and the CA that vouches for it. Only after the start. */
  get certificate(): ServerFiles {
    return this.files!;
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  get httpsUrl(): string {
    return `https://127.0.0.1:${this.ports.https}`;
  }

  /** For cameras. */
  get mqttUrl(): string {
    return `mqtts://127.0.0.1:${this.ports.mqtt}`;
  }

  /** For viewers. */
  get webSocketUrl(): string {
    return `ws://127.0.0.1:${this.ports.http}/mqtt`;
  }

  reload(): Promise<void> {
    return this.server!.reload();
  }

  async stop(): Promise<void> {
    await this.server?.stop();
  }

  /** Removes what it made for itself, after the last stop. */
  async remove(): Promise<void> {
    await this.stop();
    await this.ownFactory?.remove();
  }

  private async provideFactory(): Promise<TestFactory> {
    if (!this.options.factory) this.ownFactory ??= await TestFactory.create();
    return this.factory;
  }
}

/** What somebody needs to show who he is at a token endpoint. */
export interface ViewerProof {
  readonly key: SigningKey;
  readonly grants?: readonly string[];
}

/** Proves a key at `GET, POST <origin>/token`; any member of the proof can be made wrong. */
export async function requestToken(
  httpUrl: string,
  proof: ViewerProof & { readonly nonce?: string; readonly aud?: string; readonly type?: string },
): Promise<Response> {
  const { key, grants, aud = new URL(httpUrl).origin, type = PROOF_TYPE } = proof;
  const nonce = proof.nonce ?? ((await (await fetch(`${httpUrl}/token`)).json()) as { nonce: string }).nonce;
  const jws = await sign(type, { aud, nonce, ...(grants && { grants }) }, key);
  const headers = { 'Content-Type': 'application/json' };
  return await fetch(`${httpUrl}/token`, { method: 'POST', headers, body: JSON.stringify({ proof: jws }) });
}

export interface ConnectedViewer {
  readonly client: MqttClient;
  readonly key: SigningKey;
  readonly thumbprint: string;
  readonly token: Token;
}

/** A viewer at the broker's WebSocket: proves a key (a new one, where left out), takes the token and connects. */
export async function connectViewer(
  server: Pick<TestServer, 'httpUrl' | 'webSocketUrl'>,
  options: Partial<ViewerProof> & { readonly mqtt?: IClientOptions } = {},
): Promise<ConnectedViewer> {
  const key = options.key ?? (await newSigningKey());
  const answer = await requestToken(server.httpUrl, { key, ...(options.grants && { grants: options.grants }) });
  if (!answer.ok) throw new Error(`no token: ${answer.status} ${await answer.text()}`);
  const token = (await answer.json()) as Token;
  const { thumbprint } = key;
  const client = await connectMqtt(server.webSocketUrl, {
    clientId: `viewer-${thumbprint}-${randomName(6)}`,
    username: thumbprint,
    password: token.token,
    ...options.mqtt,
  });
  return { client, key, thumbprint, token };
}

/** What a camera shows of itself, for mqtt.js and node:tls. */
export async function cameraCredentials(folder: string): Promise<{ uid: Uid; cert: string; key: string }> {
  const data = await new FactoryDirectory(folder).read();
  return { uid: data!.uid!, cert: data!.certificatePem!, key: data!.privateKeyPem! };
}

/**
 * A camera at the MQTT port with the certificate of a provisioned board's folder; rejects when it is refused.
 * @param options.mqtt what is to be different, another client id for example
 */
export async function connectCamera(
  server: Pick<TestServer, 'mqttUrl' | 'certificate'>,
  folder: string,
  options: { readonly mqtt?: IClientOptions } = {},
): Promise<MqttClient> {
  const { uid, cert, key } = await cameraCredentials(folder);
  const ca = server.certificate.caPem;
  return await connectMqtt(server.mqttUrl, { clientId: `cam-${uid}`, ca, cert, key, ...options.mqtt });
}
