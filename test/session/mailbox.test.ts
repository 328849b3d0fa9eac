import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Refused, type Talk } from '#identity/camera-parley.ts';
import { fingerprintsOf } from '#identity/fingerprint.ts';
import { silentLogger } from '#lib/logger.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { Hub } from '#media/hub.ts';
import { RtpPacketizer } from '#media/rtp-packetizer.ts';
import type { ToCamera, ToViewer } from '#protocol/message.ts';
import { Mailbox, type MailboxEvent } from '#session/mailbox.ts';
import type { RtcPeer, RtcPeerEvents } from '#session/rtc-peer.ts';
import { Viewers } from '#session/viewers.ts';
import { slice } from '../support/access-units.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { chromiumOffer } from '../support/offers.ts';

const ALICE = 'A'.repeat(43);
const BOB = 'B'.repeat(43);
const CALL = 'call-0123456789abcdef';
const test = suite('mailbox and sessions');

/** The WebRTC stack as the test plays it. */
class FakePeer implements RtcPeer {
  readonly events: RtcPeerEvents;
  readonly candidates: string[] = [];
  sent = 0;
  closed = false;
  fingerprint: string | undefined = fingerprintsOf(chromiumOffer())[0];

  constructor(events: RtcPeerEvents) {
    this.events = events;
  }

  answer(): void {
    this.events.localDescription('v=0 answer');
  }
  addCandidate(candidate: string): void {
    if (candidate.includes(' 666 ')) throw new Error('malformed');
    this.candidates.push(candidate);
  }
  send(): boolean {
    this.sent++;
    return true;
  }
  selectedPair(): undefined {}
  remoteFingerprint(): string | undefined {
    return this.fingerprint;
  }
  close(): void {
    this.closed = true;
  }
  connect(): void {
    this.events.state('connected');
    this.events.mediaOpen();
  }
}

function setUp(options: { maxSessions?: number } = {}) {
  const clock = new FakeClock();
  const peers: FakePeer[] = [];
  const sent: { to: string; message: ToViewer }[] = [];
  const noted: MailboxEvent[] = [];
  const impostors: string[] = [];
  let deliver: ((unit: AccessUnit) => void) | undefined;
  const hub = new Hub({
    clock,
    log: silentLogger,
    parameterSets: { complete: (unit) => unit, clear() {} },
    source: {
      canForceKeyFrame: true,
      start(sink) {
        deliver = sink;
      },
      async stop() {
        deliver = undefined;
      },
      requestKeyFrame() {},
    },
  });
  const viewers = new Viewers({
    peers: {
      create({ events }) {
        const peer = new FakePeer(events);
        peers.push(peer);
        return peer;
      },
    },
    iceServers: () => [],
    hub,
    packetizer: new RtpPacketizer(),
    clock,
    log: silentLogger,
    maxSessions: options.maxSessions ?? 10,
    methods: {},
    onImpostor: (viewer) => impostors.push(viewer),
    info: () => ({ uid: 'X', name: 'Garden', firmware: '1', source: { state: 'live' } }),
  });
  // Payloads of this test are JSON; what the parley does is its own test's business.
  const talks = new Map<string, Talk>();
  const mailbox = new Mailbox({
    viewers,
    log: silentLogger,
    rightsOf: () => ['view'],
    note: (event) => noted.push(event),
    send: (to, payload) => sent.push({ to, message: JSON.parse(Buffer.from(payload).toString()) }),
    parley: {
      forget() {},
      async receive(payload) {
        const { from, message } = JSON.parse(Buffer.from(payload).toString()) as { from: string; message: ToCamera };
        const id = `${from} ${message.call}`;
        if (message.type !== 'call') {
          const talk = talks.get(id);
          if (!talk) throw new Refused('no-such-call', 'no such call', from);
          return { kind: 'in-call', talk, message };
        }
        if (talks.has(id)) throw new Refused('replayed', 'the same call', from);
        const talk: Talk = {
          viewer: from,
          call: message.call,
          seal: async (reply) => Buffer.from(JSON.stringify(reply)),
          close() {},
        };
        talks.set(id, talk);
        return { kind: 'call', talk, message };
      },
    },
  });
  const receive = async (from: string, message: ToCamera) => {
    await mailbox.receive(Buffer.from(JSON.stringify({ from, message })));
    await settled();
  };
  const call = (from: string, id = CALL, sdp = chromiumOffer()) => receive(from, { type: 'call', call: id, sdp });
  const last = () => sent.at(-1)!;
  return {
    clock,
    peers,
    sent,
    noted,
    impostors,
    hub,
    viewers,
    mailbox,
    receive,
    call,
    last,
    feed: () => deliver?.(slice({ idr: true })),
  };
}

test('a call is answered, and its pictures flow once the path is open', async () => {
  const { peers, call, last, feed, viewers } = setUp();
  await call(ALICE);
  assert.deepEqual(last(), { to: ALICE, message: { type: 'answer', call: CALL, sdp: 'v=0 answer' } });
  feed();
  assert.equal(peers[0]!.sent, 0, 'nothing before the path is open');
  peers[0]!.connect();
  feed();
  assert.ok(peers[0]!.sent > 0);
  assert.equal(viewers.count, 1);
});

test('the same call twice (QoS 1) is one call', async () => {
  const { peers, sent, call } = setUp();
  await call(ALICE);
  await call(ALICE);
  assert.equal(peers.length, 1);
  assert.equal(sent.length, 1);
});

