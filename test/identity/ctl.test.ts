import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { type LocalActions, LocalControl } from '#camera/local-control.ts';
import { AppError } from '#lib/error.ts';
import type { LocalStatus } from '#protocol/local-control.ts';
import { uidFromKeyHash } from '#protocol/uid.ts';
import { type Ended, TestChild } from '../support/child.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/wait.ts';

const CTL = fileURLToPath(new URL('../../src/ctl/main.ts', import.meta.url));
const base = mkdtempSync(join(tmpdir(), 'peercam-ctl-'));
const uid = uidFromKeyHash(new Uint8Array(32).fill(7));
const pairing = { state: 'closed', attemptsLeft: 10, windowMs: 0 } as const;
const status: LocalStatus = {
  uid,
  name: 'Front door',
  firmware: '1.2.3',
  server: { host: 'cameras.example', connected: true },
  viewers: 2,
  source: { state: 'live', description: 'Test camera' },
  owned: true,
  people: 3,
  pairing,
  time: { now: Date.UTC(2026, 10, 21, 12), behind: false },
  auditIntact: true,
};
const thumbprint = 'A'.repeat(43);
const entry = {
  thumbprint,
  name: 'Anna\u001b[2J',
  rights: ['view' as const, 'owner' as const],
  addedAt: status.time.now,
};
let sockets = 0;
const test = suite('peercamctl and its socket');

test.after(() => rmSync(base, { recursive: true, force: true }));

test('status, uid and access say in words, and as JSON, how things are', async () => {
  const { path, control } = await daemon();
  const said = (await ctl('status', '--control', path)).stdout;
  for (const word of [
    'Front door',
    'cameras.example: connected',
    '2 viewers',
    '3 people',
    'closed',
    '2026-11-21 12:00',
  ]) {
    assert.ok(said.includes(word), `${word} in ${said}`);
  }
  assert.deepEqual(JSON.parse((await ctl('status', '--json', '--control', path)).stdout), status);
  assert.match((await ctl('uid', `--control=${path}`)).stdout, /^[0-9A-Z]{5}(-[0-9A-Z]{5}){3}\n$/);
  const access = (await ctl('access', '--control', path)).stdout;
  assert.match(access, /Anna\?\[2J {2}owner/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names must not move a terminal's cursor
  assert.doesNotMatch(access, /\u001b/);
  await control.stop();
});

test('pair is a press of the button', async () => {
  const { path, control, calls } = await daemon();
  const { code, stdout } = await ctl('pair', '--control', path);
  assert.equal(code, 0);
  assert.match(stdout, /15 minutes/);
  assert.deepEqual(calls, ['openPairing']);
  await control.stop();
});

test('reset asks; with --yes it is decided, answered, and then done', async () => {
  const { path, control, calls } = await daemon();
  const unasked = await ctl('reset', '--control', path);
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /--yes/);
  assert.deepEqual(calls, []);
  const { code, stdout } = await ctl('reset', '--yes', '--control', path);
  assert.equal(code, 0);
  assert.match(stdout, /resets itself/);
  await until('the daemon resets', () => calls.length === 2);
  assert.deepEqual(calls, ['decideReset', 'resetDecided']);
  await control.stop();
});

test("the daemon's refusal is told in its words", async () => {
  const { path, control } = await daemon({
    openPairing: () => Promise.reject(new AppError('access.damaged', 'the list is damaged, reset the camera')),
  });
  const { code, stderr } = await ctl('pair', '--control', path);
  assert.equal(code, 1);
  assert.equal(stderr, 'peercamctl: the list is damaged, reset the camera\n');
  await control.stop();
});

test('without a daemon: friendly words, uid from the factory data, reset of the state directory', async () => {
  const nowhere = join(base, 'nowhere.sock');
  const down = await ctl('status', '--control', nowhere);
  assert.equal(down.code, 1);
  assert.match(down.stderr, /^peercamctl: the peercam daemon is not running here.*systemctl start peercamd/);
  const factory = join(base, 'factory');
  mkdirSync(factory);
  const empty = await ctl('uid', '--control', nowhere, '--factory', factory);
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /peercam-factory provision/);

  const state = join(base, 'state');
  mkdirSync(state);
  writeFileSync(join(state, 'access.json'), '{}');
  const done = await ctl('reset', '--yes', '--control', nowhere, '--state', state);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /is reset/);
  assert.equal(existsSync(join(state, 'access.json')), false);
});

