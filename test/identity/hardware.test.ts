import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import { Button } from '#device/button.ts';
import { Indicator } from '#device/indicator.ts';
import { systemClock } from '#lib/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { until } from '../support/wait.ts';

const base = mkdtempSync(join(tmpdir(), 'peercam-hardware-'));
const EV_SYN = 0;
const EV_KEY = 1;
const KEY_RESTART = 408;
const test = suite('button and light');
let names = 0;

test.after(() => rmSync(base, { recursive: true, force: true }));

test('a short press, a long one, and one that was thought better of', () => {
  const { key, clock, heard, button } = pressed();
  key(1);
  clock.advance(500);
  key(0);
  clock.advance(100);
  assert.deepEqual(heard, ['press']);
  key(1);
  clock.advance(5_000);
  key(0);
  clock.advance(100);
  assert.deepEqual(heard, ['press'], 'let go between 3 and 10 s');
  key(1);
  for (let repeat = 0; repeat < 90; repeat++) {
    key(2);
    clock.advance(100);
  }
  assert.deepEqual(heard, ['press']);
  clock.advance(1_200);
  assert.deepEqual(heard, ['press', 'hold'], 'while it is still held');
  clock.advance(20_000);
  key(0);
  clock.advance(100);
  assert.deepEqual(heard, ['press', 'hold'], 'once, and letting go is no press');
  button.stop();
});

test('events in pieces, of other kinds, of another key, and lost ones', () => {
  const { send, key, clock, heard, button } = pressed();
  const down = event(EV_KEY, KEY_RESTART, 1);
  send(down.subarray(0, 10));
  clock.advance(100);
  send(Buffer.concat([down.subarray(10), event(EV_SYN, 0, 0), event(3, 0, 77)]));
  clock.advance(100);
  send(event(EV_KEY, 30, 1));
  send(event(EV_KEY, 30, 0));
  clock.advance(100);
  assert.deepEqual(heard, []);
  key(0);
  clock.advance(100);
  assert.deepEqual(heard, ['press']);
  // SYN_DROPPED: whether it is still down is not known, so it does not become a reset.
  key(1);
  clock.advance(100);
  send(event(EV_SYN, 3, 0));
  clock.advance(20_000);
  assert.deepEqual(heard, ['press']);
  button.stop();
});

test('a button that is not there, or vanishes, is looked for again and said once', () => {
  const clock = new FakeClock();
  const log = new RecordingLogger();
  const heard: string[] = [];
  const path = join(base, `late-${names++}`);
  const button = buttonAt(path, clock, log, heard);
  button.start();
  clock.advance(60_000);
  assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1);
  assert.match(log.lines[0]!.message, /ENOENT/);
  execFileSync('mkfifo', [path]);
  let writer = openSync(path, constants.O_RDWR);
  clock.advance(2_000);
  assert.ok(log.find(/there again/));
  writeSync(writer, event(EV_KEY, KEY_RESTART, 1));
  clock.advance(100);
  closeSync(writer);
  clock.advance(15_000);
  assert.deepEqual(heard, [], 'vanished while held: no reset');
  writer = openSync(path, constants.O_RDWR);
  clock.advance(2_000);
  writeSync(writer, event(EV_KEY, KEY_RESTART, 1));
  writeSync(writer, event(EV_KEY, KEY_RESTART, 0));
  clock.advance(100);
  assert.deepEqual(heard, ['press']);
  button.stop();
  closeSync(writer);
  assert.equal(clock.pending, 0);
});

test('property: whatever bytes come, it neither throws nor resets without ten seconds of holding', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const { send, clock, heard, button } = pressed();
      for (const chunk of chunks) {
        if (chunk.length > 0) send(Buffer.from(chunk));
        clock.advance(500);
      }
      button.stop();
      assert.ok(!heard.includes('hold'));
    }),
    { numRuns: 300 },
  );
});

test('the light: on while somebody watches, blinking while somebody may pair, else off', async () => {
  const led = fakeLed();
  const clock = new FakeClock();
  const indicator = new Indicator({ led: led.path, command: '', clock, log: new RecordingLogger() });
  indicator.start();
  await led.shows('0');
  assert.equal(readFileSync(join(led.path, 'trigger'), 'utf8'), 'none');
  indicator.pairing(true);
  await led.shows('255');
  clock.advance(500);
  await led.shows('0');
  clock.advance(500);
  await led.shows('255');
  indicator.watching(2);
  clock.advance(10_000);
  await led.shows('255');
  indicator.pairing(false);
  indicator.watching(1);
  await led.shows('255');
  indicator.watching(0);
  await led.shows('0');
  indicator.watching(3);
  await led.shows('255');
  await indicator.stop();
  await led.shows('0');
  assert.equal(clock.pending, 0);
});

