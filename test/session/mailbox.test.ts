import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { silentLogger } from '#lib/logger.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { Hub } from '#media/hub.ts';
import { RtpPacketizer } from '#media/rtp-packetizer.ts';
import type { ToViewer } from '#protocol/message.ts';
import { Mailbox } from '#session/mailbox.ts';
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
    iceServers: [],
    hub,
    packetizer: new RtpPacketizer(),
    clock,
    log: silentLogger,
    maxSessions: options.maxSessions ?? 10,
    info: () => ({ uid: 'X', name: 'Garden', firmware: '1', source: { state: 'live' } }),
  });
  const mailbox = new Mailbox({ viewers, log: silentLogger, send: (to, message) => sent.push({ to, message }) });
  const call = (from: string, id = CALL, sdp = chromiumOffer()) =>
    mailbox.receive(from, { type: 'call', call: id, sdp });
  const last = () => sent.at(-1)!;
  return { clock, peers, sent, hub, viewers, mailbox, call, last, feed: () => deliver?.(slice({ idr: true })) };
}

test('a call is answered, and its pictures flow once the path is open', () => {
  const { peers, call, last, feed, viewers } = setUp();
  call(ALICE);
  assert.deepEqual(last(), { to: ALICE, message: { type: 'answer', call: CALL, sdp: 'v=0 answer' } });
  feed();
  assert.equal(peers[0]!.sent, 0, 'nothing before the path is open');
  peers[0]!.connect();
  feed();
  assert.ok(peers[0]!.sent > 0);
  assert.equal(viewers.count, 1);
});

test('the same call twice (QoS 1) is one call', () => {
  const { peers, sent, call } = setUp();
  call(ALICE);
  call(ALICE);
  assert.equal(peers.length, 1);
  assert.equal(sent.length, 1);
});

test("another viewer can neither end, nor feed, nor take over somebody's call", () => {
  const { peers, mailbox, call, last } = setUp();
  call(ALICE);
  const candidate = 'candidate:1 1 udp 1 203.0.113.9 9 typ host';
  mailbox.receive(BOB, { type: 'bye', call: CALL });
  mailbox.receive(BOB, { type: 'candidate', call: CALL, candidate, mid: '0' });
  call(BOB);
  assert.equal(last().to, BOB);
  assert.equal(last().message.type, 'refusal');
  assert.ok(!peers[0]!.closed);
  assert.deepEqual(peers[0]!.candidates, []);
  mailbox.receive(ALICE, { type: 'candidate', call: CALL, candidate, mid: '0' });
  assert.deepEqual(peers[0]!.candidates, [candidate]);
  mailbox.receive(ALICE, { type: 'bye', call: CALL });
  assert.ok(peers[0]!.closed);
});

test('an offer that cannot be used is refused in words, and nothing stays open', () => {
  const { peers, hub, call, last } = setUp();
  call(ALICE, CALL, 'hello');
  const { message } = last();
  assert.ok(message.type === 'refusal' && /v=/.test(message.message) && !message.retry, JSON.stringify(message));
  assert.equal(peers.length, 0);
  assert.ok(!hub.active);
});

test('candidates that cannot be used are dropped, the call goes on', () => {
  const { peers, mailbox, call } = setUp();
  call(ALICE);
  for (const candidate of [
    '',
    'nonsense',
    'candidate:1 1 udp 1 some-name.local 9 typ host',
    'candidate:1 666 udp 1 203.0.113.9 9 typ host',
  ]) {
    mailbox.receive(ALICE, { type: 'candidate', call: CALL, candidate, mid: '0' });
  }
  assert.ok(!peers[0]!.closed);
  assert.deepEqual(peers[0]!.candidates, []);
});

test('a full camera says so; one viewer cannot fill it', () => {
  const { peers, call, last } = setUp({ maxSessions: 4 });
  for (let index = 0; index < 10; index++) call(ALICE, `alice-${index}-0123456789`);
  assert.equal(peers.filter(({ closed }) => !closed).length, 3);
  call(BOB, 'bob-0-0123456789abc');
  assert.equal(last().message.type, 'answer');
  call('C'.repeat(43), 'carol-0-0123456789');
  const { message } = last();
  assert.ok(message.type === 'refusal' && message.code === 'camera.full' && message.retry);
});

test('a call that never connects is given up and lets the encoder go', () => {
  const { clock, peers, hub, call, last } = setUp();
  call(ALICE);
  assert.ok(hub.active, 'the encoder warms up meanwhile');
  clock.advance(31_000);
  assert.ok(peers[0]!.closed);
  assert.equal(last().message.type, 'bye');
  clock.advance(10_000);
  assert.ok(!hub.active);
});

test('a viewer that falls silent is let go long before ICE notices', () => {
  const { clock, peers, call } = setUp();
  call(ALICE);
  peers[0]!.connect();
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000);
    peers[0]!.events.rtcp(Buffer.from('80c9000100000001', 'hex'));
  }
  assert.ok(!peers[0]!.closed);
  clock.advance(15_000);
  assert.ok(peers[0]!.closed);
});

test('whatever way a session ends, it ends once and everything is released', () => {
  const ways: ((peer: FakePeer) => void)[] = [
    (peer) => peer.events.state('failed'),
    (peer) => peer.events.state('closed'),
    (peer) => peer.events.handlerFailed(new Error('a defect')),
  ];
  for (const end of ways) {
    const { clock, peers, sent, hub, viewers, call } = setUp();
    call(ALICE);
    peers[0]!.connect();
    end(peers[0]!);
    end(peers[0]!);
    assert.ok(peers[0]!.closed);
    assert.equal(viewers.count, 0);
    assert.equal(sent.filter(({ message }) => message.type === 'bye').length, 1);
    clock.advance(10_000);
    assert.ok(!hub.active);
    assert.equal(clock.pending, 0, 'no timer is left');
  }
});

test.run();
