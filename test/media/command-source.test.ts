import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { parseCommandLine } from '#device/command-line.ts';
import { CommandSource } from '#device/command-source.ts';
import { systemClock } from '#lib/clock.ts';
import { AppError } from '#lib/error.ts';
import { silentLogger } from '#lib/logger.ts';
import { splitNals } from '#media/annex-b.ts';
import { CollectingSink } from '../support/collecting-sink.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { PATTERN_CLIP, patternClip } from '../support/pattern-clip.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/wait.ts';

const folder = mkdtempSync(join(tmpdir(), 'peercam-command-'));
const pidFile = join(folder, 'pid');

function sourceOf(spec: string, clock = systemClock as FakeClock | typeof systemClock): CommandSource {
  return new CommandSource({ spec: `command:${spec}`, clock, log: silentLogger });
}

/** A program that runs a shell script. */
function shell(script: string): string {
  return JSON.stringify(['sh', '-c', script]);
}

/** True while a process runs; one that has ended but was not collected by its parent (zombie) does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The process numbers a script wrote, one a line. */
function pids(count: number): Promise<number[]> {
  return until('the script wrote its process numbers', () => {
    const text = readFileSync(pidFile, { encoding: 'utf8', flag: 'a+' });
    const lines = text.split('\n').filter(Boolean);
    return text.endsWith('\n') && lines.length >= count ? lines.map(Number) : undefined;
  });
}

const words = suite('command line');

words('is split at white space; quotes and backslashes keep it', () => {
  const cases: [string, string[]][] = [
    ['rpicam-vid -t 0 -o -', ['rpicam-vid', '-t', '0', '-o', '-']],
    ['  a\t b\n c ', ['a', 'b', 'c']],
    [`sh -c 'a | b "c" \\'`, ['sh', '-c', 'a | b "c" \\']],
    ['say "two words" "a \\"quote\\" and \\\\ \\n"', ['say', 'two words', 'a "quote" and \\ \\n']],
    [`x --name='a b'"c d"e '' ""`, ['x', '--name=a bc de', '', '']],
    ['a\\ b \\"c', ['a b', '"c']],
    [`a '|' $HOME *`, ['a', '|', '$HOME', '*']],
    ['["sh", "-c", "a | b"]', ['sh', '-c', 'a | b']],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseCommandLine(text), expected);
});

