import { createServer as createTcpServer, type Socket } from 'node:net';
import type { Logger } from '#lib/logger.ts';
import { Scope } from '#lib/scope.ts';
import { type AccessRules, openAccess } from './access.ts';
import { Broker } from './broker.ts';
import type { ServerConfig } from './config.ts';
import { listen } from './listen.ts';
import { Site } from './site.ts';
import { Web } from './web.ts';

export interface ServerOptions {
  readonly config: ServerConfig;
  /** The viewer's files. */
  readonly viewerFolder: string;
  readonly log: Logger;
  /** Everybody may use everything, where left out. */
  readonly access?: AccessRules;
}

/** Where a started server can be reached from this machine. */
export interface ServerAddresses {
  readonly httpUrl: string;
  readonly mqttUrl: string;
}

export interface PeercamServer {
  /** Rejects with an AppError when a port cannot be had; nothing is left open then. */
  start(): Promise<ServerAddresses>;
  /** Ends every connection and closes the ports. */
  stop(): Promise<void>;
}

/** Puts the server together: one broker, reached over TCP by cameras and over WebSocket by viewers, and the website. */
export function createServer({ config, viewerFolder, log, access = openAccess }: ServerOptions): PeercamServer {
  const broker = new Broker({ log, access, limits: config.limits });
  const site = new Site({ folder: viewerFolder });
  const web = new Web({
    ...config.http,
    site,
    broker,
    viewerConfig: {
      mqtt: config.viewer.mqtt,
      mqttVersion: config.viewer.mqttVersion,
      iceServers: config.viewer.iceServers.map((urls) => ({ urls })),
    },
    // Beside its WebSocket, a browser holds a few connections while it loads the page.
    maxConnections: 2 * config.limits.clients + 100,
  });
  const tcp = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket: Socket) =>
    broker.accept(socket, socket.remoteAddress),
  );
  const scope = new Scope();

  return {
    async start() {
      try {
        const files = await site.load();
        if (files === 0)
          log.warn({ folder: viewerFolder }, 'the viewer is not there: browsers will find an empty page');
        scope.add('broker', () => broker.stop());
        await broker.start();
        scope.add('web server', () => web.stop());
        const httpPort = await web.start();
        // Only stops listening: the connections are the broker's, and end with it.
        scope.add('MQTT port', () => void tcp.close());
        const mqttPort = await listen(tcp, { ...config.mqtt, flag: '--mqtt-port' });
        return {
          httpUrl: `http://${reachable(config.http.host)}:${httpPort}`,
          mqttUrl: `mqtt://${reachable(config.mqtt.host)}:${mqttPort}`,
        };
      } catch (error) {
        await scope.close(log);
        throw error;
      }
    },
    stop: () => scope.close(log),
  };
}

function reachable(host: string): string {
  if (host === '' || host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
