// time limit: 300 s
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import { readChain } from '#identity/audit-chain.ts';
import { AuditLog } from '#identity/audit-log.ts';
import { type Clock, systemClock } from '#lib/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { until } from '../support/wait.ts';
import { bundled, killedWriter } from './killed-writer.ts';

const base = mkdtempSync(join(tmpdir(), 'peercam-audit-'));
const test = suite('audit log');

test.after(() => rmSync(base, { recursive: true, force: true }));

test('what is taken down is on the disk within 0.2 s, newest first, and there after a restart', async () => {
  const { audit, dir, reopen } = await fresh(systemClock);
  audit.append('started', { firmware: '1' });
  audit.append('paired', { viewer: 'v', name: 'Anna', rights: ['view'], code: 'label' });
  const at = performance.now();
  await until('it is written', () => statSync(join(dir, 'audit.jsonl'), { throwIfNoEntry: false })?.size);
  assert.ok(performance.now() - at < 200, `${performance.now() - at} ms`);
  audit.append('stopped', { reason: 'test' });
  await audit.close();
  const { audit: again } = await reopen();
  assert.deepEqual(events(await again.read({ limit: 10 })), ['3 stopped', '2 paired', '1 started']);
  assert.deepEqual(events(await again.read({ before: 3, limit: 1 })), ['2 paired']);
  assert.equal(again.intact, true);
  assert.equal(statSync(join(dir, 'audit.jsonl')).mode & 0o777, 0o600);
});

test('a torn last line is cut off and noted, whatever of it was written', async () => {
  const { audit, dir, reopen } = await fresh();
  for (let n = 0; n < 3; n++) audit.append('renamed', { by: 'b', name: `name ${n}` });
  await audit.close();
  const path = join(dir, 'audit.jsonl');
  const whole = readFileSync(path);
  const lastAt = whole.lastIndexOf(10, whole.length - 2) + 1;
  for (let length = lastAt + 1; length < whole.length; length += 7) {
    writeFileSync(path, whole.subarray(0, length));
    const { audit: again } = await reopen();
    const entries = await again.read({ limit: 10 });
    assert.deepEqual(events(entries), ['3 audit.repaired', '2 renamed', '1 renamed']);
    assert.equal(entries[0]!.lostBytes, length - lastAt);
    assert.equal(again.intact, true);
    await again.close();
  }
});

test('zeros at the end, as ext4 leaves them after a power cut, are cut off too', async () => {
  const { audit, dir, reopen } = await fresh();
  audit.append('started', { firmware: '1' });
  await audit.close();
  appendFileSync(join(dir, 'audit.jsonl'), Buffer.concat([Buffer.alloc(100), Buffer.from('\n'), Buffer.alloc(50)]));
  const { audit: again } = await reopen();
  assert.deepEqual(events(await again.read({ limit: 10 })), ['2 audit.repaired', '1 started']);
});

test('a line changed, taken out, put in or swapped is noticed, becomes an entry, once', async () => {
  const { audit, dir, reopen } = await fresh();
  for (let n = 0; n < 6; n++) audit.append('renamed', { by: 'b', name: `name ${n}` });
  await audit.close();
  const path = join(dir, 'audit.jsonl');
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const tampered: [string, string[], number][] = [
    ['changed', lines.map((line, index) => (index === 2 ? line.replace('name 2', 'name X') : line)), 4],
    ['taken out', lines.filter((_, index) => index !== 2), 4],
    [
      'first ones taken out is not to be told from a rotation, but the middle is',
      [...lines.slice(0, 1), ...lines.slice(4)],
      5,
    ],
    ['put in', [...lines.slice(0, 3), lines[1]!, ...lines.slice(3)], 2],
    ['swapped', [lines[0]!, lines[2]!, lines[1]!, ...lines.slice(3)], 3],
  ];
  for (const [what, changed, line] of tampered) {
    writeFileSync(path, `${changed.join('\n')}\n`);
    const first = await reopen();
    const [newest] = await first.audit.read({ limit: 1 });
    assert.equal(newest!.event, 'audit.broken', what);
    assert.equal((newest!.lines as number[])[0], line, what);
    assert.equal(first.audit.intact, false);
    assert.ok(first.log.find(/audit log does not hold/));
    await first.audit.close();
    const second = await reopen();
    const noted = (await second.audit.read({ limit: 50 })).filter(({ event }) => event === 'audit.broken');
    assert.equal(noted.length, 1, `${what}: noted again and again`);
    assert.equal(second.audit.intact, false);
    await second.audit.close();
  }
});

test('property: no single changed byte in a chain goes unnoticed', async () => {
  const { audit, dir } = await fresh();
  for (let n = 0; n < 5; n++) audit.append('renamed', { by: 'b', name: `näme ${n}` });
  await audit.close();
  const whole = readFileSync(join(dir, 'audit.jsonl'));
  fc.assert(
    fc.property(fc.nat(whole.length - 2), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at]! ^ change;
      const { breaks, entries } = readChain(bytes.toString().trimEnd().split('\n'));
      return breaks.length > 0 || entries.length < 5;
    }),
    { numRuns: 10_000 },
  );
});

