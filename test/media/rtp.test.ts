import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { AccessUnit } from '#media/access-unit.ts';
import { MAX_PACKET_BYTES } from '#media/rtp-packet.ts';
import { packetize, RtpPacketizer } from '#media/rtp-packetizer.ts';
import { RtpStream } from '#media/rtp-stream.ts';
import { slice } from '../support/access-units.ts';
import { nalsOf, parseRtp, type Rtp } from '../support/depacketizer.ts';
import { FakeClock } from '../support/fake-clock.ts';

const test = suite('RTP');
const identity = { ssrc: 0xcafe_0001, payloadType: 108, transportCcId: 3, playoutDelayId: 5 };

function setUp(overrides: Partial<typeof identity> = {}) {
  const clock = new FakeClock();
  clock.advance(1_000);
  const sent: { rtp: Rtp; at: number }[] = [];
  const reports: Buffer[] = [];
  const events: string[] = [];
  const stream = new RtpStream({
    identity: { ...identity, ...overrides },
    clock,
    firstSequence: 65_530,
    firstTimestamp: 0xffff_ff00,
    send(packet) {
      // As the native side does: what is kept is a copy.
      if (packet[1]! >= 192 && packet[1]! <= 223) reports.push(Buffer.from(packet));
      else sent.push({ rtp: parseRtp(Buffer.from(packet)), at: clock.now() });
      return true;
    },
    onKeyFrameRequest: () => events.push('key-frame'),
    onDrained: () => events.push('drained'),
  });
  const packetizer = new RtpPacketizer();
  const send = (unit: AccessUnit) => stream.sendUnit(unit, packetizer.packetsOf(unit));
  return { clock, sent, reports, events, stream, send, packetizer };
}

function nack(ssrc: number, sequences: readonly number[]): Buffer {
  const packet = Buffer.alloc(12 + 4 * sequences.length);
  packet[0] = 0x81;
  packet[1] = 205;
  packet.writeUInt16BE(packet.length / 4 - 1, 2);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(ssrc, 8);
  sequences.forEach((sequence, index) => {
    packet.writeUInt16BE(sequence, 12 + 4 * index);
  });
  return packet;
}

test('whatever NAL units go in come out again, in packets that fit', () => {
  const nal = fc
    .tuple(fc.integer({ min: 1, max: 23 }), fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 0, max: 255 }))
    .map(([type, length, fill]) => {
      const bytes = Buffer.alloc(length, fill);
      bytes[0] = 0x60 | type;
      return bytes;
    });
  fc.assert(
    fc.property(fc.array(nal, { minLength: 1, maxLength: 12 }), (nals) => {
      const packets = packetize(nals);
      assert.ok(packets.every((packet) => packet.length <= MAX_PACKET_BYTES));
      const parsed = packets.map(parseRtp);
      assert.deepEqual(
        parsed.map(({ marker }) => marker),
        parsed.map((_, index) => index === parsed.length - 1),
      );
      assert.deepEqual(nalsOf(parsed), nals);
    }),
    { numRuns: 500 },
  );
});

test('two viewers share the packets of a unit, and each sees its own numbers', () => {
  const one = setUp();
  const two = setUp({ ssrc: 7, payloadType: 96, transportCcId: 0, playoutDelayId: 0 });
  const unit = slice({ idr: true, bytes: 5_000, timestampUs: 1_000_000 });
  const packets = one.packetizer.packetsOf(unit);
  assert.equal(one.packetizer.packetsOf(unit), packets);
  one.stream.sendUnit(unit, packets);
  two.stream.sendUnit(unit, packets);
  const [a, b] = [one.sent[0]!.rtp, two.sent[0]!.rtp];
  assert.deepEqual([a.ssrc, a.payloadType, b.ssrc, b.payloadType], [0xcafe_0001, 108, 7, 96]);
  assert.deepEqual([...a.extensions.keys()], [3, 5]);
  assert.deepEqual(a.extensions.get(5), Buffer.alloc(3));
  assert.deepEqual([...b.extensions.keys()], []);
  assert.deepEqual(nalsOf(two.sent.map(({ rtp }) => rtp)), nalsOf(one.sent.map(({ rtp }) => rtp)));
});

test('sequence numbers and timestamps wrap; one picture in 15 carries transport-wide numbers', () => {
  const { sent, send } = setUp();
  for (let frame = 0; frame < 20; frame++) send(slice({ idr: frame === 0, timestampUs: frame * 33_333 }));
  assert.deepEqual(
    sent.map(({ rtp }) => rtp.sequence),
    Array.from({ length: 20 }, (_, index) => (65_530 + index) & 0xffff),
  );
  assert.equal(sent[1]!.rtp.timestamp, (0xffff_ff00 + 2_999) >>> 0);
  assert.deepEqual(
    sent.map(({ rtp }) => rtp.extensions.get(3)?.readUInt16BE()),
    Array.from({ length: 20 }, (_, index) => (index % 15 === 0 ? 1 + index / 15 : undefined)),
  );
});

