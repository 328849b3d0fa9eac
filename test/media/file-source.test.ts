import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { FileSource } from '#device/file-source.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { nalType } from '#media/annex-b.ts';
import { CollectingSink } from '../support/collecting-sink.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { PATTERN_CLIP, patternClip } from '../support/pattern-clip.ts';
import { rejection } from '../support/rejection.ts';

const folder = mkdtempSync(join(tmpdir(), 'peercam-file-'));

/** CLOCK_MONOTONIC is ahead of the clock's zero: the board has been up for a while. */
const UPTIME_US = 5_000_000;

function setUp(options: { path?: string; fps?: number } = {}) {
  const clock = new FakeClock();
  const path = options.path ?? PATTERN_CLIP;
  const source = new FileSource({
    spec: `file:${path}`,
    path,
    fps: options.fps,
    clock,
    nowUs: () => UPTIME_US + Math.round(clock.now() * 1000),
  });
  return { source, clock, sink: new CollectingSink() };
}

function fileOf(name: string, data: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, data);
  return path;
}

function bytesOf(unit: AccessUnit): string {
  return Buffer.concat(unit.nals).toString('hex');
}

const test = suite('file source');
test.after(() => rmSync(folder, { recursive: true }));

test('tells size and rate from the stream', async () => {
  const { source, sink } = setUp();
  assert.deepEqual(await source.start(sink), {
    width: 1280,
    height: 720,
    frameRate: 30,
    canForceKeyFrame: false,
    canSetBitrate: false,
    description: `file ${PATTERN_CLIP}`,
  });
  await source.stop();
});

test('keeps its pace over hours, and its timestamps across the end of the file', async () => {
  const { source, clock, sink } = setUp();
  await source.start(sink);
  let count = 0;
  let last: AccessUnit | undefined;
  sink.accessUnit = (unit) => {
    assert.equal(unit.timestampUs, UPTIME_US + Math.round((count * 1e6) / 30));
    assert.equal(unit.keyframe, count % 30 === 0);
    const late = clock.now() - (count * 1000) / 30;
    assert.ok(late >= 0 && late < 1.001, `frame ${count} came ${late} ms late`);
    last = unit;
    count++;
  };
  const hours = 2;
  clock.advance(hours * 3_600_000 + 10);
  assert.equal(count, hours * 3600 * 30 + 1);
  assert.ok(last);
  await source.stop();
});

test('starts over with an IDR and its parameter sets, the same picture as the first', async () => {
  const { source, clock, sink } = setUp();
  await source.start(sink);
  clock.advance(10_050);
  const [first, again] = [sink.units[0]!, sink.units[300]!];
  assert.deepEqual(again.nals.map(nalType), [7, 8, 5]);
  assert.equal(bytesOf(again), bytesOf(first));
  await source.stop();
});

test('another rate is followed', async () => {
  const { source, clock, sink } = setUp({ fps: 12.5 });
  assert.equal((await source.start(sink)).frameRate, 12.5);
  clock.advance(10_010);
  assert.equal(sink.units.length, 126);
  assert.equal(sink.units[1]!.timestampUs - sink.units[0]!.timestampUs, 80_000);
  await source.stop();
});

test('after a pause of the whole machine it goes on from now instead of catching up', async () => {
  const { source, clock, sink } = setUp();
  await source.start(sink);
  clock.advance(1000);
  const before = sink.units.length;
  clock.skip(60_000);
  clock.advance(100);
  const after = sink.units.slice(before);
  assert.ok(after.length <= 4, `${after.length} pictures at once`);
  assert.ok(after[0]!.timestampUs > UPTIME_US + 60_000_000);
  await source.stop();
});

test('after stop no picture comes, not even from within a delivery; it can be started again', async () => {
  const { source, clock, sink } = setUp();
  await source.start(sink);
  clock.advance(500);
  const stopping: Promise<void>[] = [];
  const count = sink.units.length;
  sink.accessUnit = (unit) => {
    sink.units.push(unit);
    stopping.push(source.stop());
  };
  clock.advance(5000);
  assert.equal(sink.units.length, count + 1);
  assert.equal(clock.pending, 0);
  await Promise.all(stopping);
  const again = new CollectingSink();
  await source.start(again);
  clock.advance(100);
  assert.ok(again.units[0]!.keyframe);
  await source.stop();
});

test('stop during the start ends it', async () => {
  const { source, clock, sink } = setUp();
  const starting = rejection(source.start(sink));
  await source.stop();
  assert.equal((await starting).code, 'source.stopped');
  clock.advance(1000);
  assert.equal(sink.units.length, 0);
});

test('a file that was replaced is read anew', async () => {
  const path = fileOf('replaced.h264', patternClip());
  const { source, clock, sink } = setUp({ path });
  await source.start(sink);
  await source.stop();
  writeFileSync(path, patternClip().subarray(0, 90_000));
  utimesSync(path, 1, 1);
  await source.start(sink);
  clock.advance(10_000);
  const pictures = new Set(sink.units.map(bytesOf));
  assert.ok(pictures.size < 100, `${pictures.size} different pictures`);
  await source.stop();
});

test('what comes before the first IDR is left out', async () => {
  const { source, clock, sink } = setUp({ path: fileOf('late.h264', patternClip().subarray(24_000)) });
  await source.start(sink);
  clock.advance(9100);
  assert.ok(sink.units[0]!.keyframe);
  assert.equal(new Set(sink.units.map(bytesOf)).size, 270);
  await source.stop();
});

test('what cannot be played says so', async () => {
  const clip = patternClip();
  const large = fileOf('large.h264', Buffer.alloc(0));
  truncateSync(large, 65 * 1024 * 1024);
  const cases: [string, string, RegExp][] = [
    [join(folder, 'missing.h264'), 'source.file-unreadable', /no such file.*Check the path/],
    [folder, 'source.file-unreadable', /is not a file/],
    [large, 'source.file-too-large', /has 65 MiB; .* up to 64 MiB.*command:ffmpeg/],
    [fileOf('empty.h264', Buffer.alloc(0)), 'source.not-h264', /no H\.264 picture to start with.*ffmpeg -i/],
    [fileOf('text.h264', Buffer.from('hello '.repeat(10_000))), 'source.not-h264', /Annex B/],
    [fileOf('no-sps.h264', clip.subarray(clip.indexOf(Buffer.from([0x65])) - 4, 60_000)), 'source.not-h264', /SPS/],
  ];
  for (const [path, code, message] of cases) {
    const { source, sink } = setUp({ path });
    const error = await rejection(source.start(sink));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    await source.stop();
  }
});

test.run();