test('the log is bounded: two files, the chain goes on from one to the other', async () => {
  const { audit, dir, reopen } = await fresh(new FakeClock(), 20_000);
  for (let n = 0; n < 1000; n++) {
    audit.append('renamed', { by: 'b', name: 'x'.repeat(100) });
    if (n % 20 === 19) await audit.read({ limit: 1 });
  }
  await audit.close();
  const sizes = ['audit.jsonl', 'audit.1.jsonl'].map((name) => statSync(join(dir, name)).size);
  assert.ok(
    sizes.every((size) => size < 27_000),
    String(sizes),
  );
  const { audit: again } = await reopen();
  const entries = await again.read({ limit: 1000 });
  assert.ok(entries.length > 80 && entries.length < 300, String(entries.length));
  assert.equal(entries[0]!.n, 1000);
  assert.equal(again.intact, true);
});

test('the first of equal refusals is taken down at once, the others of that minute are counted', async () => {
  const clock = new FakeClock();
  const { audit } = await fresh(clock);
  for (let n = 0; n < 500; n++) audit.append('refused', { viewer: 'eve', reason: 'replayed' });
  audit.append('refused', { viewer: 'eve', reason: 'malformed' });
  audit.append('refused', { viewer: 'mallory', reason: 'replayed' });
  assert.equal((await audit.read({ limit: 50 })).length, 3);
  clock.advance(60_000);
  const [newest, ...rest] = await audit.read({ limit: 50 });
  assert.deepEqual([newest!.viewer, newest!.reason, newest!.repeated], ['eve', 'replayed', 499]);
  assert.equal(rest.length, 3);
});

test('a month of 100,000 invented strangers takes a quarter of the log, and hides no owner', async () => {
  const clock = new FakeClock();
  const { audit, dir } = await fresh(clock);
  audit.append('paired', { viewer: 'owner', name: 'Anna', rights: ['view'], code: 'label' });
  let stranger = 0;
  for (let hour = 0; hour < 24 * 30; hour++) {
    for (let n = 0; n < 140; n++)
      audit.append('pairing.hello-refused', { viewer: `s${stranger++}`, reason: 'wrong-code' });
    clock.advance(3_600_000);
    await audit.read({ limit: 1 });
  }
  audit.append('call', { viewer: 'owner', call: 'c' });
  const entries = await audit.read({ limit: 100_000 });
  assert.equal(entries[0]!.event, 'call');
  assert.ok(
    entries.some(({ event }) => event === 'paired'),
    'the pairing was pushed out',
  );
  const counted = entries.reduce((sum, entry) => sum + (Number(entry.repeated) || 0), 0);
  assert.ok(counted + entries.length > stranger * 0.99, `${counted} of ${stranger} are counted`);
  const size = statSync(join(dir, 'audit.jsonl')).size;
  console.log(`    ${stranger} refusals: ${entries.length} entries, ${size} bytes`);
  assert.ok(size < 500_000, `${size} bytes`);
});

test('a disk that refuses throws nothing: entries wait, what is too much is counted', async () => {
  const clock = new FakeClock();
  const { audit, dir, log } = await fresh(clock);
  rmSync(dir, { recursive: true });
  for (let n = 0; n < 600; n++) audit.append('renamed', { by: 'b', name: `${n}` });
  clock.advance(100);
  await until('it complains', () => log.find(/audit\.not-written/));
  assert.deepEqual(await audit.read({ limit: 10 }), []);
  (await import('node:fs')).mkdirSync(dir);
  const entries = await audit.read({ limit: 1000 });
  assert.equal(entries.length, 501);
  assert.equal(entries.at(-1)!.event, 'audit.lost');
  assert.equal(entries.at(-1)!.entries, 100);
  assert.equal(audit.intact, true);
});

test('a log that cannot be read keeps nobody from starting', async () => {
  const { dir, reopen } = await fresh();
  writeFileSync(join(dir, 'audit.jsonl'), 'nothing of ours\n{}\n');
  const { audit } = await reopen();
  audit.append('started', { firmware: '1' });
  assert.deepEqual(events(await audit.read({ limit: 5 })), ['2 started', '1 audit.repaired']);
});

test('kill -9 in the middle of writing, 60 times: what was promised is there, the chain holds', async () => {
  const { dir, reopen } = await fresh();
  const program = bundled(new URL('./audit-writer.ts', import.meta.url), join(base, 'audit-writer.mjs'));
  let torn = 0;
  for (let kill = 0; kill < 60; kill++) {
    const promised = await killedWriter(program, [dir], (kill % 10) / 2);
    // A power cut may keep a part only of what was being written.
    const path = join(dir, 'audit.jsonl');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    if (lines.length > promised) truncateSync(path, statSync(path).size - 1 - Math.floor(Math.random() * 80));
    const { audit } = await reopen();
    const entries = await audit.read({ limit: 100_000 });
    assert.equal(audit.intact, true);
    assert.ok(
      entries.some(({ n, event }) => n === promised && event === 'renamed'),
      `${promised} is lost`,
    );
    torn += Number(entries[0]!.event === 'audit.repaired');
    await audit.close();
  }
  console.log(`    60 kills, ${torn} torn lines`);
});

test.run();

async function fresh(clock: Clock = new FakeClock(), maxFileBytes?: number) {
  const dir = mkdtempSync(join(base, 'state-'));
  const reopen = async (): Promise<Opened> => {
    const log = new RecordingLogger();
    const audit = await AuditLog.open({ stateDir: dir, now: Date.now, log, clock, maxFileBytes });
    return { audit, log, dir, reopen };
  };
  return reopen();
}

interface Opened {
  readonly audit: AuditLog;
  readonly log: RecordingLogger;
  readonly dir: string;
  reopen(): Promise<Opened>;
}

function events(entries: readonly { readonly n: number; readonly event: string }[]): string[] {
  return entries.map(({ n, event }) => `${n} ${event}`);
}
