import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Encoder, type Frame } from 'v4l2camera';
import { noisePicture } from './picture.ts';
import { clip, expectedFrame, replay } from './replay.ts';
import { nextFrames } from './streaming.ts';

/** A memory-to-memory encoder. */
export function encoding({ multiplanar }: { multiplanar: boolean }) {
  const test = suite(`M2M encoder, ${multiplanar ? 'multi' : 'single'}-planar`);
  const raw = multiplanar ? 'NM12' : 'NV12';
  const small = noisePicture({ pixelFormat: 'NV12', width: 320, height: 240, stride: 320 });
  let encoder: Encoder;

  test.before(() => replay.load({ multiplanar }));
  test.after(() => replay.unload());
  test.before.each(() => {
    encoder = new Encoder(replay.encoder()).open();
  });
  test.after.each(() => {
    replay.set('stall', 0);
    encoder.close();
  });

  test('says what goes in and what comes out', () => {
    assert.equal(encoder.info.kind, 'm2m');
    assert.equal(encoder.info.multiplanar, multiplanar);
    assert.deepEqual(
      encoder.inputFormats().map((format) => format.pixelFormat),
      [raw],
    );
    assert.deepEqual(
      encoder.outputFormats().map((format) => format.pixelFormat),
      ['H264'],
    );
    const { input, output } = encoder.configSet({ input: { pixelFormat: raw, width: 320, height: 240 } });
    assert.deepEqual([input.width, input.height, input.planes.length], [320, 240, multiplanar ? 2 : 1]);
    assert.ok(input.planes[0]!.bytesPerLine > 320, 'the driver pads its lines');
    assert.equal(output.pixelFormat, 'H264');
  });

  test("encodes the whole clip in order, each frame with its picture's timestamp", async () => {
    configure();
    encoder.start();
    const count = clip.length + 20;
    let sent = 0;
    const send = () => {
      while (sent < count && encoder.encode({ planes: small.planes, timestampUs: stamp(sent) }, small.format)) sent++;
    };
    encoder.on('drain', send);
    const done = nextFrames(encoder, count);
    send();
    const frames = await done;
    frames.forEach((frame, index) => {
      assert.equal(Buffer.compare(frame.data, expectedFrame(index)), 0, `frame ${index} is the clip's`);
      assert.equal(frame.timestampUs, stamp(index));
      assert.equal(frame.keyframe, clip[index % clip.length]!.keyframe);
      assert.equal(frame.sequence, index);
    });
    encoder.stop();
  });

  for (const pixelFormat of ['NV12', 'NM12'] as const) {
    for (const [width, height] of [
      [320, 240],
      [162, 98],
      [1280, 720],
    ] as const) {
      test(`copies ${width}x${height} ${pixelFormat} line by line to the encoder's stride`, async () => {
        const picture = noisePicture({ pixelFormat, width, height, stride: width + 6 });
        encoder.configSet({ input: { pixelFormat: raw, width, height } });
        encoder.start();
        const done = nextFrames(encoder, 1);
        assert.equal(encoder.encode({ planes: picture.planes, timestampUs: 5 }, picture.format), true);
        await done;
        assert.equal(replay.inputCrc(), picture.crc);
        encoder.stop();
      });
    }
  }

  test('refuses pictures that do not fit their format', () => {
    configure();
    encoder.start();
    const short = { planes: [small.planes[0]!.subarray(1)], timestampUs: 1 };
    assert.throws(() => encoder.encode(short, small.format), { code: 'EMSGSIZE' });
    assert.throws(() => encoder.encode({ planes: [], timestampUs: 1 }, small.format), TypeError);
    const foreign = { ...small.format, pixelFormat: 'YUYV' };
    assert.throws(() => encoder.encode({ planes: small.planes, timestampUs: 1 }, foreign), { code: 'EINVAL' });
    assert.throws(() => encoder.encode({ planes: small.planes, timestampUs: -1 }, small.format), RangeError);
    const lying = { ...small.format, planes: [{ bytesPerLine: 2 ** 31 - 1, sizeImage: 0 }] };
    assert.throws(() => encoder.encode({ planes: small.planes, timestampUs: 1 }, lying), { code: 'EMSGSIZE' });
    encoder.stop();
    assert.throws(() => encoder.encode({ planes: small.planes, timestampUs: 1 }, small.format), { code: 'EINVAL' });
  });

  test('says when it is busy, and when it no longer is', async () => {
    configure();
    encoder.start({ buffers: 3, stallMs: 0 });
    replay.set('stall', 1);
    let taken = 0;
    while (encoder.encode({ planes: small.planes, timestampUs: stamp(taken) }, small.format)) taken++;
    assert.ok(taken >= 3 && taken <= 32);
    const drained = new Promise<void>((resolve) => encoder.once('drain', () => resolve()));
    const done = nextFrames(encoder, taken);
    encoder.stop(); // an encoder that is stuck can be stopped
    encoder.start({ buffers: 3, stallMs: 0 });
    replay.set('stall', 0);
    for (let i = 0; i < taken; i++) encoder.encode({ planes: small.planes, timestampUs: stamp(i) }, small.format);
    await drained;
    await done;
    encoder.stop();
  });

  test('forces an IDR, on this open file only', async () => {
    configure();
    encoder.start();
    const other = new Encoder(encoder.path).open();
    assert.equal(other.setGopSize(10), 10);
    assert.equal(other.forceKeyFrame(), true);
    const frames = await encodeSome(20);
    assert.deepEqual(
      frames.map((frame) => frame.keyframe),
      frames.map((_, index) => index === 0),
      'not disturbed',
    );
    assert.equal(encoder.forceKeyFrame(), true);
    const [forced] = await encodeSome(1);
    assert.equal(forced!.keyframe, true);
    assert.equal(encoder.setBitrate(3_000_000), 3_000_000);
    other.close();
    encoder.stop();
  });

  function configure(): void {
    encoder.configSet({ input: { pixelFormat: raw, width: 320, height: 240 } });
  }

  async function encodeSome(count: number): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let i = 0; i < count; i++) {
      const done = nextFrames(encoder, 1);
      encoder.encode({ planes: small.planes, timestampUs: stamp(i) }, small.format);
      frames.push(...(await done));
    }
    return frames;
  }

  return test;
}

function stamp(index: number): number {
  return 1_000_000_123 + index * 33_333;
}