test('a light that cannot be switched is said once and disturbs nothing', async () => {
  const log = new RecordingLogger();
  const indicator = new Indicator({ led: join(base, 'no-led'), command: '', clock: new FakeClock(), log });
  indicator.start();
  for (let n = 0; n < 5; n++) indicator.watching(n % 2);
  await indicator.stop();
  assert.equal(log.lines.length, 1);
  assert.match(log.lines[0]!.message, /no-led cannot be switched.*ENOENT/);
});

test('the program hears every change, one at a time, the last one always, without a shell', async () => {
  const out = join(base, 'told');
  const program = executable(`#!/bin/sh\necho "$#:$1:$2" >> ${out}\nsleep 0.1\n`);
  const indicator = new Indicator({ led: '', command: program, clock: systemClock, log: new RecordingLogger() });
  indicator.start();
  indicator.watching(1);
  await until('it is told of the first', () => existsSync(out));
  for (const viewers of [2, 3, 4, 5]) indicator.watching(viewers);
  await until('it is told of the last', () => readFileSync(out, 'utf8').includes('watching:5'));
  await indicator.stop();
  const told = readFileSync(out, 'utf8').trim().split('\n');
  assert.equal(told[0], '2:watching:1');
  assert.equal(told.at(-1), '2:idle:0');
  assert.ok(told.length <= 4, told.join(' '));
});

test('a program that fails, is missing or hangs is said, and the next change is told again', async () => {
  const out = join(base, 'after');
  const log = new RecordingLogger();
  const failing = executable(`#!/bin/sh\necho "$1" >> ${out}\necho broken >&2\nexit 3\n`);
  const indicator = new Indicator({ led: '', command: failing, clock: systemClock, log });
  indicator.start();
  indicator.watching(1);
  await until('it is said', () => log.find(/ended with 3 broken/));
  indicator.watching(0);
  await until('it is told', () => readFileSync(out, 'utf8').includes('idle'));
  await indicator.stop();

  const missing = new Indicator({ led: '', command: '/no/such;reboot', clock: systemClock, log });
  missing.start();
  missing.watching(1);
  await until('it is said', () => log.find(/no\/such.*ENOENT/));
  await missing.stop();

  const clock = new FakeClock();
  const hanging = new Indicator({ led: '', command: executable('#!/bin/sh\nexec sleep 1000\n'), clock, log });
  hanging.start();
  hanging.watching(1);
  clock.advance(10_000);
  await until('it is ended', () => log.find(/took longer/));
  const stopped = hanging.stop();
  for (let n = 0; n < 5; n++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(3_000);
  }
  await stopped;
});

test.run();

/** A button at the end of a pipe, which behaves as an evdev node read without waiting. */
function pressed() {
  const path = join(base, `button-${names++}`);
  execFileSync('mkfifo', [path]);
  const writer = openSync(path, constants.O_RDWR);
  const clock = new FakeClock();
  const heard: string[] = [];
  const button = buttonAt(path, clock, new RecordingLogger(), heard);
  button.start();
  const send = (bytes: Buffer) => writeSync(writer, bytes);
  return { send, key: (value: number) => send(event(EV_KEY, KEY_RESTART, value)), clock, heard, button };
}

function buttonAt(path: string, clock: FakeClock, log: RecordingLogger, heard: string[]): Button {
  return new Button({ path, clock, log, onPress: () => heard.push('press'), onHold: () => heard.push('hold') });
}

/** struct input_event: time (16 bytes), type, code, value. */
function event(type: number, code: number, value: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeBigInt64LE(1_700_000_000n, 0);
  bytes.writeUInt16LE(type, 16);
  bytes.writeUInt16LE(code, 18);
  bytes.writeInt32LE(value, 20);
  return bytes;
}

function fakeLed() {
  const path = join(base, `led-${names++}`);
  mkdirSync(path);
  writeFileSync(join(path, 'max_brightness'), '255\n');
  writeFileSync(join(path, 'trigger'), '[heartbeat] none\n');
  writeFileSync(join(path, 'brightness'), '7\n');
  const shows = (value: string) =>
    until(`the light shows ${value}`, () => readFileSync(join(path, 'brightness'), 'utf8') === value);
  return { path, shows };
}

function executable(script: string): string {
  const path = join(base, `program-${names++}`);
  appendFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}