test("another viewer can neither end, nor feed, nor take over somebody's call", async () => {
  const { peers, receive, call, last } = setUp();
  await call(ALICE);
  const candidate = 'candidate:1 1 udp 1 203.0.113.9 9 typ host';
  await receive(BOB, { type: 'bye', call: CALL });
  await receive(BOB, { type: 'candidate', call: CALL, candidate, mid: '0' });
  await call(BOB);
  assert.equal(last().to, BOB);
  assert.equal(last().message.type, 'refusal');
  assert.ok(!peers[0]!.closed);
  assert.deepEqual(peers[0]!.candidates, []);
  await receive(ALICE, { type: 'candidate', call: CALL, candidate, mid: '0' });
  assert.deepEqual(peers[0]!.candidates, [candidate]);
  await receive(ALICE, { type: 'bye', call: CALL });
  assert.ok(peers[0]!.closed);
});

test('an offer that cannot be used is refused in words, and nothing stays open', async () => {
  const { peers, hub, call, last } = setUp();
  await call(ALICE, CALL, 'hello');
  const { message } = last();
  assert.ok(message.type === 'refusal' && /v=/.test(message.message) && !message.retry, JSON.stringify(message));
  assert.equal(peers.length, 0);
  assert.ok(!hub.active);
});

test('candidates that cannot be used are dropped, the call goes on', async () => {
  const { peers, receive, call } = setUp();
  await call(ALICE);
  for (const candidate of [
    '',
    'nonsense',
    'candidate:1 1 udp 1 some-name.local 9 typ host',
    'candidate:1 666 udp 1 203.0.113.9 9 typ host',
  ]) {
    await receive(ALICE, { type: 'candidate', call: CALL, candidate, mid: '0' });
  }
  assert.ok(!peers[0]!.closed);
  assert.deepEqual(peers[0]!.candidates, []);
});

test('a full camera says so; one viewer cannot fill it', async () => {
  const { peers, call, last } = setUp({ maxSessions: 4 });
  for (let index = 0; index < 10; index++) await call(ALICE, `alice-${index}-0123456789`);
  assert.equal(peers.filter(({ closed }) => !closed).length, 3);
  await call(BOB, 'bob-0-0123456789abc');
  assert.equal(last().message.type, 'answer');
  await call('C'.repeat(43), 'carol-0-0123456789');
  const { message } = last();
  assert.ok(message.type === 'refusal' && message.code === 'camera.full' && message.retry);
});

test('a call that never connects is given up and lets the encoder go', async () => {
  const { clock, peers, hub, call, last } = setUp();
  await call(ALICE);
  assert.ok(hub.active, 'the encoder warms up meanwhile');
  clock.advance(31_000);
  assert.ok(peers[0]!.closed);
  await settled();
  assert.equal(last().message.type, 'bye');
  clock.advance(10_000);
  assert.ok(!hub.active);
});

test('a viewer that falls silent is let go long before ICE notices', async () => {
  const { clock, peers, call } = setUp();
  await call(ALICE);
  peers[0]!.connect();
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000);
    peers[0]!.events.rtcp(Buffer.from('80c9000100000001', 'hex'));
  }
  assert.ok(!peers[0]!.closed);
  clock.advance(15_000);
  assert.ok(peers[0]!.closed);
});

test('whatever way a session ends, it ends once and everything is released', async () => {
  const ways: ((peer: FakePeer) => void)[] = [
    (peer) => peer.events.state('failed'),
    (peer) => peer.events.state('closed'),
    (peer) => peer.events.handlerFailed(new Error('a defect')),
  ];
  for (const end of ways) {
    const { clock, peers, sent, hub, viewers, call } = setUp();
    await call(ALICE);
    peers[0]!.connect();
    end(peers[0]!);
    end(peers[0]!);
    assert.ok(peers[0]!.closed);
    await settled();
    assert.equal(viewers.count, 0);
    assert.equal(sent.filter(({ message }) => message.type === 'bye').length, 1);
    clock.advance(10_000);
    assert.ok(!hub.active);
    assert.equal(clock.pending, 0, 'no timer is left');
  }
});

test('nothing flows to a certificate other than the one that was signed', async () => {
  for (const fingerprint of [undefined, `${'AA:'.repeat(31)}AA`]) {
    const { peers, call, last, feed, viewers, impostors } = setUp();
    await call(ALICE);
    peers[0]!.fingerprint = fingerprint;
    peers[0]!.connect();
    feed();
    await settled();
    assert.equal(peers[0]!.sent, 0);
    assert.ok(peers[0]!.closed);
    assert.equal(viewers.count, 0);
    assert.equal(last().message.type, 'bye');
    assert.deepEqual(impostors, [ALICE]);
  }
});

test('a viewer whose access is taken away loses its sessions at once, others keep theirs', async () => {
  const { peers, mailbox, call, viewers, sent } = setUp();
  await call(ALICE);
  await call(BOB, 'bob-0-0123456789abc');
  for (const peer of peers) peer.connect();
  mailbox.expel(ALICE);
  await settled();
  assert.deepEqual(
    peers.map(({ closed }) => closed),
    [true, false],
  );
  assert.equal(viewers.count, 1);
  assert.ok(
    sent.some(({ to, message }) => to === ALICE && message.type === 'bye' && /no longer/.test(message.reason!)),
  );
});

test('what the parley refuses is noted, and nobody is told', async () => {
  const { noted, sent, receive } = setUp();
  await receive(ALICE, { type: 'bye', call: CALL });
  assert.deepEqual(noted, [], 'a late goodbye is nothing to remember');
  await receive(ALICE, { type: 'call', call: CALL, sdp: chromiumOffer() });
  const before = sent.length;
  await receive(ALICE, { type: 'call', call: CALL, sdp: chromiumOffer() });
  assert.equal(sent.length, before);
  assert.deepEqual(noted.at(-1), { event: 'refused', viewer: ALICE, reason: 'replayed', message: 'the same call' });
});

test.run();

/** Sealed messages leave in a later turn of the event loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
