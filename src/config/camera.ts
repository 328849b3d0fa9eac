import type { Schema } from 'convict';

/** What `peercamd` can be told. */
export interface CameraConfig {
  readonly server: { readonly url: string; readonly mqttVersion: string };
  readonly state: string;
  readonly name: string;
  readonly source: string;
  readonly maxViewers: number;
  readonly iceServers: readonly string[];
  readonly whep: { readonly port: number | null; readonly host: string; readonly token: string };
  readonly log: { readonly level: string };
}

export const cameraSchema: Schema<CameraConfig> = {
  server: {
    url: {
      doc: 'The MQTT broker that introduces viewers: mqtt://, mqtts://, ws:// or wss://.',
      format: brokerUrl,
      default: 'mqtt://127.0.0.1:1883',
      arg: 'server',
      env: 'PEERCAM_SERVER',
      hint: 'URL',
    },
    mqttVersion: {
      doc: 'MQTT version to speak; auto tries 5 and falls back to 3.1.1 (4).',
      format: ['auto', '4', '5'],
      default: 'auto',
      env: 'PEERCAM_MQTT_VERSION',
    },
  },
  state: {
    doc: "Directory of what must survive a restart: the camera's key, from which its UID follows.",
    format: nonEmpty,
    default: '/var/lib/peercam',
    arg: 'state',
    env: 'PEERCAM_STATE',
    hint: 'DIR',
  },
  name: {
    doc: 'What people call this camera, at most 64 characters.',
    format: cameraName,
    default: 'Camera',
    arg: 'name',
    env: 'PEERCAM_NAME',
  },
  source: {
    doc:
      'Where the picture comes from: v4l2:/dev/video0, command:PROGRAM ARGS (any program that writes Annex-B H.264), ' +
      'file:/path.h264, or pattern.',
    format: nonEmpty,
    default: 'v4l2:/dev/video0',
    arg: 'source',
    env: 'PEERCAM_SOURCE',
    hint: 'SPEC',
  },
  maxViewers: {
    doc: 'How many viewers may watch at once.',
    format: viewerLimit,
    default: 10,
    arg: 'max-viewers',
    env: 'PEERCAM_MAX_VIEWERS',
    hint: 'N',
  },
  iceServers: {
    doc: 'STUN servers that tell the camera its public address, host:port, separated by commas.',
    format: hostPorts,
    default: [],
    arg: 'stun',
    env: 'PEERCAM_STUN',
    hint: 'HOST:PORT,…',
  },
  whep: {
    port: {
      doc: 'Port of the WHEP endpoint for players and recorders on the local network; 0 is any free port. Off unless set.',
      format: 'port',
      nullable: true,
      default: null,
      arg: 'whep-port',
      env: 'PEERCAM_WHEP_PORT',
    },
    host: {
      doc: 'Address the WHEP endpoint listens on.',
      format: nonEmpty,
      default: '127.0.0.1',
      arg: 'whep-host',
      env: 'PEERCAM_WHEP_HOST',
      hint: 'ADDRESS',
    },
    token: {
      doc: 'The bearer token a WHEP client must show, 16 characters or more.',
      format: String,
      default: '',
      env: 'PEERCAM_WHEP_TOKEN',
      sensitive: true,
    },
  },
  log: {
    level: {
      doc: 'How much is logged, as JSON lines on standard error.',
      format: ['fatal', 'error', 'warn', 'info', 'debug'],
      default: 'info',
      arg: 'log-level',
      env: 'PEERCAM_LOG_LEVEL',
    },
  },
};

function brokerUrl(value: unknown): void {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !['mqtt:', 'mqtts:', 'ws:', 'wss:'].includes(url.protocol)) {
    throw new Error('must be a URL of a broker, for example mqtts://cameras.example:8883');
  }
}

function nonEmpty(value: unknown): void {
  if (typeof value !== 'string' || value.trim() === '') throw new Error('must not be empty');
}

function cameraName(value: unknown): void {
  nonEmpty(value);
  if ((value as string).length > 64) throw new Error('must have at most 64 characters');
}

function viewerLimit(value: unknown): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 100) {
    throw new Error('must be a whole number from 1 to 100');
  }
}

function hostPorts(value: unknown): void {
  const fits = (entry: unknown) => typeof entry === 'string' && /^[\w.-]{1,253}:\d{1,5}$/.test(entry);
  if (!Array.isArray(value) || !value.every(fits)) throw new Error('must be host:port, several separated by commas');
}
