import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readChain } from '#identity/audit-chain.ts';
import { decideReset, finishReset, prepareState } from '#identity/factory-reset.ts';
import { rejection } from '../support/rejection.ts';
import { bundled } from './killed-writer.ts';

const base = mkdtempSync(join(tmpdir(), 'peercam-reset-'));
const test = suite('factory reset');
const SECRET = 'SECRET-OF-THE-OWNER';

test.after(() => rmSync(base, { recursive: true, force: true }));

test('everything of the owner is erased; the time, and one entry that says so, stay', async () => {
  const dir = used('plain');
  await decideReset(dir, 'button');
  assert.equal(ownersData(dir).length, 8, 'nothing is erased before it is decided');
  await finishReset(dir);
  assert.deepEqual(readdirSync(dir).sort(), ['audit.jsonl', 'time-floor.json']);
  const { entries, breaks } = readChain(readFileSync(join(dir, 'audit.jsonl'), 'utf8').trimEnd().split('\n'));
  assert.deepEqual(breaks, []);
  assert.deepEqual(
    entries.map(({ n, event, by }) => [n, event, by]),
    [[1, 'reset', 'button']],
  );
});

test('links are removed, not followed', async () => {
  const elsewhere = join(base, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'keep'), 'x');
  const dir = used('links');
  symlinkSync(elsewhere, join(dir, 'recordings', 'away'));
  await decideReset(dir, 'command');
  await finishReset(dir);
  assert.ok(existsSync(join(elsewhere, 'keep')));
});

test("a directory that is no camera's is not touched", async () => {
  const home = join(base, 'home');
  mkdirSync(home);
  writeFileSync(join(home, 'thesis.tex'), SECRET);
  assert.equal((await rejection(decideReset(home, 'command'))).code, 'reset.not-a-state-directory');
  await prepareState(home);
  assert.deepEqual(readdirSync(home), ['thesis.tex']);
  assert.equal((await rejection(decideReset(join(base, 'none'), 'command'))).code, 'reset.failed');
});

test('the start makes the directory, and removes what was half written', async () => {
  const dir = join(base, 'new');
  assert.deepEqual(await prepareState(dir), { wasReset: false });
  writeFileSync(join(dir, 'operational-key.pem.0123456789ab.new'), SECRET);
  await prepareState(dir);
  assert.deepEqual(readdirSync(dir), []);
  assert.equal((await rejection(prepareState(join(base, 'no/such/place')))).code, 'state.unusable');
});

test('a power cut at any of its steps leaves the old camera or, after the next start, a new one', async () => {
  const program = bundled(new URL('./resetting.ts', import.meta.url), join(base, 'resetting.mjs'));
  const template = used('template');
  const outcomes = { old: 0, new: 0 };
  let finished = false;
  // The process ends itself before its n-th call that changes the disk, as if the power failed there.
  for (let step = 1; !finished; step++) {
    const dir = join(base, `cut-${step}`);
    cpSync(template, dir, { recursive: true });
    const child = fork(program, [dir, String(step)], { execArgv: [], stdio: 'inherit' });
    const [code] = await once(child, 'exit');
    finished = code === 0;
    const { wasReset } = await prepareState(dir);
    const left = ownersData(dir);
    assert.ok(left.length === 0 || left.length === 8, `step ${step} left ${left}`);
    if (left.length > 0) assert.equal(wasReset, false);
    else assert.deepEqual(readdirSync(dir).sort(), ['audit.jsonl', 'time-floor.json'], `step ${step}`);
    outcomes[left.length > 0 ? 'old' : 'new']++;
    rmSync(dir, { recursive: true });
  }
  assert.ok(outcomes.old >= 2 && outcomes.new > 12, JSON.stringify(outcomes));
  console.log(`    cut before each of ${outcomes.old + outcomes.new} steps: ${JSON.stringify(outcomes)}`);
});

test.run();

/** A state directory somebody has lived in. */
function used(name: string): string {
  const dir = join(base, name);
  mkdirSync(join(dir, 'recordings', '2026-11-21'), { recursive: true });
  mkdirSync(join(dir, 'network'));
  writeFileSync(join(dir, 'time-floor.json'), '{"v":1,"floor":1}\n');
  for (const file of [
    'access.json',
    'operational-key.pem',
    'settings.json',
    'settings.json.damaged',
    'audit.jsonl',
    'audit.1.jsonl',
    'network/wifi.json',
    'recordings/2026-11-21/clip.mp4',
  ]) {
    writeFileSync(join(dir, file), SECRET);
  }
  return dir;
}

function ownersData(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => readFileSync(path, 'utf8').includes(SECRET));
}
