import type { CameraConfig } from '#config/camera.ts';
import type { DeviceKey } from '#identity/device-key.ts';
import type { Envelope } from '#identity/envelope.ts';
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
import { Mailbox } from '#session/mailbox.ts';
import type { IceServer, RtcPeerFactory } from '#session/rtc-peer.ts';
import { Signalling } from '#session/signalling.ts';
import { Viewers } from '#session/viewers.ts';
import { WhepServer } from '#session/whep.ts';
import { version } from './version.ts';

/** The parts that touch the machine, so that a test can bring its own. */
export interface CameraDevices {
  readonly source: VideoSource;
  readonly peers: RtcPeerFactory;
  readonly clock: Clock;
}

export interface Camera {
  /** Resolves when viewers can find the camera for the first time; `whepUrl` where WHEP is on. */
  start(): Promise<{ readonly whepUrl: string | undefined }>;
  /** Says goodbye to server and viewers and releases everything. @param reason for people: `restarting`, … */
  stop(reason: string): Promise<void>;
}

/** Puts the parts together. Nothing happens before `start`. */
export function createCamera(options: {
  readonly config: CameraConfig;
  readonly key: DeviceKey;
  readonly envelope: Envelope;
  readonly devices: CameraDevices;
  readonly log: Logger;
}): Camera {
  const { config, key, envelope, devices, log } = options;
  const { clock } = devices;
  const scope = new Scope();

  const source = new SupervisedSource({ source: devices.source, clock, log: log.child({ part: 'source' }) });
  const hub = new Hub({
    source,
    parameterSets: new ParameterSetCache({
      onBadSet: (error) => log.warn({ code: error.code }, `the encoder's parameter sets are damaged: ${error.message}`),
    }),
    clock,
    log: log.child({ part: 'hub' }),
  });
  const viewers = new Viewers({
    peers: devices.peers,
    iceServers: config.iceServers.map(iceServerFrom),
    hub,
    packetizer: new RtpPacketizer(),
    clock,
    log: log.child({ part: 'viewers' }),
    maxSessions: config.maxViewers,
    info: () => ({ uid: key.uid, name: config.name, firmware: version, source: describe(source) }),
  });
  source.onState(() => viewers.notifySource(describe(source)));

  let announceFirst: () => void = () => {};
  const firstContact = new Promise<void>((resolve) => {
    announceFirst = resolve;
  });
  const signalling = new Signalling({
    uid: key.uid,
    url: config.server.url,
    mqttVersion: config.server.mqttVersion === 'auto' ? 'auto' : config.server.mqttVersion === '4' ? 4 : 5,
    envelope,
    firmware: version,
    name: config.name,
    key: key.publicKey,
    log: log.child({ part: 'signalling' }),
    onMessage: (from, message) => mailbox.receive(from, message),
    onState: (connected) => connected && announceFirst(),
  });
  const mailbox = new Mailbox({
    viewers,
    log: log.child({ part: 'mailbox' }),
    send(to, message) {
      signalling.send(to, message).catch((error: unknown) => {
        log.debug({ viewer: to, type: message.type }, `a message did not reach the viewer: ${errorText(error)}`);
      });
    },
  });
  let stopReason = 'stopping';

  return {
    async start() {
      scope.add('hub', () => hub.stop());
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

function iceServerFrom(hostPort: string): IceServer {
  const colon = hostPort.lastIndexOf(':');
  return { hostname: hostPort.slice(0, colon), port: Number(hostPort.slice(colon + 1)) };
}
