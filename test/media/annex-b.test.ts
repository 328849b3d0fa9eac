import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { AppError } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { AccessUnitReader, accessUnitFrom, nalType, splitNals } from '#media/annex-b.ts';
import { AnnexBSplitter } from '#media/annex-b-splitter.ts';
import { LiveSplitter } from '#media/live-splitter.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { patternClip } from '../support/pattern-clip.ts';

const START = Buffer.from([0, 0, 0, 1]);
const SHORT_START = Buffer.from([0, 0, 1]);
const AUD = Buffer.from([0x09, 0xf0]);
const SPS = Buffer.from('6742c00cd9016096c09a80810120000003002000000303c1e28549', 'hex');
const PPS = Buffer.from('68cb83cb20', 'hex');
const SEI = Buffer.from([0x06, 0x05, 0x01, 0x80]);
const FILLER = Buffer.from([0x0c, 0xff, 0xff, 0x80]);

/** A slice NAL unit; only its first two bytes mean something, the rest is `size` bytes of `mark`. */
function slice(options: { idr?: boolean; first?: boolean; mark?: number; size?: number } = {}): Buffer {
  const { idr = false, first = true, mark = 0x55, size = 40 } = options;
  return Buffer.concat([Buffer.from([idr ? 0x65 : 0x41, first ? 0x88 : 0x48]), Buffer.alloc(size, mark)]);
}

function stream(...nals: Buffer[]): Buffer {
  return Buffer.concat(nals.flatMap((nal) => [START, nal]));
}

function hexOf(nals: readonly Uint8Array[]): string[] {
  return nals.map((nal) => Buffer.from(nal).toString('hex'));
}

/** Everything a splitter gives out for these chunks. */
function split(chunks: readonly Uint8Array[], options: { maxBytes?: number } = {}) {
  const units: AccessUnit[] = [];
  const problems: AppError[] = [];
  const splitter = new AnnexBSplitter({
    ...options,
    onAccessUnit: (unit) => units.push(unit),
    onProblem: (error) => problems.push(error),
  });
  for (const chunk of chunks) splitter.push(chunk, 0);
  splitter.end();
  return { units, problems };
}

function typesOf(unit: AccessUnit): number[] {
  return unit.nals.map(nalType);
}

function cutAt(data: Buffer, places: readonly number[]): Buffer[] {
  const edges = [0, ...[...places].sort((a, b) => a - b), data.length];
  return edges.slice(1).map((end, i) => data.subarray(edges[i], end));
}

const nals = suite('NAL units');

nals('are found after start codes of three and four bytes, without trailing zeros', () => {
  const data = Buffer.concat([START, SPS, SHORT_START, PPS, Buffer.alloc(5), START, slice(), Buffer.alloc(3)]);
  assert.deepEqual(hexOf(splitNals(data)), hexOf([SPS, PPS, slice()]));
});

nals('are views: nothing is copied', () => {
  const data = new Uint8Array(stream(SPS, PPS));
  for (const nal of splitNals(data)) assert.equal(nal.buffer, data.buffer);
});

nals('bytes before the first start code, empty units and buffers without any start code give nothing', () => {
  assert.deepEqual(hexOf(splitNals(Buffer.concat([Buffer.from('noise'), START, SPS]))), hexOf([SPS]));
  assert.deepEqual(splitNals(Buffer.concat([START, START, START])), []);
  assert.deepEqual(splitNals(Buffer.from('no start code here')), []);
  assert.deepEqual(splitNals(new Uint8Array(0)), []);
});

nals.run();

const buffers = suite('access units from a device');

buffers('hold the picture and what belongs to it, not delimiters, filler and what is damaged', () => {
  const forbidden = Buffer.from([0xe5, 0x88, 1, 2]);
  const unspecified = Buffer.from([0x78, 1, 2]);
  const data = stream(AUD, SPS, PPS, SEI, forbidden, unspecified, Buffer.from([0x65]), slice({ idr: true }), FILLER);
  const unit = accessUnitFrom(data, 1234, 2);
  assert.ok(unit);
  assert.deepEqual(typesOf(unit), [7, 8, 6, 5]);
  assert.equal(unit.keyframe, true);
  assert.equal(unit.timestampUs, 1234);
  assert.equal(unit.dropped, 2);
  assert.equal(unit.byteLength, SPS.length + PPS.length + SEI.length + slice().length);
  assert.equal(accessUnitFrom(stream(slice()), 0, 0)?.keyframe, false);
});

buffers('without a picture give none', () => {
  assert.equal(accessUnitFrom(stream(SPS, PPS), 0, 0), undefined);
  assert.equal(accessUnitFrom(new Uint8Array(0), 0, 0), undefined);
});

buffers('parameter sets in a buffer of their own go before the next picture', () => {
  const reader = new AccessUnitReader();
  assert.equal(reader.read(stream(SPS, PPS), 100, 1), undefined);
  const unit = reader.read(stream(slice({ idr: true })), 200, 2);
  assert.deepEqual(unit && typesOf(unit), [7, 8, 5]);
  assert.equal(unit?.timestampUs, 200);
  assert.equal(unit?.dropped, 3);
  assert.deepEqual(typesOf(reader.read(stream(slice()), 300, 0)!), [1]);
});

