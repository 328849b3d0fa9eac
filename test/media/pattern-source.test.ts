import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import { barcodeCells } from '#device/sim/barcode.ts';
import { createPatternSource } from '#device/sim/pattern-source.ts';
import { systemClock } from '#lib/clock.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { nalType, splitNals } from '#media/annex-b.ts';
import { parseSps } from '#media/parameter-sets.ts';
import { type Picture, readBarcode } from '../support/barcode.ts';
import { CollectingSink } from '../support/collecting-sink.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { PATTERN_CLIP, patternClip } from '../support/pattern-clip.ts';
import { until } from '../support/wait.ts';

/** The first pictures of an H.264 stream as ffmpeg decodes and scales them, through another encoder if one is given. */
function decode(
  stream: Buffer,
  options: { width: number; height: number; count: number; encoder?: string[] },
): Picture[] {
  const { width, height, count, encoder = [] } = options;
  const coded = encoder.length > 0 ? ffmpeg(stream, [...encoder, '-f', 'h264']) : stream;
  const raw = ['-vf', `scale=${width}:${height}`, '-frames:v', `${count}`, '-f', 'rawvideo', '-pix_fmt', 'rgba'];
  const pixels = ffmpeg(coded, raw);
  const size = width * height * 4;
  return Array.from({ length: pixels.length / size }, (_, i) => ({
    data: pixels.subarray(i * size, (i + 1) * size),
    width,
    height,
  }));
}

function ffmpeg(input: Buffer, output: string[]): Buffer {
  const { status, stdout, stderr, error } = spawnSync(
    'ffmpeg',
    ['-v', 'error', '-f', 'h264', '-i', '-', ...output, '-'],
    {
      input,
      maxBuffer: 1 << 29,
    },
  );
  // With a limited number of pictures it ends before it has read everything.
  if (error && !('code' in error && error.code === 'EPIPE')) throw error;
  assert.equal(status, 0, String(stderr));
  return stdout;
}

/** A flat picture with a barcode as it would be drawn. */
function drawn(frame: number, width: number, height: number, levels: [number, number] = [235, 16]): Picture {
  const data = new Uint8ClampedArray(width * height * 4).fill(120);
  const cells = barcodeCells(frame);
  for (let y = Math.round((height * 688) / 720); y < height; y++) {
    for (let x = 0; x < width; x++) {
      data.fill(
        cells[Math.floor((x * 16) / width)] ? levels[0] : levels[1],
        (y * width + x) * 4,
        (y * width + x) * 4 + 3,
      );
    }
  }
  return { data, width, height };
}

const NUMBERS = Array.from({ length: 300 }, (_, i) => i);

const clip = suite('the clip');

clip('is Constrained Baseline 3.1, 1280x720 at 30 fps, in the form every browser offers', () => {
  const sps = splitNals(patternClip()).filter((nal) => nalType(nal) === 7);
  assert.equal(sps.length, 10);
  for (const nal of sps) {
    const { profileLevelId, width, height, frameRate } = parseSps(nal);
    assert.deepEqual(
      { profileLevelId, width, height, frameRate },
      { profileLevelId: '42e01f', width: 1280, height: 720, frameRate: 30 },
    );
  }
});

clip('is one slice a picture, an IDR every 30, and small', () => {
  const slices = splitNals(patternClip()).filter((nal) => nalType(nal) === 1 || nalType(nal) === 5);
  assert.deepEqual(
    slices.map(nalType),
    NUMBERS.map((i) => (i % 30 === 0 ? 5 : 1)),
  );
  assert.ok(patternClip().length <= 1_200_000);
});

clip('shows its frame numbers, at full size, scaled to 320 and to 160, and after hard compression', () => {
  const poor = ['-vf', 'scale=320:180', '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '42'];
  for (const { width, height, encoder, count } of [
    { width: 1280, height: 720, encoder: [], count: 45 },
    { width: 320, height: 180, encoder: [], count: 300 },
    { width: 160, height: 90, encoder: [], count: 300 },
    { width: 320, height: 180, encoder: poor, count: 300 },
  ]) {
    const read = decode(patternClip(), { width, height, encoder, count }).map(readBarcode);
    assert.deepEqual(read, NUMBERS.slice(0, count), `${width}x${height} ${encoder.join(' ')}`);
  }
});

clip.run();

const barcode = suite('barcode');

barcode('every number is read at every size', () => {
  for (const [width, height] of [
    [1280, 720],
    [640, 360],
    [426, 240],
    [160, 90],
  ] as const) {
    for (let frame = 0; frame < 1024; frame += width > 600 ? 41 : 7) {
      assert.equal(readBarcode(drawn(frame, width, height)), frame, `${frame} at ${width}x${height}`);
    }
  }
  assert.equal(readBarcode(drawn(1030, 640, 360)), 6);
  assert.equal(readBarcode(drawn(77, 640, 360, [190, 70])), 77);
});

barcode('a picture without one, a faint one and one with a wrong cell are not read', () => {
  const flat = { data: new Uint8ClampedArray(320 * 180 * 4).fill(200), width: 320, height: 180 };
  assert.equal(readBarcode(flat), undefined);
  assert.equal(readBarcode(drawn(77, 320, 180, [120, 100])), undefined);
  for (let cell = 0; cell < 16; cell++) {
    const picture = drawn(77, 320, 180);
    const data = picture.data as Uint8ClampedArray;
    for (let y = 172; y < 180; y++) {
      for (let i = (y * 320 + cell * 20) * 4; i < (y * 320 + cell * 20 + 20) * 4; i++) data[i] = 251 - data[i]!;
    }
    assert.equal(readBarcode(picture), undefined, `cell ${cell}`);
  }
});

barcode.run();

const source = suite('pattern source');

source('plays the clip in real time', async () => {
  const pattern = createPatternSource({ clip: PATTERN_CLIP, clock: systemClock });
  assert.equal(pattern.spec, 'pattern');
  const sink = new CollectingSink();
  const info = await pattern.start(sink);
  assert.equal(info.description, 'test pattern');
  const from = performance.now();
  await until('45 pictures came', () => sink.units.length >= 45);
  const seconds = (performance.now() - from) / 1000;
  await pattern.stop();
  assert.ok(seconds > 1.4, `${seconds} s`);
});

source('its picture moves on across the loop, and a decoder follows it', async () => {
  const clock = new FakeClock();
  const pattern = createPatternSource({ clip: PATTERN_CLIP, clock });
  const sink = new CollectingSink();
  await pattern.start(sink);
  clock.advance(12_000);
  await pattern.stop();
  const annexB = (unit: AccessUnit) => unit.nals.flatMap((nal) => [Buffer.from([0, 0, 0, 1]), nal]);
  const read = decode(Buffer.concat(sink.units.flatMap(annexB)), { width: 320, height: 180, count: 1000 }).map(
    readBarcode,
  );
  assert.deepEqual(
    read,
    sink.units.map((_, i) => i % 300),
  );
});

source.run();
