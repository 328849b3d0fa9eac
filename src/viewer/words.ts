import type { Right } from '#protocol/rights.ts';
import type { Verified } from './connection/connection.ts';
import type { Path } from './connection/path.ts';
import type { Phase } from './connection/phase.ts';
import type { Presence } from './connection/presence.ts';

/** What a line of the camera's record is about, in words already. */
interface Told {
  readonly by: string;
  readonly viewer: string;
  /** The viewer that was given a name; undefined where it was the camera. */
  readonly named: string | undefined;
  readonly name: string;
  readonly reason: string;
  readonly cause: string;
  readonly duration: string | undefined;
}

/** Everything a person reads, in one place. */
export const words = {
  product: 'peercam',
  start: {
    heading: 'See your camera',
    lead: 'Scan the QR code on the camera, or type what is printed beside it.',
    uid: 'Camera UID',
    uidHint: 'Letters and digits in four groups of five.',
    watch: 'Watch',
    scan: 'Scan the QR code',
    promise: 'The picture goes straight from the camera to this browser.',
    tooShort: (missing: number) =>
      missing === 1 ? 'One character is missing.' : `${missing} characters are missing: a UID has 20.`,
    mistyped: 'This is not a UID: at least one character is wrong. Compare it with the label.',
    forgetful:
      'This browser keeps nothing (a private window, perhaps): what you open here works, and is forgotten with this tab.',
  },
  code: {
    label: 'Code',
    hint: 'The 16 letters and digits below the UID, or those of your invitation.',
    tooShort: (missing: number) =>
      missing === 1 ? 'One character is missing.' : `${missing} characters are missing: a code has 16.`,
    mistyped: 'This is not a code: it has letters or signs that no code has. Compare it with the label.',
    submit: 'Let me in',
    other: 'Use another code',
    known: 'This camera is remembered here: no code is needed.',
  },
  cameras: {
    heading: 'Your cameras',
    add: 'Add a camera',
    nameless: 'Camera',
    seen: (moment: string) => `Last seen here ${moment}`,
    never: 'Not seen here yet',
    forget: (camera: string) => `Forget ${camera}`,
    noAccess: 'No access any more',
    watch: (camera: string, presence: string) => `${camera}, ${presence}`,
  },
  presence: (presence: Presence, now: number): string => {
    switch (presence.state) {
      case 'asking':
        return 'Looking…';
      case 'online':
        return 'Online';
      case 'no-server':
        return 'Server not reached';
      case 'unknown':
        return 'No answer';
      case 'leaving':
        return presence.reason ? `Away: ${presence.reason}` : 'Away for a moment';
      case 'offline':
        return presence.since === undefined ? 'Offline' : `Offline since ${words.moment(presence.since, now)}`;
    }
  },
  forget: {
    heading: (camera: string) => `Forget ${camera}?`,
    text: 'This browser forgets the camera. The camera still has this browser on its list, so its UID is enough to open it here again; its owner can remove it there.',
    forget: 'Forget',
    leaveHeading: (camera: string) => `Leave ${camera}?`,
    leaveText:
      'The camera takes this browser off its list, and this browser forgets the camera. To come back, you need a code again.',
    leave: 'Leave this camera',
    cancel: 'Cancel',
  },
  insecure: {
    heading: 'This page needs https',
    text: 'It was opened over plain http, where everybody on the way could change it. Browsers then keep back what it needs to protect your camera.',
    open: 'Open the secure page',
    other: 'On the machine that the server runs on, http://localhost works as well.',
  },
  scanner: {
    heading: 'Scan the QR code',
    hint: 'Hold the code on the camera’s label into the frame.',
    close: 'Close',
    starting: 'Opening this device’s camera…',
    notOurs: 'This QR code is not that of a peercam camera.',
    noCamera: 'This device has no camera to scan with. Type UID and code instead.',
    denied: 'This browser may not use the camera. Allow it in the address bar, or type UID and code instead.',
    insecure: 'Scanning needs a page opened over https. Type UID and code instead.',
    failed: (reason: string) => `The camera of this device cannot be used (${reason}). Type UID and code instead.`,
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
    'code-needed': 'Code needed',
    pairing: 'Connecting',
    silent: 'No answer',
    'pairing-refused': 'Not let in',
    'no-access': 'No access',
    forged: 'Not safe',
    refused: 'Refused',
    'server-unreachable': 'No server',
    unsupported: 'Not supported',
  } satisfies Record<Phase, string>,
  pairing: 'Asking the camera to let you in',
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
    'code-needed': {
      heading: 'Which code is on the label?',
      text: 'This browser has not been let in to this camera yet. The code is printed below the UID, or is part of the invitation you were sent.',
    },
    silent: {
      heading: 'The camera does not answer',
      text: 'To protect its owner, it answers nobody but those it knows. So it may be any of these:',
      reasons: [
        ['It is off, or not connected.', 'Plug it in, and wait until its light says that it is connected.'],
        ['UID or code are not quite right.', 'Compare both with the label, character by character.'],
        [
          'It belongs to somebody already.',
          'Press the button on the camera and try again within 15 minutes, or ask its owner for an invitation.',
        ],
        ['You were removed from its list.', 'Ask its owner for an invitation.'],
      ],
    },
    'pairing-refused': {
      heading: 'The camera did not let you in',
      /** By the camera's reason; its own words are the fallback. */
      text: {
        'pairing.closed':
          'It has an owner already, so the code on its label is not enough. Press the button on the camera and try again within 15 minutes, or ask the owner for an invitation.',
        'pairing.locked':
          'Too many wrong codes were tried. Press the button on the camera, then try again within 15 minutes.',
        'pairing.damaged':
          'The camera cannot read its list of who may use it, so it lets nobody in. Reset it: hold its button for ten seconds, then scan the label again.',
        'invitation.used': 'This invitation was used already; each lets one person in. Ask the owner for another one.',
        'invitation.expired': 'This invitation is too old. Ask the owner for another one.',
        'invitation.cancelled': 'The owner has withdrawn this invitation. Ask for another one.',
      } as Readonly<Record<string, string>>,
    },
    'no-access': {
      heading: 'You no longer have access to this camera',
      text: 'Its owner has removed you, or your time is over. With a new invitation you can come back.',
    },
    forged: {
      heading: 'Somebody is in the way',
      text: 'What answered was not the camera: its certificate is not the one that the camera has signed. No picture was shown and nothing was sent. Try again in another network, and tell whoever runs the server.',
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
  verified: {
    badge: 'Verified',
    figure: 'Security',
    heading: 'Security',
    name: 'Origin',
    meaning: 'This picture comes from the camera with the UID on your label, and nobody in between can see it.',
    how: {
      certificate: 'Checked here: the UID fits the camera’s key, the key has signed this connection’s certificate.',
      statistics: 'Checked here: the UID fits the camera’s key, the key has signed this connection’s certificate.',
      browser:
        'The UID fits the camera’s key, which has signed the certificate to expect; this browser itself compared it with the one in use.',
    } satisfies Record<Verified, string>,
    warnings: 'Refused',
    refused: (count: number, last: string | undefined) =>
      `${count === 1 ? '1 message was refused' : `${count} messages were refused`}${last ? `, the last one because: ${last}` : ''}`,
    refusedMeaning: 'Somebody on the way may have tampered with them. They had no effect.',
  },
  spareCode: {
    unused: 'You can watch this camera already. The link you opened holds a code that may let you do more.',
    use: 'Use the code',
    trying: 'Asking the camera…',
    silent: 'The camera did not answer to this code.',
    dismiss: 'Not now',
    close: 'Close',
  },
  welcome: {
    yours: 'This camera is yours now',
    yoursText: 'Only you decide who else may watch. Give it a name that you will recognise:',
    watch: 'You may watch this camera now',
    watchText: 'This browser remembers it: next time one tap is enough.',
    name: 'Name of the camera',
    done: 'Done',
    notSaved: (why: string) => `The name was not saved: ${why}`,
  },
  right: {
    view: 'Watch',
    talk: 'Talk through it',
    ptz: 'Move it',
    archive: 'See recordings',
    settings: 'Change settings',
    owner: 'Owner',
  } satisfies Record<Right, string>,
  rightMeaning: {
    view: 'See and hear it live',
    talk: 'Speak through its loudspeaker',
    ptz: 'Turn and zoom it',
    archive: 'Play and save what it recorded',
    settings: 'Name, picture, network, updates',
    owner: 'All of this, and decide who else may',
  } satisfies Record<Right, string>,
  people: {
    heading: 'People',
    lead: 'Who may use this camera.',
    thisDevice: 'this device',
    nameless: 'Somebody',
    since: (moment: string) => `since ${moment}`,
    seen: (moment: string) => `last here ${moment}`,
    neverSeen: 'not here yet',
    until: (moment: string) => `until ${moment}`,
    watching: 'watching now',
    change: (person: string) => `Change ${person}`,
    loading: 'Asking the camera…',
    failed: (why: string) => `The camera did not do that: ${why}`,
    invite: 'Invite somebody',
    invitations: 'Open invitations',
    invitation: (note: string) => (note === '' ? 'Invitation' : `For ${note}`),
    cancelInvitation: (note: string) => (note === '' ? 'Cancel the invitation' : `Cancel the invitation for ${note}`),
    cancel: 'Cancel',
    back: 'Back',
    activity: 'Activity',
    giveAway: 'Give this camera away',
    close: 'Close people',
  },
  person: {
    heading: 'Change',
    name: 'Name',
    rights: 'May',
    save: 'Save',
    remove: 'Remove',
    removeHeading: (person: string) => `Remove ${person}?`,
    removeText: 'They lose the picture at once, and need a new invitation to come back.',
    leaveText: 'You lose the picture at once, and need a code to come back.',
  },
  invite: {
    heading: 'Invite somebody',
    text: 'You get a link to send, or a code to be scanned from this screen. It lets one person in, once.',
    note: 'For whom',
    noteHint: 'Only for you, to tell invitations apart.',
    rights: 'May',
    access: 'May watch',
    accessFor: [
      ['Until I remove them', undefined],
      ['For one day', 24],
      ['For one week', 168],
      ['For one month', 720],
    ] as readonly (readonly [string, number | undefined])[],
    expires: 'The invitation is good for',
    expiresIn: [
      ['One hour', 1],
      ['One day', 24],
      ['One week', 168],
    ] as readonly (readonly [string, number])[],
    make: 'Make the invitation',
    ready: 'The invitation is ready',
    readyText: (moment: string) => `Whoever opens it first is let in. It is good until ${moment}.`,
    transferReady: 'Ready to give away',
    transferReadyText: (moment: string) =>
      `Whoever opens it first becomes the only owner; you and all others are removed. It is good until ${moment}.`,
    qr: 'QR code of the invitation',
    copy: 'Copy link',
    copied: 'Copied',
    share: 'Send',
    shareTitle: (camera: string) => `Watch ${camera}`,
    done: 'Done',
  },
  transfer: {
    heading: 'Give this camera away?',
    text: 'You get a link or code for its new owner. As soon as it is used, everybody else is removed, you too. Recordings and settings stay on the camera: reset it first if they are not meant for the new owner.',
    make: 'Make the link',
  },
  activity: {
    heading: 'Activity',
    empty: 'Nothing has happened yet.',
    older: 'Show older',
    broken: 'The record does not fit together: part of it was changed or lost.',
    repeated: (count: number) => (count === 1 ? '1 more time' : `${count} more times`),
    somebody: 'somebody',
    you: 'you',
    event: {
      started: () => 'The camera started',
      stopped: ({ reason }) => `The camera stopped${reason ? ` (${reason})` : ''}`,
      clock: () => 'The camera’s clock was wrong and was not believed',
      'pairing.opened': ({ cause }) =>
        cause === 'button' ? 'The camera’s button was pressed' : 'Pairing was opened on the camera itself',
      'pairing.hello-refused': () => 'Somebody with a wrong code, or none, was not let in',
      'pairing.failed': () => 'Somebody began to pair, but was not let in',
      paired: ({ name }) => `${name} was let in`,
      invited: ({ by }) => `${by} invited somebody`,
      'invitation-cancelled': ({ by }) => `${by} cancelled an invitation`,
      revoked: ({ by, name }) => `${by} removed ${name}`,
      expired: ({ viewer }) => `The time of ${viewer} was over`,
      'rights-changed': ({ by, viewer }) => `${by} changed what ${viewer} may do`,
      renamed: ({ by, named, name }) => `${by} named ${named ?? 'the camera'} “${name}”`,
      call: ({ viewer }) => `${viewer} began to watch`,
      'call.ended': ({ viewer, duration }) => `${viewer} stopped watching${duration ? ` after ${duration}` : ''}`,
      refused: ({ viewer }) => `A message of ${viewer} was refused`,
      reset: () => 'The camera was reset',
      update: () => 'The camera’s program was updated',
      'audit.repaired': () => 'The record was cut off by a power cut',
      'audit.broken': () => 'Part of this record was changed or lost',
      'audit.lost': () => 'Some of what happened could not be written down',
    } as Readonly<Record<string, ((told: Told) => string) | undefined>>,
    unknown: (event: string) => `Something else happened (${event})`,
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
    duration: (seconds: number) => {
      if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
      return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
    },
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
