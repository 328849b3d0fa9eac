import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { AppError } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { nalType } from '#media/annex-b.ts';
import { ParameterSetCache, parsePps, parseSps } from '#media/parameter-sets.ts';

/** What real encoders wrote (x264 through ffmpeg, with different settings). */
const REAL = [
  {
    what: 'High, 1918x1078: cropped',
    sps: '67640028acd940780227a9b011000003000100000300320f183196',
    expected: { profileLevelId: '640028', width: 1918, height: 1078, frameRate: 25 },
  },
  {
    what: 'Constrained Baseline, 29.97 fps',
    sps: '6742c01ed900a03db01100000303e90000ea600f162e48',
    expected: { profileLevelId: '42c01e', width: 640, height: 480, frameRate: 30000 / 1001 },
  },
  {
    what: 'Main, interlaced',
    sps: '674d401eeca05a126c0440000003004000000c87c50a6580',
    expected: { profileLevelId: '4d401e', width: 720, height: 576, frameRate: 25 },
  },
  {
    what: 'High 4:4:4 Predictive, 1080 lines in 68 macroblock rows',
    sps: '67f4002a919b280f0044fc4e022000007d20003a9801e30632c0',
    expected: { profileLevelId: 'f4002a', width: 1920, height: 1080, frameRate: 60000 / 1001 },
  },
  {
    what: 'aspect ratio by number, colours',
    sps: '6742c00cd9016096c09a80810120000003002000000303c1e28549',
    expected: { profileLevelId: '42c00c', width: 352, height: 288, frameRate: 15 },
  },
  {
    what: 'aspect ratio in full, full range, chroma location',
    sps: '67640016acd940a03dbff005900346d4a0000003002000000303c1e2c5b2c0',
    expected: { profileLevelId: '640016', width: 640, height: 480, frameRate: 15 },
  },
];

const SPS = Buffer.from(REAL[1]!.sps, 'hex');
const OTHER_SPS = Buffer.from(REAL[4]!.sps, 'hex');
const PPS = Buffer.from('68cb83cb20', 'hex');

/** Writes syntax elements: a bit string, or a number as ue(v). */
function nalOf(header: number, ...elements: (string | number)[]): Buffer {
  const bits = `${elements.map((element) => (typeof element === 'number' ? unsigned(element) : element)).join('')}1`;
  const bytes = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0').match(/.{8}/g)!;
  return Buffer.from([header, ...bytes.map((byte) => Number.parseInt(byte, 2))]);
}

function unsigned(value: number): string {
  const code = (value + 1).toString(2);
  return '0'.repeat(code.length - 1) + code;
}

function failure(run: () => unknown): AppError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof AppError, String(error));
    return error;
  }
  throw new Error('no error');
}

const sps = suite('SPS');

for (const { what, sps: hex, expected } of REAL) {
  sps(what, () => {
    const { profileLevelId, width, height, frameRate } = parseSps(Buffer.from(hex, 'hex'));
    assert.deepEqual({ profileLevelId, width, height, frameRate }, expected);
  });
}

sps('scaling lists and picture order count type 1 are passed over', () => {
  const list = ['1', '1', ...Array(15).fill(unsigned(0)), unsigned(16)];
  const nal = nalOf(
    0x67,
    ...['01100100', '00000000', '00101000', 3, 1, 0, 0, '0', '1'],
    ...['1', unsigned(16), '0', '1', ...list.slice(2), ...Array(5).fill('0')],
    ...[0, 1, '0', 2, 3, 2, 1, 4, 1, '0'],
    ...[39, 29, '1', '1', '0', '0'],
  );
  const { id, width, height, frameRate } = parseSps(nal);
  assert.deepEqual({ id, width, height, frameRate }, { id: 3, width: 640, height: 480, frameRate: 0 });
});

sps('one that is cut off names the field; without its VUI only the frame rate is lost', () => {
  let widths = 0;
  for (let length = 1; length < SPS.length; length++) {
    try {
      assert.equal(parseSps(SPS.subarray(0, length)).width, 640);
      widths++;
    } catch (error) {
      assert.ok(error instanceof AppError);
      assert.equal(error.code, 'media.bad-h264');
      assert.match(error.message, /^SPS: field "\w+" is cut off/);
    }
  }
  assert.ok(widths > 5);
});