buffers('a device that sends nothing but parameter sets does not fill the memory', () => {
  const reader = new AccessUnitReader();
  for (let i = 0; i < 1000; i++) reader.read(stream(SPS, PPS), i, 0);
  assert.ok(reader.read(stream(slice({ idr: true })), 0, 0)!.nals.length < 100);
});

buffers.run();

const splitter = suite('byte stream');

splitter('a real stream comes out as its 300 pictures, every NAL unit as it was', () => {
  const clip = patternClip();
  const { units, problems } = split([clip]);
  assert.equal(units.length, 300);
  assert.deepEqual(
    units.map(({ keyframe }) => keyframe),
    Array.from({ length: 300 }, (_, i) => i % 30 === 0),
  );
  assert.deepEqual(typesOf(units[0]!), [7, 8, 5]);
  assert.deepEqual(typesOf(units[1]!), [1]);
  assert.deepEqual(hexOf(units.flatMap((unit) => unit.nals)), hexOf(splitNals(clip)));
  assert.deepEqual(problems, []);
});

splitter('the chunks it arrives in make no difference', () => {
  const clip = patternClip().subarray(0, 60_000);
  const whole = split([clip]).units.map((unit) => hexOf(unit.nals).join());
  fc.assert(
    fc.property(fc.array(fc.nat(clip.length), { maxLength: 60 }), (places) => {
      const pieces = split(cutAt(clip, places)).units.map((unit) => hexOf(unit.nals).join());
      assert.deepEqual(pieces, whole);
    }),
    { numRuns: 60 },
  );
});

splitter('delimiters, SEI, parameter sets and the slice with macroblock 0 each begin a picture, at any cut', () => {
  const data = Buffer.concat([
    stream(AUD, SPS, PPS, SEI, slice({ idr: true }), slice({ idr: true, first: false })),
    stream(slice(), slice({ first: false }), slice({ first: false }), FILLER),
    stream(SEI, slice()),
    stream(AUD, slice(), Buffer.from([0x0a])),
    stream(SPS, PPS, slice({ idr: true })),
    Buffer.concat([SHORT_START, slice()]),
  ]);
  const expected = [[7, 8, 6, 5, 5], [1, 1, 1], [6, 1], [1, 10], [7, 8, 5], [1]];
  for (let size = 1; size <= data.length; size++) {
    const places = Array.from({ length: Math.ceil(data.length / size) - 1 }, (_, i) => (i + 1) * size);
    assert.deepEqual(split(cutAt(data, places)).units.map(typesOf), expected, `chunks of ${size} bytes`);
  }
});

splitter('a picture comes out with the first bytes of the next, not with its end', () => {
  const units: AccessUnit[] = [];
  const live = new AnnexBSplitter({ onAccessUnit: (unit) => units.push(unit), onProblem() {} });
  live.push(stream(SPS, PPS, slice({ idr: true }), slice()), 1_000_000);
  assert.equal(units.length, 1);
  live.push(Buffer.concat([START, slice().subarray(0, 2)]), 2_000_000);
  assert.equal(units.length, 2);
});

splitter('a picture has the time its first byte arrived, and never the time of the one before', () => {
  const units: AccessUnit[] = [];
  const live = new AnnexBSplitter({ onAccessUnit: (unit) => units.push(unit), onProblem() {} });
  live.push(stream(slice({ idr: true }), slice(), slice()), 1_000_000);
  live.push(slice(), 2_000_000);
  live.push(stream(slice()), 500_000);
  live.end();
  const times = units.map(({ timestampUs }) => timestampUs);
  assert.deepEqual(times.slice(0, 1), [1_000_000]);
  for (let i = 1; i < times.length; i++) assert.ok(times[i]! > times[i - 1]!, times.join());
});

splitter('a giant picture is left out and told, its parameter sets and the next picture are not', () => {
  const giant = slice({ idr: true, size: 5 * 1024 * 1024 });
  const data = stream(slice(), SPS, PPS, giant, slice({ idr: true, first: false }), slice({ mark: 0x77 }), slice());
  const { units, problems } = split(cutAt(data, [100, 70_000, 3_000_000]));
  assert.deepEqual(units.map(typesOf), [[1], [7, 8, 1], [1]]);
  assert.deepEqual(
    units.map(({ dropped }) => dropped),
    [0, 1, 0],
  );
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['media.picture-too-large'],
  );
});

splitter('endless NAL units, endless tiny slices and endless noise take no memory', () => {
  const { units } = split([]);
  assert.deepEqual(units, []);
  const noise = Buffer.alloc(1024 * 1024, 0xaa);
  const tiny = Buffer.concat(
    Array.from({ length: 100_000 }, () => Buffer.concat([START, slice({ first: false, size: 2 })])),
  );
  for (const [head, body] of [
    [Buffer.alloc(0), noise],
    [stream(slice()), noise],
    [stream(slice()), tiny],
  ] as const) {
    const live = new AnnexBSplitter({ onAccessUnit() {}, onProblem() {} });
    live.push(head, 0);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 200; i++) live.push(body, i);
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);
  }
});

