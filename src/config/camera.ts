import type { Schema } from 'convict';

/** What `peercamd` can be told. */
export interface CameraConfig {
  readonly server: { readonly url: string; readonly ca: string; readonly mqttVersion: string };
  readonly factory: string;
  readonly state: string;
  readonly control: string;
  readonly name: string;
  readonly source: string;
  readonly maxViewers: number;
  readonly iceServers: readonly string[];
  readonly whep: { readonly port: number | null; readonly host: string; readonly token: string };
  readonly button: string;
  readonly watching: { readonly led: string; readonly command: string };
  readonly log: { readonly level: string };
}

export const cameraSchema: Schema<CameraConfig> = {
  server: {
    url: {
      doc: 'The MQTT broker that introduces viewers: mqtts://HOST:8883. Unencrypted (mqtt://) only on this very machine.',
      format: brokerUrl,
      default: 'mqtts://127.0.0.1:8883',
      arg: 'server',
      env: 'PEERCAM_SERVER',
      hint: 'URL',
    },
    ca: {
      doc: 'PEM file of the authorities that may vouch for the broker. Empty: the public ones every browser knows.',
      format: String,
      default: '',
      arg: 'server-ca',
      env: 'PEERCAM_SERVER_CA',
      hint: 'FILE',
    },
    mqttVersion: {
      doc: 'MQTT version to speak; auto tries 5 and falls back to 3.1.1 (4).',
      format: ['auto', '4', '5'],
      default: 'auto',
      env: 'PEERCAM_MQTT_VERSION',
    },
  },
  factory: {
    doc:
      'Where the factory put what this camera is (key, certificate, UID, setup code): dir:/factory, ' +
      'or nvmem:/sys/bus/nvmem/devices/…/nvmem.',
    format: nonEmpty,
    default: 'dir:/factory',
    arg: 'factory',
    env: 'PEERCAM_FACTORY',
    hint: 'SPEC',
  },
  state: {
    doc: 'Directory of what must survive a restart and belongs to the owner: who may use the camera, its settings, its log.',
    format: nonEmpty,
    default: '/var/lib/peercam',
    arg: 'state',
    env: 'PEERCAM_STATE',
    hint: 'DIR',
  },
  control: {
    doc: 'The socket through which peercamctl talks to this daemon; only its own user and root can.',
    format: nonEmpty,
    default: '/run/peercam/control.sock',
    arg: 'control',
    env: 'PEERCAM_CONTROL',
    hint: 'SOCKET',
  },
  name: {
    doc: 'What people call this camera until its owner names it, at most 64 characters.',
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
  button: {
    doc:
      "The camera's button, as an input device: /dev/input/event0 or a name in /dev/input/by-path. Pressed: the label's " +
      'code counts for 15 minutes. Held for ten seconds: factory reset. Empty: there is none.',
    format: absolutePathOrEmpty,
    default: '',
    arg: 'button',
    env: 'PEERCAM_BUTTON',
    hint: 'DEVICE',
  },
  watching: {
    led: {
      doc: 'The light that is on while somebody watches, and blinks while the camera can be paired: /sys/class/leds/NAME.',
      format: absolutePathOrEmpty,
      default: '',
      arg: 'watching-led',
      env: 'PEERCAM_WATCHING_LED',
      hint: 'LED',
    },
    command: {
      doc: 'A program run with "watching COUNT" or "idle 0" when that changes (without a shell), for a relay or a chime.',
      format: absolutePathOrEmpty,
      default: '',
      arg: 'watching-command',
      env: 'PEERCAM_WATCHING_COMMAND',
      hint: 'PROGRAM',
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
  if (url === undefined || !['mqtt:', 'mqtts:'].includes(url.protocol)) {
    throw new Error('must be a URL of a broker, for example mqtts://cameras.example:8883');
  }
  if (url.protocol !== 'mqtts:' && !LOOPBACK.test(url.hostname)) {
    throw new Error('must be encrypted (mqtts://) unless the broker runs on this machine');
  }
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

function absolutePathOrEmpty(value: unknown): void {
  if (value === '') return;
  if (typeof value !== 'string' || !value.startsWith('/')) throw new Error('must be a path that starts with /');
  if (value.includes('\0')) throw new Error('must not contain a NUL character');
}

function nonEmpty(value: unknown): void {
  if (typeof value !== 'string' || value.trim() === '') throw new Error('must not be empty');
}

function cameraName(value: unknown): void {
  nonEmpty(value);
  if ((value as string).length > 64) throw new Error('must have at most 64 characters');
  if (/\p{Cc}/u.test(value as string)) throw new Error('must not contain control characters');
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
