import { GrantCheck } from '#identity/grant-check.ts';
import { AppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { Scope } from '#lib/scope.ts';
import { Broker } from './broker.ts';
import { CameraPort } from './camera-port.ts';
import type { ServerConfig } from './config.ts';
import { CredentialStore, missing } from './credentials.ts';
import type { Exchange, ExchangeEvents } from './exchange.ts';
import { LocalExchange } from './local-exchange.ts';
import { Nonces } from './nonces.ts';
import { Presence } from './presence.ts';
import { RateLimit } from './rate-limit.ts';
import { Relay } from './relay.ts';
import { RemoteExchange } from './remote-exchange.ts';
import { serialsOf } from './revocation-list.ts';
import { ServerNames } from './server-names.ts';
import { ServerNotes } from './server-notes.ts';
import { Site } from './site.ts';
import { TokenEndpoint } from './token-endpoint.ts';
import { Tokens } from './tokens.ts';
import { TOKEN_PATH, Web } from './web.ts';

export interface ServerOptions {
  readonly config: ServerConfig;
  /** The viewer's files. */
  readonly viewerFolder: string;
  readonly log: Logger;
}

/** Where a started server can be reached from this machine. */
export interface ServerAddresses {
  readonly httpUrl: string;
  readonly httpsUrl?: string;
  /** For cameras: `mqtts://…`; missing where another broker serves them. */
  readonly mqttUrl?: string;
}

export interface PeercamServer {
  /** Rejects with an AppError when a file or a port cannot be had; nothing is left open then. */
  start(): Promise<ServerAddresses>;
  /** Reads the certificate files again, as it also does by itself when they change. Connections stay. */
  reload(): Promise<void>;
  /** Ends every connection and closes the ports. */
  stop(): Promise<void>;
}

/** Longest life of a viewer's token, seconds. */
const TOKEN_SECONDS = 600;

/**
 * Puts the server together: one broker (inside, or the way to another one), reached over mutual TLS by cameras and
 * with a token over WebSocket by viewers, the token endpoint, and the website.
 */
export function createServer({ config, viewerFolder, log }: ServerOptions): PeercamServer {
  const { limits, turn } = config;
  const isGateway = config.broker.url !== '';
  const presence = new Presence({ log });
  const relay = new Relay(turn);
  const lifeSeconds = relay.exists ? Math.min(TOKEN_SECONDS, turn.ttl) : TOKEN_SECONDS;
  const tokens = new Tokens({ folder: config.state, lifeSeconds });
  const notes = new ServerNotes({
    relay,
    tell: (uid, payload) => exchange.tell(uid, payload),
    isReachable: (uid) => presence.reachable.has(uid),
  });
  const events: ExchangeEvents = {
    status: (uid, payload) => {
      const wasReachable = presence.reachable.has(uid);
      presence.note(uid, payload);
      // Another broker does not tell who listens; a camera that says it is online does.
      if (isGateway && !wasReachable && presence.reachable.has(uid)) notes.listening(uid);
    },
    listening: (uid) => notes.listening(uid),
  };
  const exchange: Exchange = isGateway
    ? new RemoteExchange({ ...config.broker, log, events })
    : new LocalExchange({ events });
  const broker = new Broker({ log, tokens, exchange, presence, limits });
  const credentials = new CredentialStore({
    files: { ...config.tls, ...config.cameras },
    log,
    onChange: ({ revoked }) => {
      cameraPort.renew();
      web.renew();
      broker.endRevoked((serials) => revoked.hasAny(serials));
    },
  });
  const current = () => credentials.current;
  const cameraPort = new CameraPort({
    ...{ ...config.mqtt, log, broker, credentials: current },
    maxConnections: limits.clients + 500,
  });
  const site = new Site({ folder: viewerFolder });
  const nonces = new Nonces();
  const visits = new RateLimit({ perSecond: limits.visitsPerMinute / 60, burst: limits.visitsPerMinute });
  const iceServers = config.viewer.iceServers.map((urls) => ({ urls }));
  const tokenEndpoint = new TokenEndpoint({
    ...{ log, nonces, tokens, presence, relay, visits, iceServers },
    names: new ServerNames({ names: config.names, certificate: () => current().tls?.leaf }),
    grants: new GrantCheck({
      authorities: () => current().authorities,
      isRevoked: (chain) => current().revoked.hasAny(serialsOf(chain)),
    }),
  });
  const web = new Web({
    ...{ http: config.http, https: config.https, log, site, broker, tokens, nonces, tokenEndpoint, visits },
    certificate: () => current().tls,
    viewerConfig: {
      mqtt: config.viewer.mqtt,
      mqttVersion: config.viewer.mqttVersion,
      token: TOKEN_PATH,
      iceServers,
    },
    // Beside its WebSocket, a browser holds a few connections while it loads the page.
    maxConnections: 2 * limits.clients + 100,
  });
  const scope = new Scope();

  return {
    async start() {
      try {
        if (relay.exists && turn.secret === '') {
          throw new AppError('server.turn', 'the TURN relay needs the secret it shares with this server: turn.secret');
        }
        scope.add('certificates', () => credentials.stop());
        await credentials.start();
        if (!current().tls && (!isGateway || config.https.port !== null)) {
          const what = 'a certificate of its own, by which cameras and browsers know it';
          throw missing('--tls-cert and --tls-key', what, 'peercam-factory server-cert DIR --host NAME');
        }
        await tokens.start();
        if ((await site.load()) === 0)
          log.warn({ folder: viewerFolder }, 'the viewer is not there: browsers will find an empty page');
        scope.add('broker', () => broker.stop());
        await broker.start();
        scope.add('notes', () => notes.stop());
        notes.start();
        scope.add('web server', () => web.stop());
        const ports = await web.start();
        scope.add('MQTT port', () => cameraPort.stop());
        const mqttPort = isGateway ? undefined : await cameraPort.start();
        return {
          httpUrl: `http://${reachable(config.http.host)}:${ports.http}`,
          ...(ports.https !== undefined && { httpsUrl: `https://${reachable(config.https.host)}:${ports.https}` }),
          ...(mqttPort !== undefined && { mqttUrl: `mqtts://${reachable(config.mqtt.host)}:${mqttPort}` }),
        };
      } catch (error) {
        await scope.close(log);
        throw error;
      }
    },
    reload: () => credentials.reload(),
    stop: () => scope.close(log),
  };
}

function reachable(host: string): string {
  if (host === '' || host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
