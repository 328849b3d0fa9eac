import type { ServerConfig } from '#server/config.ts';
import { createServer, type PeercamServer } from '#server/server.ts';
import { RecordingLogger } from './recording-logger.ts';

export interface TestServerOptions {
  readonly viewerFolder?: string;
  readonly httpPort?: number;
  readonly mqttPort?: number;
  readonly limits?: Partial<ServerConfig['limits']>;
  readonly viewer?: Partial<ServerConfig['viewer']>;
}

/** peercam-server in this process, on free ports of loopback; stopped and started again, it keeps its ports. */
export class TestServer {
  readonly log = new RecordingLogger();
  private readonly options: TestServerOptions;
  private server: PeercamServer | undefined;
  private ports: { http: number; mqtt: number };

  constructor(options: TestServerOptions = {}) {
    this.options = options;
    this.ports = { http: options.httpPort ?? 0, mqtt: options.mqttPort ?? 0 };
  }

  async start(): Promise<void> {
    const { viewerFolder = '/nonexistent', limits, viewer } = this.options;
    const host = '127.0.0.1';
    this.server = createServer({
      viewerFolder,
      log: this.log,
      config: {
        http: { host, port: this.ports.http },
        mqtt: { host, port: this.ports.mqtt },
        viewer: { folder: '', mqtt: '/mqtt', mqttVersion: 4, iceServers: [], ...viewer },
        limits: { clients: 1000, packetsPerSecond: 50, ...limits },
        log: { level: 'debug' },
      },
    });
    const { httpUrl, mqttUrl } = await this.server.start();
    this.ports = { http: Number(new URL(httpUrl).port), mqtt: Number(new URL(mqttUrl).port) };
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${this.ports.mqtt}`;
  }

  get webSocketUrl(): string {
    return `ws://127.0.0.1:${this.ports.http}/mqtt`;
  }

  async stop(): Promise<void> {
    await this.server?.stop();
  }
}
