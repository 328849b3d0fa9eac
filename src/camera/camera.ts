import type { CameraConfig } from '#config/camera.ts';
import { CameraParley } from '#identity/camera-parley.ts';
import { GrantIssuer } from '#identity/grant.ts';
import type { Clock } from '#lib/clock.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { Scope } from '#lib/scope.ts';
import { Hub } from '#media/hub.ts';
import { ParameterSetCache } from '#media/parameter-sets.ts';
import { RtpPacketizer } from '#media/rtp-packetizer.ts';
import { SupervisedSource } from '#media/supervised-source.ts';
import type { VideoSource } from '#media/video-source.ts';
import type { SourceState } from '#protocol/control.ts';
import { accessMethods } from '#session/access-methods.ts';
import { auditMethods } from '#session/audit-methods.ts';
import { stunServerFrom, usableServers } from '#session/ice-servers.ts';
import { Mailbox } from '#session/mailbox.ts';
import type { IceServer, RtcPeerFactory } from '#session/rtc-peer.ts';
import { Signalling } from '#session/signalling.ts';
import { Viewers } from '#session/viewers.ts';
import { WhepServer } from '#session/whep.ts';
import { CallRecord } from './call-record.ts';
import type { CameraTrust } from './trust.ts';
import { version } from './version.ts';

/** The parts that touch the machine, so that a test can bring its own. */
export interface CameraDevices {
  readonly source: VideoSource;
  readonly peers: RtcPeerFactory;
  readonly clock: Clock;
}

export interface Camera {
  /** Whether viewers can find the camera just now. */
  readonly connected: boolean;
  /** Whose media may flow just now. */
  readonly viewers: number;
  readonly source: SourceState;
  /** Resolves when viewers can find the camera for the first time; `whepUrl` where WHEP is on. */
  start(): Promise<{ readonly whepUrl: string | undefined }>;
  /** Says goodbye to server and viewers and releases everything. @param reason for people: `restarting`, … */
  stop(reason: string): Promise<void>;
}

/** What the room is shown: somebody watches; somebody may pair. */
export interface Indicator {
  watching(viewers: number): void;
  pairing(open: boolean): void;
}

/** Puts the parts together. Nothing happens before `start`. */
export function createCamera(options: {
  readonly config: CameraConfig;
  readonly trust: CameraTrust;
  readonly devices: CameraDevices;
  readonly indicator?: Indicator;
  readonly log: Logger;
}): Camera {
  const { config, trust, devices, indicator, log } = options;
  const { identity, access, audit, time, settings } = trust;
  const { clock } = devices;
  const { uid } = identity;
  const scope = new Scope();
  const now = () => time.now();

  const source = new SupervisedSource({ source: devices.source, clock, log: log.child({ part: 'source' }) });
  const hub = new Hub({
    source,
    parameterSets: new ParameterSetCache({
      onBadSet: (error) => log.warn({ code: error.code }, `the encoder's parameter sets are damaged: ${error.message}`),
    }),
    clock,
    log: log.child({ part: 'hub' }),
  });
  const stun = config.iceServers.map(stunServerFrom);
  let relays: readonly IceServer[] = [];
  const viewers = new Viewers({
    peers: devices.peers,
    iceServers: () => [...stun, ...relays],
    hub,
    packetizer: new RtpPacketizer(),
    clock,
    log: log.child({ part: 'viewers' }),
    maxSessions: config.maxViewers,
    methods: {
      ...accessMethods({ book: access, audit, settings }),
      ...auditMethods({ audit }),
    },
    info: () => ({ uid, name: settings.name, firmware: version, source: describe(source) }),
    onCount: (count) => indicator?.watching(count),
    onImpostor: (viewer) => audit.append('refused', { viewer, reason: 'impostor' }),
  });
  source.onState(() => viewers.notifySource(describe(source)));

  let announceFirst: () => void = () => {};
  const firstContact = new Promise<void>((resolve) => {
    announceFirst = resolve;
  });
  const parley = new CameraParley({
    uid,
    key: identity.key,
    sealing: trust.sealing,
    access,
    grants: new GrantIssuer({ uid, key: identity.key, certificatePem: identity.certificatePem, now }),
    now,
    describe: () => ({ name: settings.name, firmware: version }),
  });
  const signalling = new Signalling({
    uid,
    openStream: (signal) => trust.openBroker(signal),
    mqttVersion: config.server.mqttVersion === 'auto' ? 'auto' : config.server.mqttVersion === '4' ? 4 : 5,
    firmware: version,
    key: identity.key.publicKey,
    revoked: () => access.revokedHashes(),
    log: log.child({ part: 'signalling' }),
    onPayload: (payload) => mailbox.receive(payload),
    onNotes: ({ now: serverNow, iceServers = [] }) => {
      time.authenticated(serverNow);
      relays = usableServers(iceServers);
    },
    onState: (connected) => connected && announceFirst(),
  });
  const record = new CallRecord({ access, audit, clock });
  const mailbox = new Mailbox({
    parley,
    viewers,
    log: log.child({ part: 'mailbox' }),
    rightsOf: (viewer) => access.find(viewer)?.rights ?? [],
    note: (event) => record.note(event),
    send(to, payload) {
      signalling.send(to, payload).catch((error: unknown) => {
        log.debug({ viewer: to }, `a message did not reach the viewer: ${errorText(error)}`);
      });
    },
  });
  let stopReason = 'stopping';

  return {
    get connected() {
      return signalling.connected;
    },
    get viewers() {
      return viewers.count;
    },
    get source() {
      return describe(source);
    },
    async start() {
      scope.add('hub', () => hub.stop());
      scope.add('audit', () => audit.append('stopped', { reason: stopReason }));
      const unsubscribe = [
        access.onChange(accessChanged),
        access.onRevoked((viewer, why) => {
          mailbox.expel(viewer);
          if (why === 'expired') audit.append('expired', { viewer });
        }),
        settings.onChange(({ name }) => viewers.notify({ method: 'camera.renamed', params: { name } })),
      ];
      scope.add('access', () => {
        for (const end of unsubscribe) end();
      });
      audit.append('started', { firmware: version });
      if (time.clockIsBehind) audit.append('clock', { system: Date.now(), floor: Math.round(time.floor) });
      accessChanged();
      const whepUrl = await startWhep();
      scope.add('viewers', () => viewers.closeAll(`the camera is ${stopReason}`));
      signalling.start();
      scope.add('signalling', () => signalling.leave({ reason: stopReason }));
      await firstContact;
      return { whepUrl };
    },
    stop(reason) {
      stopReason = reason;
      return scope.close(log);
    },
  };

  /** People and server learn at once who may use the camera, and the room whether somebody may pair. */
  function accessChanged(): void {
    indicator?.pairing(access.pairingState() === 'open');
    viewers.notify({ method: 'access.changed', params: {} });
    signalling.refreshStatus();
  }

  async function startWhep(): Promise<string | undefined> {
    const { port, host, token } = config.whep;
    if (port === null) return undefined;
    const server = new WhepServer({ viewers, host, port, token, clock, log: log.child({ part: 'whep' }) });
    const url = await server.start();
    scope.add('whep', () => server.stop());
    log.info({ url }, 'WHEP is on');
    return url;
  }
}

function describe(source: SupervisedSource): SourceState {
  const { state, error, info } = source;
  return {
    state,
    ...(error && state === 'down' ? { message: error.message } : {}),
    ...(info
      ? { description: info.description, width: info.width, height: info.height, frameRate: info.frameRate }
      : {}),
  };
}
