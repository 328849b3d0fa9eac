import type { Path } from './connection/path.ts';
import type { Phase } from './connection/phase.ts';

/** Everything a person reads, in one place. */
export const words = {
  product: 'peercam',
  start: {
    heading: 'See your camera',
    lead: 'Scan the QR code on the camera, or type the 20 characters printed beside it.',
    uid: 'Camera UID',
    uidHint: 'Letters and digits in four groups of five.',
    watch: 'Watch',
    scan: 'Scan the QR code',
    promise: 'The picture goes straight from the camera to this browser.',
    tooShort: (missing: number) =>
      missing === 1 ? 'One character is missing.' : `${missing} characters are missing: a UID has 20.`,
    mistyped: 'This is not a UID: at least one character is wrong. Compare it with the label.',
  },
  scanner: {
    heading: 'Scan the QR code',
    hint: 'Hold the code on the camera’s label into the frame.',
    close: 'Close',
    starting: 'Opening this device’s camera…',
    notOurs: 'This QR code is not that of a peercam camera.',
    noCamera: 'This device has no camera to scan with. Type the UID instead.',
    denied: 'This browser may not use the camera. Allow it in the address bar, or type the UID instead.',
    insecure: 'Scanning needs a page opened over https. Type the UID instead.',
    failed: (reason: string) => `The camera of this device cannot be used (${reason}). Type the UID instead.`,
  },
  steps: {
    server: { waiting: 'Reach the server', current: 'Reaching the server', done: 'Server reached' },
    camera: { waiting: 'Ask the camera', current: 'Asking the camera', done: 'Camera answered' },
    path: { waiting: 'Find a path', current: 'Finding a path to it', done: 'Path found' },
    secure: { waiting: 'Secure the connection', current: 'Securing the connection', done: 'Connection secured' },
    picture: { waiting: 'Show the picture', current: 'Waiting for the picture', done: 'Picture received' },
  },
  stepsLabel: 'Steps of connecting',
  stepState: { done: 'done', current: 'under way', waiting: 'to come' },
  phase: {
    'loading-config': 'Connecting',
    'reaching-server': 'Connecting',
    asking: 'Connecting',
    answered: 'Connecting',
    'finding-path': 'Connecting',
    securing: 'Connecting',
    'waiting-for-picture': 'Connecting',
    live: 'Live',
    reconnecting: 'Reconnecting',
    'source-down': 'No picture',
    offline: 'Offline',
    leaving: 'Away',
    unknown: 'Not found',
    refused: 'Refused',
    'server-unreachable': 'No server',
    unsupported: 'Not supported',
  } satisfies Record<Phase, string>,
  connectingTo: (camera: string) => `Connecting to ${camera}`,
  reconnecting: 'The picture stopped. Getting it back…',
  thisCamera: 'the camera',
  problem: {
    offline: {
      heading: (since: string | undefined) =>
        since === undefined ? 'This camera is offline' : `This camera is offline since ${since}`,
      text: 'It has lost its power or its network. The picture comes back by itself as soon as the camera does.',
    },
    leaving: {
      heading: (reason: string | undefined) =>
        reason === undefined ? 'The camera is away for a moment' : `The camera is ${reason}`,
      text: (backBy: string | undefined) =>
        backBy === undefined
          ? 'The picture comes back by itself as soon as the camera does.'
          : `It expects to be back by ${backBy}. The picture then comes back by itself.`,
    },
    unknown: {
      heading: 'No camera answers to this UID',
      text: 'Compare it with the label. A camera that was never switched on and connected is not known to the server.',
    },
    'source-down': {
      heading: 'The camera is there, but its picture source is down',
      text: 'The camera keeps trying. The picture appears here by itself when the source works again.',
    },
    refused: {
      heading: 'The camera refuses the call',
      again: 'Trying again by itself.',
    },
    'server-unreachable': {
      heading: 'The server cannot be reached',
      text: 'Trying again by itself. If other pages do not open either, it is this device’s network.',
    },
    'device-offline': {
      heading: 'This device has no network',
      text: 'Connect it to Wi-Fi or mobile data; the picture then comes by itself.',
    },
    unsupported: {
      heading: 'This browser cannot show the picture',
      text: 'It has no WebRTC, or no H.264 video. Use a current Chrome, Edge, Safari or Firefox.',
    },
  },
  tryAgain: 'Try again',
  otherCamera: 'Other camera',
  path: { lan: 'Local network', direct: 'Direct', relay: 'Relayed' } satisfies Record<Path, string>,
  pathShort: { lan: 'LAN', direct: 'Direct', relay: 'Relay' } satisfies Record<Path, string>,
  pathMeaning: {
    lan: 'The picture stays in your network.',
    direct: 'Straight from the camera across the Internet.',
    relay: 'Through a relay, encrypted from end to end.',
  } satisfies Record<Path, string>,
  figure: {
    path: 'Path',
    latency: 'Latency',
    bitrate: 'Bitrate',
    rate: 'Frame rate',
    size: 'Resolution',
  },
  latencyMeaning: 'From the lens to this screen',
  controls: {
    label: 'Picture controls',
    play: 'Show the live picture',
    fullScreen: 'Full screen',
    leaveFullScreen: 'Leave full screen',
    pictureInPicture: 'Picture in picture',
    details: 'Details',
    closeDetails: 'Close details',
  },
  picture: (camera: string) => `Live picture of ${camera}`,
  details: {
    heading: 'Details',
    camera: 'Camera',
    name: 'Name',
    uid: 'UID',
    firmware: 'Firmware',
    source: 'Picture source',
    viewers: 'Watching now',
    viewerCount: (count: number) => (count === 1 ? 'only you' : `${count} viewers`),
    connection: 'Connection',
    route: 'Route',
    roundTrip: 'Round trip',
    server: 'Server',
    serverOnline: 'connected',
    serverLost: 'not reached; the picture does not need it',
    lost: 'Packets lost',
    firstPicture: 'First picture after',
    picture: 'Picture',
    codec: 'Codec',
    decoder: 'Decoder',
    buffer: 'Waiting time here',
    decode: 'Decoding',
    dropped: 'Frames not shown',
    steps: 'How it connected',
  },
  unit: {
    ms: (value: number | undefined) =>
      value === undefined ? '–' : `${Math.max(0, value).toFixed(value < 9.95 ? 1 : 0)} ms`,
    wholeMs: (value: number | undefined) => (value === undefined ? '–' : `${Math.max(0, Math.round(value))} ms`),
    bitrate: (value: number | undefined) =>
      value === undefined
        ? '–'
        : value < 1e6
          ? `${Math.round(value / 1e3)} kbit/s`
          : `${(value / 1e6).toFixed(1)} Mbit/s`,
    rate: (value: number | undefined) => (value === undefined ? '–' : `${Math.round(value)} fps`),
    size: (width: number, height: number) => (width > 0 ? `${width} × ${height}` : '–'),
  },
  /** A point in time as people say it: `14:05`, `14:05 (yesterday)`, `14:05 on 3 November`. Both in ms since 1970. */
  moment(at: number, now: number): string {
    const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' }).format(at);
    const days = Math.round((midnight(now) - midnight(at)) / 86_400_000);
    if (days === 0) return time;
    if (days === 1) return `${time} (yesterday)`;
    const withYear = new Date(at).getFullYear() === new Date(now).getFullYear() ? {} : ({ year: 'numeric' } as const);
    return `${time} on ${new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'long', ...withYear }).format(at)}`;
  },
} as const;

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}
