import type { Schema } from 'convict';
import type { LogLevel } from '#lib/logger.ts';

export interface ServerConfig {
  readonly http: { readonly host: string; readonly port: number };
  readonly mqtt: { readonly host: string; readonly port: number };
  readonly viewer: {
    readonly folder: string;
    readonly mqtt: string;
    readonly mqttVersion: 4 | 5;
    readonly iceServers: string[];
  };
  readonly limits: { readonly clients: number; readonly packetsPerSecond: number };
  readonly log: { readonly level: LogLevel };
}

/** What the program is for, as `--help` says it. */
export const summary =
  'peercam-server introduces viewers to cameras: cameras register here over MQTT, and browsers get the viewer ' +
  'from here and find their camera by its UID. The picture itself goes straight from camera to browser.';

const everywhere = 'empty: every address of this machine.';

function positive(value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1) throw new Error('expected a whole number of at least 1');
}

function iceServers(value: unknown): void {
  const good = (url: unknown) => typeof url === 'string' && /^stuns?:[^\s/?]+$/.test(url);
  if (!Array.isArray(value) || !value.every(good)) {
    throw new Error('expected STUN servers as stun:host:port, separated by commas');
  }
}

export const schema: Schema<ServerConfig> = {
  http: {
    host: {
      doc: `Address of the web server; ${everywhere}`,
      format: String,
      default: '',
      arg: 'http-host',
      env: 'PEERCAM_HTTP_HOST',
      hint: 'ADDRESS',
    },
    port: {
      doc: 'Where browsers get the viewer, and reach the broker at /mqtt (WebSocket). 0 takes any free port.',
      format: 'port',
      default: 8080,
      arg: 'http-port',
      env: 'PEERCAM_HTTP_PORT',
    },
  },
  mqtt: {
    host: {
      doc: `Address of the MQTT port; ${everywhere}`,
      format: String,
      default: '',
      arg: 'mqtt-host',
      env: 'PEERCAM_MQTT_HOST',
      hint: 'ADDRESS',
    },
    port: {
      doc: 'Where cameras connect. 0 takes any free port.',
      format: 'port',
      default: 1883,
      arg: 'mqtt-port',
      env: 'PEERCAM_MQTT_PORT',
    },
  },
  viewer: {
    folder: {
      doc: "The viewer's files; empty for those that came with this program.",
      format: String,
      default: '',
      arg: 'viewer-folder',
      env: 'PEERCAM_VIEWER_FOLDER',
      hint: 'FOLDER',
    },
    mqtt: {
      doc: 'The broker as browsers reach it: a path at this web server, or wss://… of another one.',
      format: String,
      default: '/mqtt',
      arg: 'viewer-mqtt',
      env: 'PEERCAM_VIEWER_MQTT',
      hint: 'URL',
    },
    mqttVersion: {
      doc: 'What that broker speaks: 4 is MQTT 3.1.1 (as the embedded one does), 5 is MQTT 5.',
      format: [4, 5],
      default: 4,
      arg: 'viewer-mqtt-version',
      env: 'PEERCAM_VIEWER_MQTT_VERSION',
    },
    iceServers: {
      doc: 'STUN servers that tell browsers their public address; needed when camera and browser are not in one network.',
      format: iceServers,
      default: [],
      arg: 'ice-servers',
      env: 'PEERCAM_ICE_SERVERS',
      hint: 'stun:HOST:PORT,…',
    },
  },
  limits: {
    clients: {
      doc: 'Cameras and viewers connected at once.',
      format: positive,
      default: 1000,
      arg: 'max-clients',
      env: 'PEERCAM_MAX_CLIENTS',
      hint: 'N',
    },
    packetsPerSecond: {
      doc: 'MQTT packets one client may send per second on average; a faster one is slowed down.',
      format: positive,
      default: 50,
      arg: 'max-packets-per-second',
      env: 'PEERCAM_MAX_PACKETS_PER_SECOND',
      hint: 'N',
    },
  },
  log: {
    level: {
      doc: 'How much to log, to standard error, as JSON lines.',
      format: ['fatal', 'error', 'warn', 'info', 'debug'],
      default: 'info',
      arg: 'log-level',
      env: 'PEERCAM_LOG_LEVEL',
    },
  },
};
