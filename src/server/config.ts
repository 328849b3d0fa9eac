import type { Schema } from 'convict';
import type { LogLevel } from '#lib/logger.ts';

export interface ServerConfig {
  readonly http: { readonly host: string; readonly port: number; readonly behindProxy: boolean };
  readonly https: { readonly host: string; readonly port: number | null };
  readonly mqtt: { readonly host: string; readonly port: number };
  readonly tls: { readonly cert: string; readonly key: string };
  readonly names: string[];
  readonly cameras: { readonly ca: string; readonly crl: string };
  readonly state: string;
  readonly viewer: {
    readonly folder: string;
    readonly mqtt: string;
    readonly mqttVersion: 4 | 5;
    readonly iceServers: string[];
  };
  readonly turn: { readonly urls: string[]; readonly secret: string; readonly ttl: number };
  readonly broker: { readonly url: string; readonly username: string; readonly password: string };
  readonly limits: {
    readonly clients: number;
    readonly packetsPerSecond: number;
    readonly connectionsPerViewer: number;
    readonly messagesPerCamera: number;
    readonly visitsPerMinute: number;
  };
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

function lifetime(value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 60 || (value as number) > 600) {
    throw new Error('expected a whole number of seconds from 60 to 600');
  }
}

function turnServers(value: unknown): void {
  const good = (url: unknown) => typeof url === 'string' && /^turns?:[^\s/?]+(\?transport=(udp|tcp))?$/.test(url);
  if (!Array.isArray(value) || !value.every(good)) {
    throw new Error('expected TURN servers as turn:host:port or turns:host:port?transport=tcp, separated by commas');
  }
}

