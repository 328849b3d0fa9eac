import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as v from 'valibot';
import { type LocalStatus, localStatusSchema } from '#protocol/local-control.ts';
import { TestChild } from '../support/child.ts';
import { TestFactory } from '../support/factory.ts';
import { until } from '../support/wait.ts';

const program = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'peercam-daemon-'));
const state = join(base, 'state');
const socket = join(base, 'control.sock');
const button = join(base, 'button');
const led = join(base, 'led');
const factory = await TestFactory.create();
const board = await factory.board(join(base, 'factory'));
const test = suite('the daemon, its button, its light and its technician');
let daemon: TestChild;

test.after(async () => {
  await daemon.remove();
  await factory.remove();
  rmSync(base, { recursive: true, force: true });
});

test('it starts without a server, blinks for an owner, and answers peercamctl', async () => {
  execFileSync('mkfifo', [button]);
  mkdirSync(led);
  writeFileSync(join(led, 'max_brightness'), '1');
  daemon = start();
  const status = await until('it answers', statusOf, 30_000);
  assert.equal(status.uid, board.uid);
  assert.equal(status.owned, false);
  assert.equal(status.pairing.state, 'open');
  assert.equal(status.server.connected, false);
  const seen = new Set<string>();
  await until('the light blinks', () => seen.add(readFileSync(join(led, 'brightness'), 'utf8')).size === 2);
});

test('the button and `peercamctl pair` open pairing, and both are in the log of the owner', async () => {
  const finger = openSync(button, constants.O_RDWR);
  writeSync(finger, Buffer.concat([key(1), key(0)]));
  await until('the button is heard', async () => (await statusOf())?.pairing.windowMs);
  assert.equal((await ctl('pair')).code, 0);
  await until('both are taken down', () => opened().length === 2);
  assert.deepEqual(opened(), ['button', 'command']);
});

test('a factory reset by peercamctl makes a new camera of the same UID, in the same process', async () => {
  writeFileSync(join(state, 'owners-secret'), 'x');
  const key = readFileSync(join(state, 'operational-key.pem'), 'utf8');
  const { code, stderr } = await ctl('reset', '--yes');
  assert.equal(code, 0, stderr);
  await until('it is reset', () => !existsSync(join(state, 'owners-secret')));
  const status = await until('it answers again', statusOf, 30_000);
  assert.equal(status.uid, board.uid);
  assert.notEqual(readFileSync(join(state, 'operational-key.pem'), 'utf8'), key);
  await until('it is in the new log', () => audit()[0]?.event === 'reset' && audit()[1]?.event === 'started');
  assert.ok(daemon.running);
  assert.equal(existsSync(join(state, 'reset-pending')), false);
});

test('killed between the decision and the reset, it is reset at the next start', async () => {
  await daemon.remove();
  writeFileSync(join(state, 'owners-secret'), 'x');
  writeFileSync(join(state, 'reset-pending'), '{"by":"button"}');
  daemon = start();
  await until('it answers', statusOf, 30_000);
  assert.equal(existsSync(join(state, 'owners-secret')), false);
  assert.equal(audit()[0]!.by, 'button');
});

test('secrets of the factory and codes are in no log', async () => {
  daemon.process.kill('SIGTERM');
  const { code, stderr } = await daemon.ended();
  assert.equal(code, 0);
  const texts = [
    stderr,
    daemon.stdout,
    ...readdirSync(state)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => readFileSync(join(state, name), 'utf8')),
  ];
  for (const text of texts) assert.ok(!text.includes(board.setupCode) && !text.includes('PRIVATE KEY'));
  assert.equal(existsSync(socket), false);
});

test.run();

function start(): TestChild {
  return new TestChild(program('camera/main.ts'), [
    ...['--factory', `dir:${board.folder}`, '--state', state, '--control', socket, '--source', 'pattern'],
    ...['--button', button, '--watching-led', led, '--server', 'mqtts://127.0.0.1:1'],
  ]);
}

function ctl(...words: string[]) {
  return new TestChild(program('ctl/main.ts'), [...words, '--control', socket]).ended();
}

async function statusOf(): Promise<LocalStatus | undefined> {
  const { code, stdout } = await ctl('status', '--json');
  return code === 0 ? v.parse(localStatusSchema, JSON.parse(stdout)) : undefined;
}

function audit(): Record<string, unknown>[] {
  const path = join(state, 'audit.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function opened(): unknown[] {
  return audit()
    .filter(({ event }) => event === 'pairing.opened')
    .map(({ by }) => by);
}

function key(value: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt16LE(1, 16);
  bytes.writeUInt16LE(408, 18);
  bytes.writeInt32LE(value, 20);
  return bytes;
}
