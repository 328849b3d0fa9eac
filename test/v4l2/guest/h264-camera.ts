import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Camera, type Frame } from 'v4l2camera';
import { clip, expectedFrame, replay } from './replay.ts';
import { nextFrames } from './streaming.ts';

const SPS = 7;

/** A camera with H.264 inside. */
export function capturing({ multiplanar }: { multiplanar: boolean }) {
  const test = suite(`H.264 camera, ${multiplanar ? 'multi' : 'single'}-planar`);
  let camera: Camera;

  test.before(() => replay.load({ multiplanar }));
  test.after(() => replay.unload());
  test.before.each(() => {
    camera = new Camera(replay.camera()).open();
    camera.configSet({ pixelFormat: 'H264', interval: { numerator: 1, denominator: 250 } });
    camera.setGopSize(1000); // a camera's controls outlast the open file
    camera.setRepeatHeaders(false);
  });
  test.after.each(() => camera.close());

  test('says what it delivers', () => {
    assert.deepEqual(camera.formats(), [
      { pixelFormat: 'H264', description: 'H.264', compressed: true, emulated: false },
    ]);
    assert.deepEqual(camera.sizes('H264'), [{ width: 1280, height: 720 }]);
    assert.deepEqual(camera.intervals('H264', 1280, 720), [
      {
        min: { numerator: 1, denominator: 250 },
        max: { numerator: 1, denominator: 1 },
        step: { numerator: 1, denominator: 250 },
      },
    ]);
    assert.equal(camera.info.multiplanar, multiplanar);
  });

  test('delivers every byte of the clip in order, and round again', async () => {
    const count = clip.length + 40;
    camera.start();
    const frames = await nextFrames(camera, count);
    camera.stop();
    frames.forEach((frame, index) => {
      assert.equal(Buffer.compare(frame.data, expectedFrame(index)), 0, `frame ${index} is the clip's`);
      assert.equal(frame.keyframe, clip[index % clip.length]!.keyframe, `keyframe flag of ${index}`);
      assert.equal(frame.sequence, index);
      assert.equal(frame.dropped, 0);
      if (index > 0) assert.ok(frame.timestampUs > frames[index - 1]!.timestampUs);
    });
  });

  test('counts lost frames where they were lost', async () => {
    camera.start();
    await nextFrames(camera, 5);
    replay.set('skip', 3);
    const frames = await nextFrames(camera, 10);
    camera.stop();
    assert.deepEqual(
      frames.map((frame) => frame.dropped).filter((dropped) => dropped > 0),
      [3],
    );
  });

  test('brings an IDR within two frames of asking', async () => {
    assert.equal(camera.canForceKeyFrame, true);
    camera.start();
    await nextFrames(camera, 7);
    assert.equal(camera.forceKeyFrame(), true);
    const frames = await nextFrames(camera, 4);
    camera.stop();
    const position = frames.findIndex((frame) => frame.keyframe);
    assert.ok(position >= 0 && position < 2 + 1, `an IDR at ${position}`);
    const idr = clip.find((frame, index) => index > 0 && frame.keyframe)!;
    assert.equal(Buffer.compare(frames[position]!.data, idr.data.subarray(idr.headers)), 0, "the clip's next IDR");
  });

  test('changes the GOP while streaming', async () => {
    camera.start();
    await nextFrames(camera, 3);
    assert.equal(camera.setGopSize(10), 10);
    const frames = await nextFrames(camera, 40);
    camera.stop();
    const keys = frames.flatMap((frame, index) => (frame.keyframe ? [index] : []));
    const distances = keys.slice(1).map((key, index) => key - keys[index]!);
    assert.ok(distances.length >= 2 && distances.every((distance) => distance === 10), `IDRs at ${keys}`);
  });

  test("keeps bitrates within the driver's bounds and steps", async () => {
    assert.equal(camera.canSetBitrate, true);
    camera.start();
    await nextFrames(camera, 2);
    assert.equal(camera.setBitrate(1_234_567), 1_225_000);
    assert.equal(camera.setBitrate(1), 25_000);
    assert.equal(camera.setBitrate(1e12), 25_000_000);
    await nextFrames(camera, 2);
    camera.stop();
  });

  test('repeats SPS and PPS when told to', async () => {
    const headersOf = (frames: Frame[]) => frames.slice(1).filter((frame) => (frame.data[4]! & 31) === SPS).length;
    camera.start();
    const without = await nextFrames(camera, 65);
    camera.stop();
    assert.equal(camera.setRepeatHeaders(true), true);
    camera.start();
    const repeated = await nextFrames(camera, 65);
    camera.stop();
    assert.deepEqual([headersOf(without), headersOf(repeated)], [0, 2]);
  });

  test('starts from the beginning each time', async () => {
    for (let i = 0; i < 3; i++) {
      camera.start();
      const [first] = await nextFrames(camera, 1);
      camera.stop();
      assert.equal(first!.keyframe, true);
      assert.equal(first!.sequence, 0);
    }
  });

  test('may be stopped, started and closed inside its own callback', async () => {
    camera.start();
    await nextFrames(camera, 3, () => {
      camera.stop();
      camera.start();
    });
    await nextFrames(camera, 1, () => camera.close());
    assert.equal(camera.isOpen, false);
    assert.throws(() => camera.start(), { code: 'EBADF' });
  });

  return test;
}
