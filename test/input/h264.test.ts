import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { AppError } from '#lib/error.ts';
import { silentLogger } from '#lib/logger.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { AccessUnitReader, accessUnitFrom, isVcl, nalType, splitNals } from '#media/annex-b.ts';
import { AnnexBSplitter } from '#media/annex-b-splitter.ts';
import { Hub } from '#media/hub.ts';
import { ParameterSetCache, parsePps, parseSps } from '#media/parameter-sets.ts';
import { RtpPacketizer } from '#media/rtp-packetizer.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { patternClip } from '../support/pattern-clip.ts';

/** Two GOPs of a real stream. */
const CLIP = patternClip().subarray(0, 150_000);
const MAX_PACKET = 1500;

/** What may happen to a byte stream on its way. */
type Damage =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'cut'; at: number; length: number }
  | { kind: 'insert'; at: number; bytes: Uint8Array }
  | { kind: 'repeat'; at: number; length: number };

const place = fc.nat(CLIP.length - 1);
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('cut' as const), at: place, length: fc.nat(5000) }),
  fc.record({ kind: fc.constant('insert' as const), at: place, bytes: fc.uint8Array({ maxLength: 64 }) }),
  fc.record({ kind: fc.constant('repeat' as const), at: place, length: fc.nat(5000) }),
);
/** Damage where it hurts most: at start codes, NAL headers, parameter sets and slice headers. */
const headerDamage = fc
  .tuple(fc.nat(59), fc.nat(40), fc.nat(7))
  .map(([nal, offset, bit]): Damage => ({ kind: 'flip', at: headers[nal % headers.length]! + offset - 4, bit }));
const headers = splitNals(CLIP).map((nal) => nal.byteOffset - CLIP.byteOffset);

function harm(stream: Buffer, { kind, at, ...how }: Damage): Buffer {
  const place = Math.min(Math.max(0, at), stream.length);
  const [before, after] = [stream.subarray(0, place), stream.subarray(place)];
  if (kind === 'flip') {
    const copy = Buffer.from(stream);
    if (place < copy.length) copy[place]! ^= 1 << (how as { bit: number }).bit;
    return copy;
  }
  if (kind === 'insert') return Buffer.concat([before, (how as { bytes: Uint8Array }).bytes, after]);
  const { length } = how as { length: number };
  if (kind === 'cut') return Buffer.concat([before, after.subarray(length)]);
  return Buffer.concat([before, after.subarray(0, length), after]);
}

const damaged = fc
  .array(fc.oneof(damage, headerDamage), { minLength: 1, maxLength: 20 })
  .map((damages) => damages.reduce(harm, CLIP));

/** All the way from an encoder's bytes to the packets of two viewers. */
function run(stream: Buffer, chunk = 8192): { units: AccessUnit[]; packets: number; delivered: AccessUnit[] } {
  const units: AccessUnit[] = [];
  const delivered: AccessUnit[] = [];
  let packets = 0;
  let deliver: (unit: AccessUnit) => void = () => {};
  const clock = new FakeClock();
  const hub = new Hub({
    clock,
    log: silentLogger,
    parameterSets: new ParameterSetCache(),
    source: {
      canForceKeyFrame: false,
      start: (sink) => {
        deliver = sink;
      },
      stop: async () => {},
      requestKeyFrame() {},
    },
  });
  const packetizer = new RtpPacketizer();
  for (const name of ['one', 'two']) {
    const reader = hub.attach({
      name,
      maxUnits: 300,
      maxBytes: 10_000_000,
      onReadable() {
        const unit = reader.take()!;
        if (name === 'one') delivered.push(unit);
        for (const packet of packetizer.packetsOf(unit)) {
          packets++;
          assert.ok(packet.length <= MAX_PACKET);
        }
      },
    });
  }
  const splitter = new AnnexBSplitter({
    onAccessUnit(unit) {
      units.push(unit);
      deliver(unit);
      clock.advance(33);
    },
    onProblem: (error) => assert.ok(error instanceof AppError),
  });
  for (let at = 0; at < stream.length; at += chunk) splitter.push(stream.subarray(at, at + chunk), at);
  splitter.end();
  return { units, packets, delivered };
}

/** What every access unit must be, whatever it was made from. */
function sound(unit: AccessUnit): void {
  assert.ok(unit.nals.some((nal) => isVcl(nalType(nal))));
  assert.equal(
    unit.keyframe,
    unit.nals.some((nal) => nalType(nal) === 5),
  );
  let bytes = 0;
  for (const nal of unit.nals) {
    const type = nalType(nal);
    assert.ok(type >= 1 && type < 24 && type !== 9 && type !== 12, `type ${type}`);
    assert.ok((nal[0]! & 0x80) === 0 && nal.at(-1) !== 0);
    bytes += nal.length;
  }
  assert.equal(unit.byteLength, bytes);
}