test('on a path that loses, every picture carries transport-wide numbers', () => {
  const { sent, stream, send } = setUp();
  const report = Buffer.alloc(32);
  report.writeUInt32BE(0x81c90007, 0);
  report.writeUInt32BE(identity.ssrc, 8);
  report[12] = 13;
  stream.receive(report);
  for (let frame = 0; frame < 20; frame++) send(slice({ idr: frame === 0, timestampUs: frame * 33_333 }));
  assert.ok(sent.every(({ rtp }) => rtp.extensions.has(3)));
});

test('pictures sent again after a loss never turn the time back', () => {
  const { sent, send } = setUp();
  for (const timestampUs of [100_000, 133_000, 100_000, 133_000, 166_000]) send(slice({ timestampUs }));
  const times = sent.map(({ rtp }) => (rtp.timestamp - sent[0]!.rtp.timestamp) | 0);
  assert.deepEqual(times, [0, 2970, 2971, 2972, 5940]);
});

test('a large IDR is paced, in order, and says when it has left', () => {
  const { clock, sent, events, stream, send } = setUp();
  send(slice({ idr: true, bytes: 400_000 }));
  const atOnce = sent.length;
  assert.ok(stream.busy);
  assert.ok(atOnce >= 30 && atOnce <= 40, `${atOnce} packets at once`);
  clock.advance(1_000);
  assert.ok(!stream.busy);
  assert.deepEqual(events, ['drained']);
  assert.ok(sent.at(-1)!.at - sent[0]!.at > 100, 'the rest took its time');
  assert.deepEqual(
    sent.map(({ rtp }) => (rtp.sequence - sent[0]!.rtp.sequence) & 0xffff),
    sent.map((_, index) => index),
  );
});

test('a NACK brings the same packet with a new transport-wide number', () => {
  const { sent, stream, send } = setUp();
  send(slice({ idr: true, bytes: 5_000 }));
  const lost = sent[2]!.rtp;
  const before = sent.length;
  stream.receive(nack(identity.ssrc, [lost.sequence]));
  const again = sent[before]!.rtp;
  assert.deepEqual({ ...again, extensions: null }, { ...lost, extensions: null });
  assert.ok(again.extensions.get(3)!.readUInt16BE() > sent[before - 1]!.rtp.extensions.get(3)!.readUInt16BE());
});

test('a NACK for another stream, for the future or for what is long gone brings nothing', () => {
  const { sent, stream, send } = setUp();
  send(slice({ idr: true }));
  stream.receive(nack(1234, [65_530]));
  stream.receive(nack(identity.ssrc, [0, 100, 30_000]));
  assert.equal(sent.length, 1);
});

test('a storm of NACKs costs no more than the budget, and asking again within a round trip nothing', () => {
  const { clock, sent, stream, send } = setUp();
  let media = 0;
  for (let frame = 0; frame < 300; frame++) {
    send(slice({ idr: frame === 0, bytes: 8_000, timestampUs: frame * 33_333 }));
    clock.advance(33);
    media = stream.stats.octets;
    const recent = sent.slice(-60).map(({ rtp }) => rtp.sequence);
    for (let times = 0; times < 5; times++) stream.receive(nack(identity.ssrc, recent));
  }
  const bytes = sent.reduce((total, { rtp }) => total + rtp.payload.length + 24, 0);
  const again = bytes - media;
  assert.ok(again <= media * 0.25 + 48 * 1024, `${again} of ${media} bytes were sent again`);
  assert.ok(stream.stats.retransmitted > 100);
  assert.ok(stream.stats.refusedRetransmissions > 0);
});

test('sender reports come about once a second and map the clocks', () => {
  const { clock, reports, send } = setUp();
  for (let frame = 0; frame < 90; frame++) {
    send(slice({ idr: frame === 0, timestampUs: frame * 33_333 }));
    clock.advance(33.333);
  }
  assert.equal(reports.length, 3);
  const report = reports[1]!;
  assert.equal(report.readUInt32BE(4), identity.ssrc);
  const ntpSeconds = report.readUInt32BE(8) - 2_208_988_800;
  assert.ok(Math.abs(ntpSeconds - Date.now() / 1000) < 2);
});

test.run();