sps('values out of range name the field', () => {
  const start = ['01000010', '11000000', '00011110'];
  assert.match(failure(() => parseSps(nalOf(0x67, ...start, 32))).message, /"seq_parameter_set_id" is 32/);
  const before = [...start, 0, 0, 2, 1, '0'];
  assert.match(failure(() => parseSps(nalOf(0x67, ...before, 5000))).message, /"pic_width_in_mbs_minus1" is 5000/);
  assert.match(
    failure(() => parseSps(nalOf(0x67, ...before, 3, 3, '1', '1', '1', 20, 20, 0, 0, '0'))).message,
    /"frame_cropping" leaves nothing/,
  );
  assert.match(failure(() => parseSps(Buffer.from([0x67, 66, 0, 30, ...Array(20).fill(0)]))).message, /exp-Golomb/);
  assert.match(failure(() => parseSps(Buffer.alloc(5000, 0x67))).message, /5000 bytes long/);
  assert.match(failure(() => parseSps(PPS)).message, /type 8/);
});

sps.run();

const pps = suite('PPS');

pps('tells its SPS', () => {
  assert.deepEqual(parsePps(PPS), { id: 0, spsId: 0 });
  assert.deepEqual(parsePps(nalOf(0x68, 7, 3, '0')), { id: 7, spsId: 3 });
  assert.match(failure(() => parsePps(nalOf(0x68, 256, 0))).message, /"pic_parameter_set_id" is 256/);
  assert.match(failure(() => parsePps(Buffer.from([0x68]))).message, /"pic_parameter_set_id" is cut off/);
});

pps.run();

const cache = suite('parameter set cache');

/** An IDR slice that refers to a PPS. */
function idr(ppsId = 0): Buffer {
  return nalOf(0x65, 0, 7, ppsId, '0000000');
}

function unitOf(...nals: Buffer[]): AccessUnit {
  const keyframe = nals.some((nal) => nalType(nal) === 5);
  return { nals, keyframe, timestampUs: 5, byteLength: Buffer.concat(nals).length, dropped: 0 };
}

function typesOf(unit: AccessUnit | undefined): number[] | undefined {
  return unit?.nals.map(nalType);
}

cache('an IDR that lacks its sets gets them, one that has them stays the same object', () => {
  const sets = new ParameterSetCache();
  const first = unitOf(SPS, PPS, idr());
  assert.equal(sets.complete(first), first);
  assert.equal(sets.sps?.width, 640);
  const bare = unitOf(idr());
  const completed = sets.complete(bare)!;
  assert.deepEqual(completed.nals.map(String), [SPS, PPS, idr()].map(String));
  assert.equal(completed.byteLength, SPS.length + PPS.length + idr().length);
  assert.equal(completed.timestampUs, 5);
  const slice = unitOf(Buffer.from([0x41, 0x88, 1]));
  assert.equal(sets.complete(slice), slice);
});

cache('an IDR that brings one of two sets gets the other, SPS first', () => {
  const sets = new ParameterSetCache();
  sets.complete(unitOf(SPS, PPS, idr()));
  assert.deepEqual(typesOf(sets.complete(unitOf(PPS, Buffer.from([6, 5, 1, 128]), idr()))), [7, 8, 6, 5]);
  assert.deepEqual(typesOf(sets.complete(unitOf(SPS, idr()))), [7, 8, 5]);
});

cache('sets that come without a picture count, the newest of each number wins', () => {
  const sets = new ParameterSetCache();
  sets.complete(unitOf(SPS, PPS));
  sets.complete(unitOf(OTHER_SPS));
  assert.deepEqual(sets.complete(unitOf(idr()))?.nals.map(String), [OTHER_SPS, PPS, idr()].map(String));
  assert.equal(sets.sps?.width, 352);
});

cache('each IDR gets the sets it refers to', () => {
  const sets = new ParameterSetCache();
  const second = nalOf(0x68, 1, 0, '0');
  sets.complete(unitOf(SPS, PPS, second));
  assert.deepEqual(sets.complete(unitOf(idr(1)))?.nals.map(String), [SPS, second, idr(1)].map(String));
});

cache('an IDR whose sets nobody has seen is not given on', () => {
  const sets = new ParameterSetCache();
  assert.equal(sets.complete(unitOf(idr())), undefined);
  sets.complete(unitOf(PPS));
  assert.equal(sets.complete(unitOf(idr())), undefined);
  sets.complete(unitOf(SPS));
  assert.ok(sets.complete(unitOf(idr())));
  assert.equal(sets.complete(unitOf(idr(4))), undefined);
  sets.clear();
  assert.equal(sets.complete(unitOf(idr())), undefined);
});

cache('a damaged set is reported and does not replace the good one', () => {
  const errors: AppError[] = [];
  const sets = new ParameterSetCache({ onBadSet: (error) => errors.push(error) });
  sets.complete(unitOf(SPS, PPS));
  sets.complete(unitOf(SPS.subarray(0, 6), Buffer.from([0x68])));
  assert.equal(errors.length, 2);
  assert.deepEqual(sets.complete(unitOf(idr()))?.nals.map(String), [SPS, PPS, idr()].map(String));
});

cache.run();
