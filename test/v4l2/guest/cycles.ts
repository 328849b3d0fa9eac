import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { Camera, Encoder } from 'v4l2camera';
import { noisePicture } from './picture.ts';
import { replay } from './replay.ts';
import { nextFrames } from './streaming.ts';

const WARM_UP = 100;
const CYCLES = 500;
/**
 * The allocator and V8 take some 7 MB over the first 2000 cycles and then no more (measured over 8000); one leaked
 * H.264 buffer a cycle would be 30 MB and more.
 */
const MAX_GROWTH_KB = 6144;

/** Open, stream, close: what a camera that comes and goes does for years. */
export function cycles() {
  const test = suite('cycles');
  const picture = noisePicture({ pixelFormat: 'NV12', width: 160, height: 96, stride: 160 });

  test.before(() => replay.load({ multiplanar: false }));
  test.after(() => replay.unload());

  test(`${CYCLES} times open, stream, close a camera: nothing grows`, async () => {
    const path = replay.camera();
    await staysFlat(async () => {
      const camera = new Camera(path).open();
      camera.configSet({ interval: { numerator: 1, denominator: 250 } });
      camera.start();
      await nextFrames(camera, 1);
      camera.close();
    });
  });

  test(`${CYCLES} times open, encode, close an encoder: nothing grows`, async () => {
    const path = replay.encoder();
    await staysFlat(async () => {
      const encoder = new Encoder(path).open();
      encoder.configSet({ input: { pixelFormat: 'NV12', width: 160, height: 96 } });
      encoder.start();
      const done = nextFrames(encoder, 1);
      encoder.encode({ planes: picture.planes, timestampUs: 1 }, picture.format);
      await done;
      encoder.close();
    });
  });

  test('cameras that were opened and forgotten are collected', async () => {
    const path = replay.camera();
    const before = usage().files;
    for (let i = 0; i < 50; i++) new Camera(path).open();
    for (let i = 0; i < 20 && usage().files > before; i++) {
      globalThis.gc!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(usage().files, before);
  });

  return test;
}

async function staysFlat(cycle: () => Promise<void>): Promise<void> {
  for (let i = 0; i < WARM_UP; i++) await cycle();
  const before = usage();
  for (let i = 0; i < CYCLES; i++) await cycle();
  const after = usage();
  console.log(`    before ${JSON.stringify(before)} after ${JSON.stringify(after)}`);
  assert.equal(after.files, before.files, 'open files');
  assert.equal(after.deviceMaps, 0, 'mapped buffers');
  assert.ok(after.residentKb - before.residentKb < MAX_GROWTH_KB, `RSS ${before.residentKb} to ${after.residentKb} kB`);
}

function usage(): { files: number; deviceMaps: number; residentKb: number } {
  globalThis.gc!();
  const maps = readFileSync('/proc/self/maps', 'utf8');
  return {
    files: readdirSync('/proc/self/fd').length,
    deviceMaps: maps.split('\n').filter((line) => line.includes('/dev/video')).length,
    residentKb: Math.round(process.memoryUsage().rss / 1024),
  };
}
