import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import { Camera } from 'v4l2camera';
import { V4l2Source } from '#device/v4l2-source.ts';
import { monotonicUs } from '#lib/clock.ts';
import type { AppError } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { splitNals } from '#media/annex-b.ts';
import type { VideoSink } from '#media/video-source.ts';
import { until } from '../../support/wait.ts';
import { clip, replay, replugged, vividPath } from './replay.ts';

/** What peercamd makes of a camera. */
export function sources({ multiplanar }: { multiplanar: boolean }) {
  const test = suite(`v4l2: source, ${multiplanar ? 'multi' : 'single'}-planar`);
  let source: V4l2Source | undefined;

  test.before(() => {
    execFileSync('modprobe', ['vivid', 'n_devs=1', `multiplanar=${multiplanar ? 2 : 1}`, 'node_types=0x1']);
    replay.load({ multiplanar });
  });
  test.after(() => {
    replay.unload();
    execFileSync('modprobe', ['-r', 'vivid']);
  });
  test.after.each(async () => {
    await source?.stop();
    replay.set('stall', 0);
    await replugged();
  });

  test("a camera with H.264: the clip's access units, with SPS and PPS before every IDR", async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${replay.camera()}?fps=250&gop=100` });
    const info = await source.start(sink);
    assert.deepEqual(
      { ...info, description: undefined },
      { width: 1280, height: 720, frameRate: 250, canForceKeyFrame: true, canSetBitrate: true, description: undefined },
    );
    assert.match(info.description, /peercam replay camera/);
    await sink.has(70);
    await source.stop();
    assertClip(sink.units);
  });

  test('raw pictures go through the encoder that fits, and keep their capture time', async () => {
    const sink = new Collector();
    const spec = `v4l2:${vividPath()}?width=320&height=180&fps=30`;
    source = new V4l2Source({ spec });
    const before = monotonicUs();
    const info = await source.start(sink);
    assert.match(info.description, /vivid.* through peercam replay encoder/);
    assert.deepEqual([info.width, info.height, info.canForceKeyFrame], [320, 180, true]);
    await sink.has(12);
    const unitsSoFar = sink.units.length;
    source.requestKeyFrame();
    source.setBitrate(500_000);
    await until('a forced IDR', () => sink.units.slice(unitsSoFar, unitsSoFar + 3).some((unit) => unit.keyframe));
    await source.stop();
    // Under emulation vivid may be late: pictures it skipped are no fault of ours.
    assertClip(sink.units.slice(0, 12).map((unit) => ({ ...unit, dropped: 0 })));
    sink.units.forEach((unit, index) => {
      // vivid stamps a little ahead of time.
      assert.ok(unit.timestampUs > before - 100_000 && unit.timestampUs < monotonicUs() + 100_000);
      if (index > 0) assert.ok(unit.timestampUs > sink.units[index - 1]!.timestampUs);
    });
  });

  test('takes the encoder it is told to take, and says when that one will not do', async () => {
    source = new V4l2Source({ spec: `v4l2:${vividPath()}?width=320&height=180&encoder=${replay.encoder()}` });
    const sink = new Collector();
    await source.start(sink);
    await sink.has(2);
    await source.stop();
    await refuses(`v4l2:${vividPath()}?encoder=${vividPath()}`, 'source.no-encoder');
  });

  test('an IDR on request', async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${replay.camera()}?fps=100` });
    await source.start(sink);
    await sink.has(5);
    const asked = sink.units.length;
    source.requestKeyFrame();
    await until('an IDR', () => sink.units.slice(asked).some((unit) => unit.keyframe));
    assert.ok(sink.units.findIndex((unit, index) => index >= asked && unit.keyframe) <= asked + 2);
  });

  test('unplugged: failed once, everything released, and back after the replugging', async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${replay.camera()}?fps=100` });
    await source.start(sink);
    await sink.has(3);
    replay.set('plugged', 0);
    assert.equal((await sink.failure()).code, 'source.unplugged');
    source.requestKeyFrame(); // harmless
    await assert.rejects(
      source.start(sink),
      (error: AppError) => error.code === 'source.device-missing' && error.retry,
    );
    await replugged();
    source = new V4l2Source({ spec: `v4l2:${replay.camera()}?fps=100` });
    const again = new Collector();
    await source.start(again);
    await again.has(3);
    assert.equal(sink.errors.length, 1);
  });

  test('the encoder unplugged under a running camera', async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${vividPath()}?width=320&height=180` });
    await source.start(sink);
    await sink.has(3);
    replay.set('plugged', 0);
    assert.equal((await sink.failure()).code, 'source.unplugged');
    await replugged();
    await source.start(sink);
    await until('the stream is back', () => sink.units.at(-1)!.keyframe);
  });

  test('a stalled encoder, and a driver error', async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${vividPath()}?width=320&height=180` });
    await source.start(sink);
    await sink.has(3);
    replay.set('stall', 1);
    const stalled = await sink.failure();
    assert.equal(stalled.code, 'source.stalled');
    assert.equal(stalled.retry, true);
    replay.set('stall', 0);
    const again = new Collector();
    await source.start(again);
    await again.has(3);
    replay.set('eio', 1);
    assert.equal((await again.failure()).code, 'source.io');
  });

  test('frames lost in the driver are counted', async () => {
    const sink = new Collector();
    source = new V4l2Source({ spec: `v4l2:${replay.camera()}?fps=100` });
    await source.start(sink);
    await sink.has(3);
    replay.set('skip', 4);
    await until('a gap', () => sink.units.some((unit) => unit.dropped === 4));
  });

  test('says what is wrong with a device', async () => {
    await refuses('v4l2:/dev/video77', 'source.device-missing');
    await refuses('v4l2:/dev/null', 'source.not-a-camera');
    await refuses(`v4l2:${replay.encoder()}`, 'source.not-a-camera');
    const other = new Camera(replay.camera()).open();
    other.start();
    await refuses(`v4l2:${replay.camera()}`, 'source.busy');
    other.close();
    replay.set('plugged', 0);
    await refuses(`v4l2:${vividPath()}`, 'source.no-encoder');
  });

  return test;
}

class Collector implements VideoSink {
  readonly units: AccessUnit[] = [];
  readonly errors: AppError[] = [];

  accessUnit(unit: AccessUnit): void {
    this.units.push(unit);
  }

  failed(error: AppError): void {
    this.errors.push(error);
  }

  has(count: number): Promise<boolean> {
    return until(`${count} access units`, () => {
      if (this.errors[0]) throw this.errors[0];
      return this.units.length >= count;
    });
  }

  failure(): Promise<AppError> {
    return until('the source fails', () => this.errors[0]);
  }
}

function assertClip(units: readonly AccessUnit[]): void {
  units.forEach((unit, index) => {
    const frame = clip[index % clip.length]!;
    const expected = splitNals(frame.data);
    assert.equal(unit.nals.length, expected.length, `NAL units of frame ${index}`);
    for (const [i, nal] of unit.nals.entries()) {
      assert.equal(Buffer.compare(nal, expected[i]!), 0, `frame ${index}, NAL unit ${i}`);
    }
    assert.equal(unit.keyframe, frame.keyframe);
    assert.equal(unit.dropped, 0);
  });
}

async function refuses(spec: string, code: string): Promise<void> {
  const source = new V4l2Source({ spec });
  await assert.rejects(source.start(new Collector()), (error: AppError) => {
    assert.equal(error.code, code, error.message);
    return true;
  });
  await source.stop();
}