const test = suite('bad H.264');

test('a damaged stream gives sound access units, in order, and harms nobody', () => {
  fc.assert(
    fc.property(damaged, fc.integer({ min: 1, max: 20_000 }), (stream, chunk) => {
      const { units, delivered } = run(stream, Math.max(chunk, 200));
      for (const unit of units) sound(unit);
      for (let i = 1; i < units.length; i++) assert.ok(units[i]!.timestampUs > units[i - 1]!.timestampUs);
      if (delivered.length > 0) assert.ok(delivered[0]!.keyframe, 'a viewer starts with an IDR');
    }),
    { numRuns: 300 },
  );
});

test('after any damage the next undamaged picture comes out whole', () => {
  const whole = run(CLIP).units.map((unit) => Buffer.concat(unit.nals).toString('hex'));
  fc.assert(
    fc.property(damaged, (stream) => {
      const repaired = run(Buffer.concat([stream, CLIP])).units.map((unit) => Buffer.concat(unit.nals).toString('hex'));
      assert.deepEqual(repaired.slice(-whole.length + 1), whole.slice(1));
    }),
    { numRuns: 100 },
  );
});

test('a truncated buffer from a device is no picture or a sound one', () => {
  const nals = splitNals(CLIP).slice(0, 6);
  const buffer = Buffer.concat(nals.flatMap((nal) => [Buffer.from([0, 0, 0, 1]), nal.subarray(0, 200)]));
  for (let length = 0; length <= buffer.length; length++) {
    const unit = accessUnitFrom(buffer.subarray(0, length), 0, 0);
    if (unit) sound(unit);
    new AccessUnitReader().read(buffer.subarray(0, length), 0, 0);
  }
});

test('any bytes whatever are split, read and refused without harm', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    // Mostly zeros and ones: start codes, and long exp-Golomb codes.
    fc
      .array(fc.constantFrom(0, 0, 0, 1, 3, 0x67, 0x68, 0x65, 0x41, 0xff), { maxLength: 400 })
      .map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(bytes, (data) => {
      const unit = accessUnitFrom(data, 0, 0);
      if (unit) sound(unit);
      for (const made of run(Buffer.from(data), 7).units) sound(made);
    }),
    { numRuns: 2000 },
  );
});

test('damaged parameter sets are refused with the field they fail at, or read within bounds', () => {
  const [sps, pps] = splitNals(CLIP) as [Uint8Array, Uint8Array];
  const mutated = (nal: Uint8Array) =>
    fc
      .tuple(fc.array(fc.tuple(fc.nat(nal.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(nal.length))
      .map(([changes, length]) => {
        const copy = Uint8Array.from(nal);
        for (const [at, value] of changes) copy[at] = value;
        return copy.subarray(0, length);
      });
  const named = (read: () => void) => {
    try {
      read();
    } catch (error) {
      assert.ok(error instanceof AppError, String(error));
      assert.match(error.message, /^(SPS|PPS): (field "\w+"|the NAL unit has type \d+)/);
    }
  };
  fc.assert(
    fc.property(fc.oneof(mutated(sps), fc.uint8Array({ maxLength: 100 })), (nal) => {
      named(() => {
        const { width, height, frameRate, id } = parseSps(nal);
        assert.ok(width > 0 && width <= 16_880 && height > 0 && height <= 33_760 && id < 32);
        assert.ok(frameRate >= 0 && frameRate <= 1000);
      });
    }),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(fc.oneof(mutated(pps), fc.uint8Array({ maxLength: 100 })), (nal) => {
      named(() => {
        const { id, spsId } = parsePps(nal);
        assert.ok(id < 256 && spsId < 32);
      });
    }),
    { numRuns: 5000 },
  );
});

test('without an SPS viewers get nothing, and the picture when it comes', () => {
  const withoutSets = splitNals(CLIP).filter((nal) => nalType(nal) !== 7 && nalType(nal) !== 8);
  const bare = Buffer.concat(withoutSets.flatMap((nal) => [Buffer.from([0, 0, 1]), nal]));
  const lacking = run(bare);
  assert.ok(lacking.units.length > 30);
  assert.equal(lacking.packets, 0);
  const { delivered } = run(Buffer.concat([bare, CLIP]));
  assert.deepEqual(delivered[0]!.nals.map(nalType), [7, 8, 5]);
});

test('a giant picture costs itself alone', () => {
  const giant = Buffer.concat([Buffer.from([0, 0, 0, 1, 0x65, 0x88]), Buffer.alloc(20 * 1024 * 1024, 0x5a)]);
  const { units } = run(Buffer.concat([CLIP, giant, CLIP]));
  assert.equal(units.length, 2 * run(CLIP).units.length);
  assert.deepEqual(
    units.filter(({ dropped }) => dropped > 0).map(({ dropped }) => dropped),
    [1],
  );
});

test.run();