words('what cannot be right is refused in words', () => {
  const cases: [string, RegExp][] = [
    ['', /names no program/],
    ['   ', /names no program/],
    ["''", /names no program/],
    ['[]', /names no program/],
    ['a | b', /no shell to understand \|.*sh -c/],
    ['a 2>&1', /no shell/],
    ["a 'b", /left open: 'b/],
    ['a "b', /left open/],
    ['a \\', /left open/],
    ['[1]', /strings only/],
    ['["a"', /not a JSON array/],
    ['a b\0c', /NUL/],
  ];
  for (const [text, problem] of cases) {
    assert.throws(
      () => parseCommandLine(text),
      (error) => error instanceof AppError && error.code === 'source.bad-spec' && problem.test(error.message),
      text,
    );
  }
});

words.run();

const test = suite('command source');
test.before.each(() => rmSync(pidFile, { force: true }));
test.after(() => rmSync(folder, { recursive: true }));

test('ffmpeg plays: what it is, every picture as it was, in time', async () => {
  const source = sourceOf(`ffmpeg -v error -re -stream_loop -1 -i '${PATTERN_CLIP}' -c:v copy -f h264 -`);
  const sink = new CollectingSink();
  const info = await source.start(sink);
  assert.deepEqual(info, {
    width: 1280,
    height: 720,
    frameRate: 30,
    canForceKeyFrame: false,
    canSetBitrate: false,
    description: 'program ffmpeg',
  });
  await until('75 pictures came', () => sink.units.length >= 75);
  await source.stop();
  const count = sink.units.length;
  const slices = (nals: readonly Uint8Array[]) =>
    nals.filter((nal) => (nal[0]! & 31) < 6).map((nal) => Buffer.from(nal).toString('hex'));
  assert.deepEqual(slices(sink.units.flatMap((unit) => unit.nals)), slices(splitNals(patternClip())).slice(0, count));
  assert.ok(sink.units[0]!.keyframe);
  const times = sink.units.map(({ timestampUs }) => timestampUs);
  for (let i = 1; i < count; i++) assert.ok(times[i]! > times[i - 1]!);
  const seconds = (times.at(-1)! - times[0]!) / 1e6;
  assert.ok(seconds > 1.5, `${count} pictures in ${seconds} s`);
  assert.deepEqual(sink.failures, []);
});

test('stop ends the program and everything it started', async () => {
  const source = sourceOf(shell(`sleep 1000 & echo $$ >>${pidFile}; echo $! >>${pidFile}; cat ${PATTERN_CLIP}; wait`));
  const sink = new CollectingSink();
  await source.start(sink);
  const started = await pids(2);
  assert.deepEqual(started.map(runs), [true, true]);
  await source.stop();
  const count = sink.units.length;
  assert.deepEqual(started.map(runs), [false, false]);
  assert.deepEqual(sink.failures, []);
  assert.equal(sink.units.length, count);
});

test('one that ignores SIGTERM is killed after 2 s', async () => {
  const source = sourceOf(shell(`trap '' TERM; echo $$ >${pidFile}; cat ${PATTERN_CLIP}; while :; do sleep 0.1; done`));
  await source.start(new CollectingSink());
  const [pid] = await pids(1);
  const before = performance.now();
  await source.stop();
  assert.ok(performance.now() - before > 1900);
  assert.equal(runs(pid!), false);
});

test('stop during the start ends it', async () => {
  const source = sourceOf(shell(`echo $$ >${pidFile}; sleep 1000`));
  const starting = rejection(source.start(new CollectingSink()));
  const [pid] = await pids(1);
  await source.stop();
  assert.equal((await starting).code, 'source.stopped');
  assert.equal(runs(pid!), false);
});

test('it can be started again', async () => {
  const source = sourceOf(shell(`cat ${PATTERN_CLIP}; sleep 1000`));
  for (let i = 0; i < 3; i++) {
    const sink = new CollectingSink();
    await source.start(sink);
    await until('pictures came', () => sink.units.length > 100);
    await source.stop();
  }
});

test('a program that ends has failed: all its pictures, how it ended, and what it said', async () => {
  const script = `cat ${PATTERN_CLIP}; echo first >&2; printf 'frame=1\\rframe=2\\r\\033[31mno camera\\033[0m\\n' >&2; exit 3`;
  const source = sourceOf(shell(script));
  const sink = new CollectingSink();
  await source.start(sink);
  const error = await until('it failed', () => sink.failures[0]);
  assert.equal(sink.units.length, 300);
  assert.equal(error.code, 'source.command-ended');
  assert.equal(error.retry, true);
  assert.equal(error.message, 'sh ended with exit code 3. It said: first / frame=1 / frame=2 / no camera');
  await source.stop();
  assert.equal(sink.failures.length, 1);
});

test('what a program that ended has left running is ended too', async () => {
  const source = sourceOf(shell(`sleep 1000 & echo $! >${pidFile}; cat ${PATTERN_CLIP}`));
  const sink = new CollectingSink();
  await source.start(sink);
  await until('it failed', () => sink.failures[0]);
  const [pid] = await pids(1);
  assert.equal(runs(pid!), false);
});

test('before the first picture, a failure says what it wrote', async () => {
  const cases: [string, string, RegExp][] = [
    ['peercam-no-such-program -x', 'source.command-missing', /peercam-no-such-program is not installed here/],
    [shell('kill -9 $$'), 'source.command-ended', /was ended by SIGKILL before its first picture; it wrote nothing/],
    [shell('echo hello'), 'source.command-ended', /exit code 0 .*bytes that begin with 68656c6c6f0a/],
    [shell('printf "\\0\\0\\0\\030ftypisom"'), 'source.command-ended', /it wrote an MP4 file, not raw H\.264/],
    [shell('printf "\\0\\0\\0\\001\\100\\001\\014"'), 'source.command-ended', /it wrote H\.265, not raw H\.264/],
    ['yes', 'source.no-picture', /has written \d+ bytes without a picture.*ffprobe/],
  ];
  for (const [spec, code, message] of cases) {
    const source = sourceOf(spec);
    const error = await rejection(source.start(new CollectingSink()));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    await source.stop();
  }
});

test('a file that may not be executed is named', async () => {
  const file = join(folder, 'program');
  writeFileSync(file, 'x');
  chmodSync(file, 0o644);
  const error = await rejection(sourceOf(file).start(new CollectingSink()));
  assert.match(error.message, /cannot be run \(EACCES\)/);
});

test('a program without a word or a picture is given up after 10 s', async () => {
  const clock = new FakeClock();
  const source = sourceOf(shell(`echo $$ >${pidFile}; echo waiting for sensor >&2; exec sleep 1000`), clock);
  const starting = rejection(source.start(new CollectingSink()));
  const [pid] = await pids(1);
  clock.advance(9_999);
  assert.ok(runs(pid!));
  clock.advance(1);
  const error = await starting;
  assert.equal(error.code, 'source.no-picture');
  assert.match(error.message, /has run for 10 s without a picture/);
  assert.equal(runs(pid!), false);
});

test('pictures before the first IDR are of no use and not delivered', async () => {
  const clip = patternClip();
  const cut = join(folder, 'cut.h264');
  writeFileSync(cut, clip.subarray(25_000));
  const source = sourceOf(shell(`cat ${cut}; sleep 1000`));
  const sink = new CollectingSink();
  await source.start(sink);
  assert.ok(sink.units[0]!.keyframe);
  await source.stop();
});

test('it sees where things are, not what we know', async () => {
  const file = join(folder, 'env');
  process.env.PEERCAM_WHEP_TOKEN = 'do-not-tell';
  const source = sourceOf(shell(`env >${file}; cat ${PATTERN_CLIP}; sleep 1000`));
  await source.start(new CollectingSink());
  delete process.env.PEERCAM_WHEP_TOKEN;
  await source.stop();
  const env = readFileSync(file, 'utf8');
  assert.match(env, /^PATH=/m);
  assert.doesNotMatch(env, /do-not-tell/);
});

test('passwords in addresses are neither logged nor shown', async () => {
  const source = sourceOf(shell('echo rtsp://admin:secret@10.0.0.9/1: connection refused >&2; exit 1'));
  assert.doesNotMatch(
    new CommandSource({ spec: 'command:x rtsp://a:secret@h/', clock: systemClock, log: silentLogger }).spec,
    /secret/,
  );
  const error = await rejection(source.start(new CollectingSink()));
  assert.match(error.message, /rtsp:\/\/\*\*\*@10\.0\.0\.9\/1: connection refused/);
});

test('a picture that had to be left out is a line in the log', async () => {
  const giant = join(folder, 'giant.h264');
  const clip = patternClip();
  writeFileSync(
    giant,
    Buffer.concat([clip, Buffer.from([0, 0, 0, 1, 0x41, 0x88]), Buffer.alloc(5_000_000, 0x55), clip]),
  );
  const log = new RecordingLogger();
  const source = new CommandSource({ spec: `command:${shell(`cat ${giant}; sleep 1000`)}`, clock: systemClock, log });
  const sink = new CollectingSink();
  await source.start(sink);
  await until('the pictures after it came', () => sink.units.length >= 599);
  await source.stop();
  assert.ok(log.find(/sh: A picture is longer than 4096 KiB and was left out/));
});

test('when we are gone, so is the program', async () => {
  const script = `
    import { CommandSource } from '#device/command-source.ts';
    import { systemClock } from '#lib/clock.ts';
    import { silentLogger } from '#lib/logger.ts';
    const source = new CommandSource({ spec: process.argv[1], clock: systemClock, log: silentLogger });
    await source.start({ accessUnit() {}, failed() {} });
    process.exit(0);`;
  const spec = `command:${shell(`echo $$ >${pidFile}; cat ${PATTERN_CLIP}; sleep 1000`)}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, spec], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
  const [pid] = await pids(1);
  await until('the program is gone', () => !runs(pid!));
});

test.run();