test('help for a newcomer; what it does not understand, with exit code 2', async () => {
  const help = await ctl('--help');
  assert.equal(help.code, 0);
  for (const command of ['status', 'uid', 'pair', 'access', 'reset', 'enroll'])
    assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'));
  for (const words of [[], ['bogus'], ['constructor'], ['status', '--bogus'], ['enroll', '--store']]) {
    const { code, stderr } = await ctl(...words);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, /peercamctl/);
  }
});

test('enroll answers on the console and ends with it', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', CTL, 'enroll', '--store', `dir:${join(base, 'factory')}`]);
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stdin.end('noise of a console\n');
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0);
  assert.equal(stdout, '');
});

test('nobody but the own user can open the socket; it is gone after a stop', async () => {
  const { path, control } = await daemon();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  if (process.getuid!() === 0) {
    chmodSync(base, 0o755);
    const script = `require('net').connect(${JSON.stringify(path)}).on('error', (e) => console.log(e.code)).on('connect', () => { console.log('in'); process.exit() })`;
    const child = spawn(process.execPath, ['-e', script], { uid: 65534, gid: 65534 });
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await new Promise((resolve) => child.once('close', resolve));
    assert.equal(said.trim(), 'EACCES');
  }
  await control.stop();
  assert.equal(existsSync(path), false);
});

test('the socket of a killed daemon is taken over, that of a running one is not', async () => {
  const first = await daemon();
  const second = new LocalControl({ path: first.path, actions: first.actions, log: new RecordingLogger() });
  assert.equal((await rejection(second.start())).code, 'local-control.in-use');
  assert.equal((await ctl('status', '--control', first.path)).code, 0, 'the first one lost its socket');
  await first.control.stop();

  // A killed process leaves the file, and nobody listens.
  const path = join(base, 'stale.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Promise((resolve) => spawn(process.execPath, ['-e', script]).once('close', resolve));
  assert.ok(existsSync(path));
  const { control } = await daemon({}, path);
  assert.equal((await ctl('status', '--control', path)).code, 0);
  await control.stop();
});

test('what is no request is answered with an error, or the connection closed; the daemon goes on', async () => {
  const { path, control, log } = await daemon({
    status: () => {
      throw new Error('a defect');
    },
  });
  for (const line of ['', '{}', 'null', '{"command":"rm"}', '{"command":"status","x":1}', '{"command":"status"}']) {
    assert.match(await raw(path, `${line}\n`), /"ok":false/);
  }
  assert.ok(log.find(/could not be handled/));
  assert.equal(await raw(path, 'x'.repeat(100_000)), '');
  const several = await raw(path, '{"command":"access"}\n{"command":"pair"}\n');
  assert.match(several, /"ok":true.*\n.*"minutes":15/);
  await control.stop();
});

test('a daemon that does not answer, or answers nonsense, leaves ctl with words', async () => {
  for (const answer of ['nonsense\n', '{"ok":true,"result":{}}\n', '']) {
    const path = join(base, `odd-${sockets++}.sock`);
    const server = createServer((socket) => {
      socket.on('data', () => socket.end(answer));
    }).listen(path);
    const { code, stderr } = await ctl('status', '--control', path);
    assert.equal(code, 1);
    assert.match(stderr, /^peercamctl: (reply of the daemon|the daemon did not answer)/);
    server.close();
  }
});

test.run();

async function daemon(change: Partial<LocalActions> = {}, path = join(base, `d${sockets++}`, 'control.sock')) {
  const calls: string[] = [];
  const log = new RecordingLogger();
  const actions: LocalActions = {
    status: () => status,
    access: () => ({ entries: [entry], invitations: [], pairing }),
    openPairing: async () => {
      calls.push('openPairing');
      return { minutes: 15 };
    },
    decideReset: async () => void calls.push('decideReset'),
    resetDecided: () => void calls.push('resetDecided'),
    ...change,
  };
  const control = new LocalControl({ path, actions, log });
  await control.start();
  return { path, control, actions, calls, log };
}

function ctl(...args: string[]): Promise<Ended> {
  return new TestChild(CTL, args).ended();
}

/** What comes back for these bytes, until the daemon closes or is quiet. */
function raw(path: string, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path, () => socket.write(bytes));
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk;
      if (said.split('\n').length > bytes.split('\n').length - 1) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(said));
  });
}
