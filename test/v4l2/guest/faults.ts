import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import { Camera, Encoder } from 'v4l2camera';
import { until } from '../../support/wait.ts';
import { noisePicture } from './picture.ts';
import { replay, replugged } from './replay.ts';
import { nextError, nextFrames } from './streaming.ts';

/** An unplugging must be told at once, not by a timeout. Generous for an emulated machine. */
const PROMPT_MS = 1000;

/** Hardware that goes away, fails and hangs. */
export function faults({ multiplanar }: { multiplanar: boolean }) {
  const test = suite(`faults, ${multiplanar ? 'multi' : 'single'}-planar`);
  const picture = noisePicture({ pixelFormat: 'NV12', width: 160, height: 96, stride: 160 });
  const raw = multiplanar ? 'NM12' : 'NV12';
  let camera: Camera;
  let encoder: Encoder;

  test.before(() => replay.load({ multiplanar }));
  test.after(() => replay.unload());
  test.before.each(() => openBoth());
  test.after.each(async () => {
    replay.set('stall', 0);
    camera.close();
    encoder.close();
    await replugged();
  });

  test('camera unplugged while streaming, and plugged in again', async () => {
    camera.start();
    await nextFrames(camera, 3);
    const failed = nextError(camera);
    replay.set('plugged', 0);
    const { code, afterMs } = await failed;
    assert.equal(code, 'ENODEV');
    assert.ok(afterMs < PROMPT_MS, `told after ${afterMs} ms`);
    assert.throws(() => camera.start(), { code: 'ENODEV' });
    assert.throws(() => camera.forceKeyFrame(), { code: 'ENODEV' });
    camera.close();
    await replugged();
    camera = new Camera(replay.camera()).open();
    camera.start();
    await nextFrames(camera, 3);
  });

  test('camera unplugged while every buffer is lent out', async () => {
    const granted = camera.start({ lend: true });
    const held = await nextFrames(camera, granted);
    replay.set('plugged', 0);
    const failed = nextError(camera);
    held[0]!.release();
    assert.equal((await failed).code, 'ENODEV');
    assert.equal(held[1]!.data.length, 0);
  });

  test('encoder unplugged at work, and plugged in again', async () => {
    startEncoder();
    await encodeOne();
    const failed = nextError(encoder);
    replay.set('plugged', 0);
    const { code, afterMs } = await failed;
    assert.equal(code, 'ENODEV');
    assert.ok(afterMs < PROMPT_MS, `told after ${afterMs} ms`);
    encoder.close();
    await replugged();
    encoder = new Encoder(replay.encoder()).open();
    startEncoder();
    await encodeOne();
  });

  test('camera reports EIO and starts again', async () => {
    camera.start();
    await nextFrames(camera, 3);
    const failed = nextError(camera);
    replay.set('eio', 1);
    assert.equal((await failed).code, 'EIO');
    camera.start();
    await nextFrames(camera, 3);
  });

  test('encoder reports EIO and starts again', async () => {
    startEncoder();
    await encodeOne();
    const failed = nextError(encoder);
    replay.set('eio', 1);
    assert.equal((await failed).code, 'EIO');
    startEncoder();
    await encodeOne();
  });

  test('a silent camera is noticed', async () => {
    camera.start({ stallMs: 300 });
    await nextFrames(camera, 3);
    const failed = nextError(camera);
    replay.set('stall', 1);
    const { code, afterMs } = await failed;
    assert.equal(code, 'ESTALLED');
    assert.ok(afterMs >= 200, `not before its time (${afterMs} ms)`);
    replay.set('stall', 0);
    camera.start({ stallMs: 300 });
    await nextFrames(camera, 3);
  });

  test('a stalled encoder is noticed, an idle one is not', async () => {
    startEncoder(300);
    await encodeOne();
    let complained = false;
    encoder.once('error', () => {
      complained = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 700)); // nothing to do is no stall: only time can show it
    assert.equal(complained, false);
    encoder.removeAllListeners('error');
    replay.set('stall', 1);
    const failed = nextError(encoder);
    encode();
    assert.equal((await failed).code, 'ESTALLED');
    replay.set('stall', 0);
    startEncoder(300);
    await encodeOne();
  });

  test('an error without a listener is an exception, as with every emitter', async () => {
    camera.start();
    await nextFrames(camera, 1);
    const thrown = new Promise<NodeJS.ErrnoException>((resolve) => process.once('uncaughtException', resolve));
    replay.set('eio', 1);
    assert.equal((await thrown).code, 'EIO');
  });

  test('an exception in a frame handler reaches the process, and streaming goes on', async () => {
    const thrown = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
    camera.once('frame', () => {
      throw new Error('from a handler');
    });
    camera.start();
    assert.equal((await thrown).message, 'from a handler');
    await nextFrames(camera, 2);
  });

  test('worker threads may end in the middle of streaming', async () => {
    camera.close();
    for (let i = 0; i < 8; i++) {
      const worker = new Worker(new URL('./worker.mjs', import.meta.url), { workerData: { path: replay.camera() } });
      await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      await worker.terminate();
    }
    await until('the camera is free again', () => {
      camera.open();
      camera.start();
      return true;
    });
    await nextFrames(camera, 2);
  });

  function openBoth(): void {
    camera = new Camera(replay.camera()).open();
    camera.configSet({ interval: { numerator: 1, denominator: 250 } });
    encoder = new Encoder(replay.encoder()).open();
  }

  function startEncoder(stallMs = 2000): void {
    encoder.configSet({ input: { pixelFormat: raw, width: 160, height: 96 } });
    encoder.start({ stallMs });
  }

  function encode(): void {
    assert.equal(encoder.encode({ planes: picture.planes, timestampUs: 1 }, picture.format), true);
  }

  async function encodeOne(): Promise<void> {
    const done = nextFrames(encoder, 1);
    encode();
    await done;
  }

  return test;
}
