import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import { Camera, type Control, type ControlType, type Frame, listDevices } from 'v4l2camera';
import { monotonicUs } from '#lib/clock.ts';
import { nextError, nextFrames } from './streaming.ts';

/** The kernel's own virtual camera: every control type, raw formats in one and in several planes. */
export function vivid({ multiplanar }: { multiplanar: boolean }) {
  const test = suite(`vivid, ${multiplanar ? 'multi' : 'single'}-planar`);
  const raw = multiplanar ? 'NM12' : 'NV12';
  let camera: Camera;

  test.before(() => {
    execFileSync('modprobe', ['vivid', 'n_devs=1', `multiplanar=${multiplanar ? 2 : 1}`, 'node_types=0x1']);
  });
  test.after(() => {
    execFileSync('modprobe', ['-r', 'vivid']);
  });
  test.before.each(() => {
    camera = new Camera(vividDevice().path).open();
  });
  test.after.each(() => camera.close());

  test('says what it is', () => {
    const info = vividDevice();
    assert.equal(info.kind, 'capture');
    assert.equal(info.multiplanar, multiplanar);
    assert.equal(info.streaming, true);
    assert.match(info.version, /^6\.\d+\.\d+$/);
  });

  test('enumerates formats, sizes and intervals', () => {
    const formats = camera.formats();
    const names = formats.map((format) => format.pixelFormat);
    assert.ok(names.includes(raw), `${raw} in ${names}`);
    assert.ok(names.includes('YUYV'));
    assert.equal(names.includes('NM12'), multiplanar);
    assert.ok(formats.every((format) => !format.compressed && format.description !== ''));
    const sizes = camera.sizes(raw);
    assert.ok(sizes.some((size) => 'width' in size && size.width === 640 && size.height === 360));
    const intervals = camera.intervals(raw, 640, 360);
    assert.ok(intervals.some((one) => 'numerator' in one && one.denominator === 15 * one.numerator));
    assert.deepEqual(camera.sizes('MJPG'), [], 'a format it has not');
    assert.throws(() => camera.sizes('nonsense'), TypeError);
  });

  test('grants a format and an interval, and says what it made of them', () => {
    const wish = { pixelFormat: raw, width: 640, height: 360, interval: { numerator: 1, denominator: 25 } };
    const granted = camera.configSet(wish);
    assert.equal(granted.pixelFormat, raw);
    assert.equal(granted.width, 640);
    assert.equal(granted.height, 360);
    assert.equal(granted.planes.length, multiplanar ? 2 : 1);
    assert.ok(granted.planes.every((plane) => plane.bytesPerLine >= 640));
    assert.equal(granted.interval!.denominator / granted.interval!.numerator, 25);
    assert.deepEqual(camera.configGet(), granted);
    assert.equal(camera.configSet({ width: 633, height: 357 }).width % 2, 0, 'adjusted, not refused');
    assert.throws(() => camera.configSet({ width: -1 }), RangeError);
    assert.throws(() => camera.configSet({ width: 1.5 }), RangeError);
    assert.throws(() => camera.configSet({ pixelFormat: 'H.264' }), TypeError);
  });

  test('knows every type of control', () => {
    const controls = camera.controls();
    const types = new Set(controls.map((control) => control.type));
    const expected: ControlType[] = [
      'integer',
      'boolean',
      'menu',
      'button',
      'integer64',
      'string',
      'bitmask',
      'integer-menu',
    ];
    for (const type of [...expected, 'class', 'compound'])
      assert.ok(types.has(type as ControlType), `${type} is there`);
  });

  test('sets and reads 64-bit, string, bitmask and menu controls', () => {
    const wide = named('Integer 64 Bits');
    assert.equal(wide.minimum, -(2n ** 63n));
    assert.equal(wide.maximum, 2n ** 63n - 1n);
    for (const value of [wide.minimum, wide.maximum, -1n, 2n ** 53n + 1n]) {
      assert.equal(camera.controlSet(wide.id, value), value);
      assert.equal(camera.controlGet(wide.id), value);
    }
    const text = named('String');
    assert.ok(text.maximum >= text.minimum && text.maximum > 0n);
    const length = Number(text.minimum);
    assert.equal(camera.controlSet(text.id, 'ü'.padEnd(length - 1, 'x')), 'ü'.padEnd(length - 1, 'x'));
    assert.throws(() => camera.controlSet(text.id, 'x'.repeat(Number(text.maximum) + 1)), RangeError);
    assert.throws(() => camera.controlSet(text.id, 5), TypeError);
    const mask = named('Bitmask');
    assert.equal(camera.controlSet(mask.id, 0x80002000), 0x80002000);
    const number = named('Integer 32 Bits');
    assert.equal(camera.controlSet(number.id, -5), -5);
    for (const bad of [Number.NaN, 0.5, 2 ** 31, Number.POSITIVE_INFINITY]) {
      assert.throws(() => camera.controlSet(number.id, bad), RangeError);
    }
    assert.throws(() => camera.controlSet(number.id, 'five'), TypeError);
    assert.throws(() => camera.controlGet(0x12345), { code: 'EINVAL' });
  });

  test('lists menus with their holes', () => {
    const menu = named('Menu').menu!;
    const indices = menu.map((item) => item.index);
    assert.ok(!indices.includes(0) && !indices.includes(2), `no 0 and no 2 in ${indices}`);
    assert.ok(indices.includes(1) && indices.includes(3));
    assert.ok(menu.every((item) => item.name));
    assert.equal(camera.controlSet(named('Menu').id, 3), 3);
    assert.throws(() => camera.controlSet(named('Menu').id, 2));
    assert.ok(named('Integer Menu').menu!.every((item) => typeof item.value === 'bigint'));
  });

  test('delivers copied frames in order, stamped with the monotonic clock', async () => {
    const format = camera.configSet({
      pixelFormat: raw,
      width: 320,
      height: 180,
      interval: { numerator: 1, denominator: 30 },
    });
    const before = monotonicUs();
    const frames = await settledFrames(8);
    frames.forEach((frame, index) => {
      assert.deepEqual(
        frame.planes.map((plane) => plane.length),
        format.planes.map((plane) => plane.sizeImage),
      );
      const [early, late] = [before - frame.timestampUs, frame.timestampUs - monotonicUs()];
      assert.ok(early < 100_000 && late < 100_000, `${early} µs before the start, ${late} µs in the future`);
      const previous = frames[index - 1];
      if (!previous) return;
      assert.equal(frame.sequence, previous.sequence + 1 + frame.dropped);
      assert.ok(frame.timestampUs > previous.timestampUs);
    });
    assert.notEqual(Buffer.compare(frames[0]!.data, frames[7]!.data), 0, 'the picture moves');
  });

  test('lends frames, waits for their release, and takes them back when it stops', async () => {
    camera.configSet({ pixelFormat: raw, width: 320, height: 180 });
    const granted = camera.start({ lend: true, buffers: 3 });
    const held = await nextFrames(camera, granted);
    assert.ok(held.every((frame) => frame.planes.length === (multiplanar ? 2 : 1) && frame.data.length > 0));
    for (const frame of held) frame.release();
    for (const frame of held) frame.release(); // twice is no harm
    const more = await nextFrames(camera, 6, (frame) => frame.release());
    assert.equal(new Set(more.map((frame) => frame.data.buffer)).size <= granted, true, 'the same few buffers');
    camera.stop();
    assert.ok(
      held.every((frame) => frame.data.length === 0),
      'nobody can reach unmapped memory',
    );
    for (const frame of held) frame.release();
  });

  test('counts the frames the driver dropped', async () => {
    camera.configSet({ pixelFormat: raw, width: 320, height: 180 });
    const dropping = named('Percentage of Dropped Buffers');
    camera.controlSet(dropping.id, 50);
    const frames = await settledFrames(10);
    camera.controlSet(dropping.id, 0);
    const lost = frames.slice(1).reduce((sum, frame) => sum + frame.dropped, 0);
    assert.ok(lost > 0);
    assert.equal(frames.at(-1)!.sequence - frames[0]!.sequence, frames.length - 1 + lost);
  });

  test('turns a fatal driver error into EIO, and starts again', async () => {
    camera.configSet({ pixelFormat: raw, width: 320, height: 180 });
    camera.start();
    await nextFrames(camera, 2);
    const failed = nextError(camera);
    camera.controlSet(named('Inject Fatal Streaming Error').id, 1);
    assert.equal((await failed).code, 'EIO');
    camera.start();
    await nextFrames(camera, 2);
    camera.stop();
  });

  test('tells control events to whoever subscribed', async () => {
    const brightness = named('Brightness');
    camera.subscribe('CONTROL', brightness.id);
    camera.configSet({ pixelFormat: raw, width: 320, height: 180 });
    camera.start();
    const told = new Promise<unknown>((resolve) => camera.once('event', resolve));
    const other = new Camera(camera.path).open();
    other.controlSet(brightness.id, 77);
    other.close();
    const event = (await told) as { type: number; id: number; value: number };
    assert.deepEqual([event.type, event.id, event.value], [3, brightness.id, 77]);
    camera.stop();
  });

  test('says EBUSY to the second who wants to stream', async () => {
    camera.configSet({ pixelFormat: raw, width: 320, height: 180 });
    camera.start();
    const other = new Camera(camera.path).open();
    assert.throws(() => other.start(), { code: 'EBUSY' });
    other.close();
    await nextFrames(camera, 2);
    camera.stop();
  });

  /** vivid may count its very first frame twice, when its thread starts late. */
  async function settledFrames(count: number): Promise<Frame[]> {
    camera.start();
    await nextFrames(camera, 2);
    const frames = await nextFrames(camera, count);
    camera.stop();
    return frames;
  }

  function named(name: string): Control {
    const control = camera.controls().find((one) => one.name === name);
    assert.ok(control, `a control "${name}" among ${camera.controls().map((one) => one.name)}`);
    return control;
  }

  return test;
}

function vividDevice() {
  const device = listDevices().find((one) => one.driver === 'vivid');
  assert.ok(device, 'vivid is loaded');
  return device;
}
