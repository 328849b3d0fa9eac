import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandSource } from '#device/command-source.ts';
import { FileSource } from '#device/file-source.ts';
import { createSource } from '#device/source.ts';
import { V4l2Source } from '#device/v4l2-source.ts';
import { systemClock } from '#lib/clock.ts';
import { AppError } from '#lib/error.ts';
import { silentLogger } from '#lib/logger.ts';
import { CollectingSink } from '../support/collecting-sink.ts';
import { PATTERN_CLIP } from '../support/pattern-clip.ts';
import { rejection } from '../support/rejection.ts';

function sourceOf(spec: string) {
  return createSource({ spec, patternClip: PATTERN_CLIP, log: silentLogger, clock: systemClock });
}

const test = suite('source specification');

test('each kind gives its source', () => {
  assert.ok(sourceOf('pattern') instanceof FileSource);
  assert.ok(sourceOf('v4l2:/dev/video0?width=640&height=480') instanceof V4l2Source);
  assert.ok(sourceOf('command:rpicam-vid -t 0 --inline --flush -o -') instanceof CommandSource);
  assert.ok(sourceOf(' file:/var/clip.h264 ') instanceof FileSource);
});

test('is what the source calls itself', () => {
  for (const spec of ['pattern', 'v4l2:/dev/video7', 'command:cat /x', 'file:/var/clip.h264?fps=25']) {
    assert.equal(sourceOf(spec).spec, spec);
  }
});

test('a file is a path, a URL, and a rate', async () => {
  for (const spec of [`file:${PATTERN_CLIP}`, `file://${PATTERN_CLIP}`, `file:${PATTERN_CLIP}?fps=15`]) {
    const source = sourceOf(spec);
    const info = await source.start(new CollectingSink());
    assert.equal(info.frameRate, spec.endsWith('15') ? 15 : 30);
    await source.stop();
  }
  const missing = await rejection(sourceOf('file:/nowhere/clip.h264').start(new CollectingSink()));
  assert.match(missing.message, /\/nowhere\/clip\.h264/);
});

test('what cannot be right is refused at once, with what is known', () => {
  const cases: [string, RegExp][] = [
    ['', /no known kind/],
    ['/dev/video0', /"\/dev\/video0" is of no known kind.*v4l2:\/dev\/video0.*command:.*file:.*pattern/],
    ['patterns', /no known kind/],
    ['pattern:x', /no known kind/],
    ['rtsp://admin:secret@host/', /no known kind/],
    ['v4l2:video0', /path such as \/dev\/video0/],
    ['command:', /names no program/],
    ['file:clip.h264', /must be absolute/],
    ['file:', /must be absolute/],
    ['file:/x.h264?fps=fast', /fps is "fast", but must be a number from 0\.5 to 240/],
    ['file:/x.h264?fps=0', /fps is "0"/],
    ['file:/x.h264?loop=1', /the only option is fps, not loop/],
  ];
  for (const [spec, problem] of cases) {
    assert.throws(
      () => sourceOf(spec),
      (error) =>
        error instanceof AppError &&
        error.code === 'source.bad-spec' &&
        problem.test(error.message) &&
        !error.message.includes('secret'),
      spec,
    );
  }
});

test.run();
