import assert from 'node:assert/strict';
import type { DeviceIdentity } from '#identity/device-key.ts';
import { silentLogger } from '#lib/logger.ts';
import { Hub } from '#media/hub.ts';
import { RtpPacketizer } from '#media/rtp-packetizer.ts';
import { Mailbox, type MailboxEvent } from '#session/mailbox.ts';
import type { RtcPeer } from '#session/rtc-peer.ts';
import type { SignallingOptions } from '#session/signalling.ts';
import { Viewers } from '#session/viewers.ts';
import { randomCall, TestCamera } from './camera-signalling.ts';
import { FakeClock } from './fake-clock.ts';
import type { MqttViewer } from './mqtt-viewer.ts';
import { chromiumOffer } from './offers.ts';
import { cameraParty, pairedViewer, type TestParty } from './parley.ts';
import type { LogLine } from './recording-logger.ts';
import { until } from './wait.ts';

/** A camera from its place at the broker to its sessions, which answer each offer and never connect. */
export interface AnsweringCamera extends TestCamera {
  readonly party: TestParty;
  /** What its audit would have got. */
  readonly noted: MailboxEvent[];
}

export async function answeringCamera(
  board: DeviceIdentity,
  options: Pick<SignallingOptions, 'openStream' | 'mqttVersion'>,
): Promise<AnsweringCamera> {
  const party = await cameraParty(board.key);
  const noted: MailboxEvent[] = [];
  const camera = new TestCamera({
    ...options,
    uid: board.uid,
    key: board.key.publicKey,
    onPayload: (payload) => mailbox.receive(payload),
  });
  const mailbox = new Mailbox({
    parley: party.parley,
    viewers: viewersWithoutWebRtc(),
    log: camera.log,
    rightsOf: (viewer) => party.list.find(viewer)?.rights ?? [],
    note: (event) => noted.push(event),
    send: (to, payload) => void camera.signalling.send(to, payload).catch(() => {}),
  });
  camera.signalling.start();
  await until('the camera is connected', () => camera.signalling.connected);
  return Object.assign(camera, { party, noted });
}

/** The camera takes an honest call and answers it. */
export async function takesACall(camera: AnsweringCamera, viewer: MqttViewer): Promise<void> {
  const parley = await pairedViewer(camera.party, viewer.key);
  const call = randomCall();
  const before = viewer.received.length;
  await viewer.send(camera.uid, await parley.sealCall({ type: 'call', call, sdp: chromiumOffer() }));
  const answer = await until('an answer to an honest call', () => viewer.received[before]);
  const news = await parley.open(answer);
  assert.deepEqual(news?.kind === 'call' && [news.message.type, news.message.call], ['answer', call]);
  await viewer.send(camera.uid, await parley.sealCall({ type: 'bye', call }));
}

/** What it complained about. */
export function refused({ log }: TestCamera): LogLine[] {
  return log.lines.filter(({ level, message }) => level === 'warn' && message.startsWith('message refused'));
}

function viewersWithoutWebRtc(): Viewers {
  const clock = new FakeClock();
  const source = { canForceKeyFrame: true, start() {}, async stop() {}, requestKeyFrame() {} };
  const hub = new Hub({ clock, log: silentLogger, parameterSets: { complete: (unit) => unit, clear() {} }, source });
  return new Viewers({
    peers: {
      create: ({ events }): RtcPeer => ({
        answer: () => events.localDescription('v=0 answer'),
        addCandidate() {},
        send: () => false,
        selectedPair() {},
        remoteFingerprint() {},
        close() {},
      }),
    },
    iceServers: () => [],
    hub,
    packetizer: new RtpPacketizer(),
    clock,
    log: silentLogger,
    maxSessions: 10,
    methods: {},
    info: () => ({ uid: '', name: '', firmware: '', source: { state: 'live' } }),
  });
}
