import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { buildSenderReport, compactNtp, parseRtcp } from '#media/rtcp.ts';

const test = suite('RTCP from outside');

const PLI = Buffer.from('81ce0002000000010a0b0c0d', 'hex');
const FIR = Buffer.from('84ce0004000000010000000 00a0b0c0d01000000'.replaceAll(' ', ''), 'hex');
const NACK = Buffer.from('81cd0003000000010a0b0c0d0064 0005'.replaceAll(' ', ''), 'hex');
const REPORT = Buffer.from(
  '81c90007 00000001 0a0b0c0d 40000003 00001234 00000010 00010000 00008000'.replaceAll(' ', ''),
  'hex',
);

test('what browsers send is understood', () => {
  assert.deepEqual(parseRtcp(PLI, 0), [{ kind: 'key-frame', ssrc: 0x0a0b0c0d }]);
  assert.deepEqual(parseRtcp(FIR, 0), [{ kind: 'key-frame', ssrc: 0x0a0b0c0d }]);
  assert.deepEqual(parseRtcp(NACK, 0), [{ kind: 'nack', ssrc: 0x0a0b0c0d, sequences: [100, 101, 103] }]);
  const [report] = parseRtcp(REPORT, 0x0002_0000);
  assert.deepEqual(report, { kind: 'report', ssrc: 0x0a0b0c0d, fractionLost: 0.25, rttMs: 500 });
});

test('a compound packet is read to its end', () => {
  assert.deepEqual(
    parseRtcp(Buffer.concat([REPORT, NACK, PLI]), 0).map(({ kind }) => kind),
    ['report', 'nack', 'key-frame'],
  );
});

test('a round trip is measured across our own report', () => {
  const sentAt = 1_700_000_000_123;
  const sender = buildSenderReport({ ssrc: 1, epochMs: sentAt, rtpTimestamp: 0, packets: 0, octets: 0 });
  const reply = Buffer.from(REPORT);
  reply.writeUInt32BE(sender.readUInt32BE(10), 24);
  reply.writeUInt32BE(65_536 / 4, 28);
  const [report] = parseRtcp(reply, compactNtp(sentAt + 330));
  assert.ok(report?.kind === 'report' && Math.abs(report.rttMs! - 80) < 1, JSON.stringify(report));
});

test('no bytes whatever throw or give more than they hold', () => {
  const compound = fc.array(fc.constantFrom(PLI, FIR, NACK, REPORT), { minLength: 1, maxLength: 6 }).map(Buffer.concat);
  const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
  fc.assert(
    fc.property(compound, damage, fc.nat(), (packet, changes, cut) => {
      for (const [at, value] of changes) packet[at % packet.length] = value;
      const feedback = parseRtcp(packet.subarray(0, cut % (packet.length + 1)), 0);
      assert.ok(feedback.length <= packet.length / 4);
    }),
    { numRuns: 20_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
      parseRtcp(bytes, 0);
    }),
    { numRuns: 5_000 },
  );
});

test('a NACK of everything asks for a bounded number of packets', () => {
  const packet = Buffer.alloc(12 + 4 * 300, 0xff);
  packet[0] = 0x81;
  packet[1] = 205;
  packet.writeUInt16BE(packet.length / 4 - 1, 2);
  const [feedback] = parseRtcp(packet, 0);
  assert.ok(feedback?.kind === 'nack' && feedback.sequences.length <= 528);
});

test.run();