splitter('a slice whose picture began before the stream did is left out', () => {
  const { units } = split([stream(slice({ first: false }), SPS, PPS, slice({ idr: true }))]);
  assert.deepEqual(units.map(typesOf), [[7, 8, 5]]);
});

splitter.run();

const live = suite('live byte stream');

/** A writer and the splitter that reads it, on a clock the test turns. */
function setUpLive() {
  const clock = new FakeClock();
  const units: { unit: AccessUnit; at: number }[] = [];
  const problems: AppError[] = [];
  const reader = new LiveSplitter({
    clock,
    nowUs: () => Math.round(clock.now() * 1000),
    onAccessUnit: (unit) => units.push({ unit, at: clock.now() }),
    onProblem: (error) => problems.push(error),
  });
  /** Writes, then pauses for a frame interval. */
  const write = (...chunks: Buffer[]) => {
    for (const chunk of chunks) reader.push(chunk);
    clock.advance(33);
  };
  return { clock, reader, units, problems, write };
}

/** How long after its first byte the latest unit came out, ms. */
function latency({ unit, at }: { unit: AccessUnit; at: number }): number {
  return at - unit.timestampUs / 1000;
}

live('once pauses have proven to fall between pictures, a pause gives the picture out', () => {
  const { units, write, problems } = setUpLive();
  for (let i = 0; i < 20; i++) write(stream(slice({ idr: i === 0, mark: i })));
  assert.equal(units.length, 20);
  assert.equal(latency(units[0]!), 33);
  assert.deepEqual(
    units.slice(10).map((unit) => latency(unit)),
    Array(10).fill(5),
  );
  assert.deepEqual(problems, []);
});

live('a picture in several chunks close together stays one', () => {
  const { clock, reader, units, problems } = setUpLive();
  const picture = stream(slice({ size: 1000 }));
  for (let i = 0; i < 20; i++) {
    for (const piece of cutAt(picture, [200, 400, 600])) {
      reader.push(piece);
      clock.advance(3);
    }
    clock.advance(21);
  }
  assert.equal(units.length, 20);
  assert.ok(units.every(({ unit }) => unit.byteLength === 1002));
  assert.equal(latency(units[19]!), 9 + 5);
  assert.deepEqual(problems, []);
});

live('a program that leaves the rest of each picture in its buffer loses nothing', () => {
  const { units, write, problems, reader } = setUpLive();
  let rest = Buffer.alloc(0);
  for (let i = 0; i < 50; i++) {
    const written = Buffer.concat([rest, stream(slice({ idr: i === 0, mark: i + 1, size: 100 }))]);
    const flushed = written.length - 30;
    rest = written.subarray(flushed);
    write(written.subarray(0, flushed));
  }
  reader.push(rest);
  reader.end();
  assert.equal(units.length, 50);
  assert.ok(units.every(({ unit }) => unit.byteLength === 102));
  assert.deepEqual(problems, []);
});

live('slices written one by one stay one picture', () => {
  const { units, clock, reader } = setUpLive();
  for (let i = 0; i < 50; i++) {
    reader.push(stream(slice()));
    clock.advance(16);
    reader.push(stream(slice({ first: false })));
    clock.advance(17);
  }
  reader.end();
  assert.equal(units.length, 50);
  assert.ok(units.every(({ unit }) => unit.nals.length === 2));
});

live('a trusted program that pauses inside a picture costs that picture, says so, and must prove itself anew', () => {
  const { units, write, problems, clock, reader } = setUpLive();
  for (let i = 0; i < 12; i++) write(stream(slice({ size: 400 })));
  const [head, tail] = cutAt(stream(slice({ size: 400 })), [200]) as [Buffer, Buffer];
  reader.push(head);
  clock.advance(15);
  write(tail);
  const before = units.length;
  write(stream(slice({ size: 400, mark: 0x77 })));
  write(stream(slice({ size: 400 })));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['media.cut-short'],
  );
  const after = units.slice(before).map(({ unit }) => unit);
  assert.equal(after[0]?.dropped, 1);
  assert.equal(after[0]?.byteLength, 402);
  assert.equal(latency(units.at(-1)!), 33);
  for (let i = 0; i < 25; i++) write(stream(slice()));
  assert.equal(latency(units.at(-1)!), 33);
  for (let i = 0; i < 15; i++) write(stream(slice()));
  assert.equal(latency(units.at(-1)!), 10);
});

live('after the end nothing waits any more', () => {
  const { clock, reader, units } = setUpLive();
  reader.push(stream(slice({ idr: true })));
  reader.end();
  assert.equal(units.length, 1);
  assert.equal(clock.pending, 0);
});

live.run();