function brokerUrl(value: unknown): void {
  if (value === '') return;
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !['mqtt:', 'mqtts:'].includes(url.protocol) || url.hostname === '') {
    throw new Error('expected mqtt://host:port or mqtts://host:port');
  }
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
      doc:
        'Where browsers get the viewer, its tokens, and reach the broker at /mqtt (WebSocket), without TLS: for this ' +
        'machine or behind a reverse proxy. 0 takes any free port.',
      format: 'port',
      default: 8080,
      arg: 'http-port',
      env: 'PEERCAM_HTTP_PORT',
    },
    behindProxy: {
      doc: "A reverse proxy stands before the HTTP port: take the viewers' addresses from its X-Forwarded-For.",
      format: Boolean,
      default: false,
      arg: 'http-behind-proxy',
      env: 'PEERCAM_HTTP_BEHIND_PROXY',
    },
  },
  https: {
    host: {
      doc: `Address of the HTTPS server; ${everywhere}`,
      format: String,
      default: '',
      arg: 'https-host',
      env: 'PEERCAM_HTTPS_HOST',
      hint: 'ADDRESS',
    },
    port: {
      doc: 'The same as the HTTP port over TLS, with the certificate of --tls-cert. Off unless set; 0 takes any free port.',
      format: 'port',
      nullable: true,
      default: null,
      arg: 'https-port',
      env: 'PEERCAM_HTTPS_PORT',
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
      doc:
        'Where cameras connect (MQTT over TLS 1.3, with their device certificates). 0 takes any free port. Not opened ' +
        'with --broker.',
      format: 'port',
      default: 8883,
      arg: 'mqtt-port',
      env: 'PEERCAM_MQTT_PORT',
    },
  },
  tls: {
    cert: {
      doc:
        "The server's certificate and its chain, PEM. Read again when it changes, and on SIGHUP. " +
        '`peercam-factory server-cert` makes one.',
      format: String,
      default: '',
      arg: 'tls-cert',
      env: 'PEERCAM_TLS_CERT',
      hint: 'FILE',
    },
    key: {
      doc: "The certificate's key, PEM.",
      format: String,
      default: '',
      arg: 'tls-key',
      env: 'PEERCAM_TLS_KEY',
      hint: 'FILE',
    },
  },
  names: {
    doc:
      'Host names under which viewers reach this server, beside those in its certificate: a proof of their key made ' +
      'for another name is refused.',
    format: Array,
    default: [],
    arg: 'names',
    env: 'PEERCAM_NAMES',
    hint: 'HOST,…',
  },
  cameras: {
    ca: {
      doc: 'The factory CA: whose device certificates make a camera. `peercam-factory init-ca` makes one.',
      format: String,
      default: '',
      arg: 'cameras-ca',
      env: 'PEERCAM_CAMERAS_CA',
      hint: 'FILE',
    },
    crl: {
      doc:
        "The factory's revocation lists, PEM. Read again when the file changes, and on SIGHUP; a revoked camera is " +
        'disconnected.',
      format: String,
      default: '',
      arg: 'cameras-crl',
      env: 'PEERCAM_CAMERAS_CRL',
      hint: 'FILE',
    },
  },
  state: {
    doc: "Folder for the key that signs viewers' tokens; empty: a new key at every start, and viewers ask again.",
    format: String,
    default: '',
    arg: 'state',
    env: 'PEERCAM_STATE',
    hint: 'FOLDER',
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
  turn: {
    urls: {
      doc: 'The TURN relay (coturn with use-auth-secret), for cameras and for viewers that hold a grant of a camera.',
      format: turnServers,
      default: [],
      arg: 'turn',
      env: 'PEERCAM_TURN',
      hint: 'turn:HOST:PORT,…',
    },
    secret: {
      doc: "What this server and the relay share: coturn's static-auth-secret.",
      format: String,
      default: '',
      env: 'PEERCAM_TURN_SECRET',
      sensitive: true,
    },
    ttl: {
      doc: 'How long credentials for the relay are good for, seconds.',
      format: lifetime,
      default: 600,
      arg: 'turn-ttl',
      env: 'PEERCAM_TURN_TTL',
      hint: 'SECONDS',
    },
  },
  broker: {
    url: {
      doc:
        'Another MQTT broker, at which the cameras are (see deploy/): viewers still come here, and what they say is ' +
        'checked and passed on to it. Empty: the broker inside this program.',
      format: brokerUrl,
      default: '',
      arg: 'broker',
      env: 'PEERCAM_BROKER',
      hint: 'mqtt://HOST:PORT',
    },
    username: {
      doc: "This server's own user name at that broker.",
      format: String,
      default: 'peercam-server',
      arg: 'broker-username',
      env: 'PEERCAM_BROKER_USERNAME',
      hint: 'NAME',
    },
    password: {
      doc: 'Its password there.',
      format: String,
      default: '',
      env: 'PEERCAM_BROKER_PASSWORD',
      sensitive: true,
    },
  },
  limits: {
    clients: {
      doc: 'Cameras and viewers connected at once.',
      format: positive,
      default: 10_000,
      arg: 'max-clients',
      env: 'PEERCAM_MAX_CLIENTS',
      hint: 'N',
    },
    packetsPerSecond: {
      doc: 'MQTT packets one camera or viewer may send per second on average; a faster one is slowed down.',
      format: positive,
      default: 50,
      arg: 'max-packets-per-second',
      env: 'PEERCAM_MAX_PACKETS_PER_SECOND',
      hint: 'N',
    },
    connectionsPerViewer: {
      doc: 'Pages one viewer may have open at once.',
      format: positive,
      default: 20,
      arg: 'max-connections-per-viewer',
      env: 'PEERCAM_MAX_CONNECTIONS_PER_VIEWER',
      hint: 'N',
    },
    messagesPerCamera: {
      doc: 'Messages per second all viewers together may send to one camera; who sends most of more is disconnected.',
      format: positive,
      default: 100,
      arg: 'max-messages-per-camera',
      env: 'PEERCAM_MAX_MESSAGES_PER_CAMERA',
      hint: 'N',
    },
    visitsPerMinute: {
      doc: 'Tokens and broker connections that viewers of one address may ask for in a minute.',
      format: positive,
      default: 600,
      arg: 'max-visits-per-minute',
      env: 'PEERCAM_MAX_VISITS_PER_MINUTE',
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
