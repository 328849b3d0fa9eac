import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import { TrustedTime } from '#identity/trusted-time.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { until } from '../support/wait.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const BUILD = Date.UTC(2026, 10, 21);
const base = mkdtempSync(join(tmpdir(), 'peercam-time-'));
const test = suite('trusted time');

test.after(() => rmSync(base, { recursive: true, force: true }));

test('a right clock is believed, and nothing is said about it', async () => {
  const { time, log } = await board({ system: BUILD + YEAR_MS });
  assert.equal(time.now(), BUILD + YEAR_MS);
  assert.equal(time.clockIsBehind, false);
  time.authenticated(BUILD + YEAR_MS + 1000);
  assert.equal(log.lines.length, 0);
});

test('in 1970 it is not earlier than the build, and time passes', async () => {
  const { time, clock } = await board({ system: 0 });
  assert.equal(time.now(), BUILD);
  assert.equal(time.clockIsBehind, true);
  clock.advance(5000);
  assert.equal(time.now(), BUILD + 5000);
});

test('what an authenticated server said is the floor, also of the next start, however often the power fails', async () => {
  const first = await board({ system: 0 });
  first.time.authenticated(BUILD + YEAR_MS);
  first.clock.advance(HOUR_MS);
  await until('it is saved', () => floorIn(first.dir) > 0);
  assert.equal(floorIn(first.dir), BUILD + YEAR_MS + HOUR_MS);
  const second = await board({ system: 0, dir: first.dir });
  assert.equal(second.time.now(), BUILD + YEAR_MS + HOUR_MS);
  second.clock.advance(60_000);
  await second.time.stop();
  const third = await board({ system: 0, dir: first.dir });
  assert.equal(third.time.now(), BUILD + YEAR_MS + HOUR_MS + 60_000);
});

test('at most one write an hour', async () => {
  const { time, clock, dir } = await board({ system: 0 });
  for (let minute = 0; minute < 59; minute++) {
    time.authenticated(BUILD + minute * HOUR_MS);
    clock.advance(60_000);
  }
  assert.equal(floorIn(dir), 0);
});

test('a server cannot move it backwards, beyond its own certificate, or beyond a life', async () => {
  const { time } = await board({ system: 0 });
  time.authenticated(BUILD - YEAR_MS);
  assert.equal(time.now(), BUILD);
  time.certified({ notBefore: BUILD + HOUR_MS, notAfter: BUILD + YEAR_MS });
  assert.equal(time.now(), BUILD + HOUR_MS);
  time.authenticated(BUILD + 10 * YEAR_MS);
  assert.equal(time.now(), BUILD + YEAR_MS);
  const other = await board({ system: 0 });
  for (const nonsense of [Number.NaN, Number.POSITIVE_INFINITY, BUILD + 100 * YEAR_MS, -1]) {
    other.time.authenticated(nonsense);
    assert.equal(other.time.now(), BUILD);
  }
});

test("a wrong system clock is never saved, and told when the server's word shows it", async () => {
  const ahead = await board({ system: BUILD + 50 * YEAR_MS });
  await ahead.time.stop();
  assert.ok(floorIn(ahead.dir) < BUILD + HOUR_MS);
  const behind = await board({ system: BUILD + HOUR_MS });
  behind.time.authenticated(BUILD + YEAR_MS);
  assert.equal(behind.time.clockIsBehind, true);
  assert.ok(behind.log.find(/clock is behind/));
});

test('a damaged file counts as none', async () => {
  for (const content of ['', '{}', 'x', '{"v":1,"floor":-1}', `{"v":1,"floor":${BUILD + 90 * YEAR_MS}}`]) {
    const dir = mkdtempSync(join(base, 'state-'));
    writeFileSync(join(dir, 'time-floor.json'), content);
    const { time } = await board({ system: 0, dir });
    assert.equal(time.now(), BUILD, content);
  }
});

test('property: whatever the clock and the server do, time never goes back below what was certain', async () => {
  const event = fc.oneof(
    fc.record({ server: fc.integer({ min: 0, max: BUILD + 40 * YEAR_MS }) }),
    fc.record({ pass: fc.nat(2 * HOUR_MS) }),
    fc.record({ system: fc.integer({ min: 0, max: BUILD + 40 * YEAR_MS }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const { time, clock, setSystem } = await board({ system: 0, dir: join(base, 'none') });
      let certain = BUILD;
      for (const doing of events) {
        if ('server' in doing) time.authenticated(doing.server);
        else if ('pass' in doing) clock.skip(doing.pass);
        else setSystem(doing.system);
        assert.ok(time.floor >= certain && time.now() >= Math.floor(time.floor));
        certain = time.floor;
      }
    }),
    { numRuns: 1000 },
  );
});

test.run();

async function board(options: { system: number; dir?: string }) {
  const dir = options.dir ?? mkdtempSync(join(base, 'state-'));
  const clock = new FakeClock();
  const log = new RecordingLogger();
  let { system } = options;
  const setSystem = (ms: number) => {
    system = ms;
  };
  const time = await TrustedTime.open({ stateDir: dir, log, clock, systemNow: () => system, buildTime: BUILD });
  return { time, clock, log, dir, setSystem };
}

function floorIn(dir: string): number {
  try {
    return JSON.parse(readFileSync(join(dir, 'time-floor.json'), 'utf8')).floor;
  } catch {
    return 0;
  }
}
