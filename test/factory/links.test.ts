import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { suite } from 'uvu';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';
import { formatUid } from '#protocol/uid.ts';
import { until } from '../support/wait.ts';
import { TestLine } from './line.ts';

const test = suite('links to boards');
let line: TestLine;

test.before(async () => {
  line = await TestLine.create();
  await line.good('init-ca', line.path('ca'));
});
test.after(() => line.remove());

test('serial: a shell on a real terminal, which echoes, while the kernel prints in between', async () => {
  // Until the terminal is gone.
  const noise =
    'while echo "[   12.345678] usb 1-1: new device" && printf "@peercam {"; do sleep 0.02; done 2>/dev/null &';
  await line.peercamctl(line.path('serial-board'), [noise]);
  const console = await TerminalBoard.open(line, 'ttyS9');
  try {
    const stdout = await line.good('provision', '--board', `serial:${console.path}@115200`, ...line.station());
    const { uid } = (await new FactoryDirectory(line.path('serial-board')).read())!;
    assert.match(stdout, new RegExp(`The board is ${formatUid(uid!)} now`));
  } finally {
    await console.close();
  }
});

test('serial: a board that says nothing is reported, with what to do', async () => {
  const console = await TerminalBoard.open(line, 'ttyS8', 'cat >/dev/null');
  try {
    const { code, stderr } = await line.run('provision', '--board', `serial:${console.path}`, ...line.station());
    assert.equal(code, 1);
    assert.match(stderr, /does not answer: it must be switched on/);
  } finally {
    await console.close();
  }
});

test('serial: a port that does not exist', async () => {
  const { code, stderr } = await line.run('provision', '--board', 'serial:/dev/ttyNONE7', ...line.station());
  assert.equal(code, 1);
  assert.match(stderr, /cannot be opened.*check the cable/s);
});

test('ssh: the host as one argument, no shell, and the board answers at the far end', async () => {
  await line.peercamctl(`nvmem:${line.path('ssh-board.bin')}`);
  await line.script('ssh', [
    `printf '%s\\n' "$@" >'${line.path('argv')}'`,
    // What sshd does with the command: the login shell's.
    'while [ "$1" != -- ]; do shift; done; shift 2',
    'exec sh -c "$*"',
  ]);
  await line.good('provision', '--board', 'ssh:root@camera-7.lan', ...line.station());
  const { uid, model } = (await openFactoryStore(`nvmem:${line.path('ssh-board.bin')}`).read())!;
  assert.ok(uid);
  assert.equal(model, 'Cam 1');
  const argv = (await readFile(line.path('argv'), 'utf8')).trimEnd().split('\n');
  assert.deepEqual(argv.slice(-3), ['--', 'root@camera-7.lan', 'peercamctl enroll']);
});

test('ssh: its complaint is passed on', async () => {
  await line.script('ssh', ['echo "ssh: connect to host 192.0.2.9 port 22: No route to host" >&2', 'exit 255']);
  const { code, stderr } = await line.run('provision', '--board', 'ssh:root@192.0.2.9', ...line.station());
  assert.equal(code, 1);
  assert.match(stderr, /connection to root@192\.0\.2\.9 ended \(255\).*No route to host/s);
});

test('ssh: hosts that ssh or a shell could take for something else are refused', async () => {
  await line.script('ssh', [`touch '${line.path('reached')}'`]);
  const hosts = [
    '-oProxyCommand=touch x',
    'root@-oProxyCommand=x',
    'a;touch x',
    'a b',
    '$(touch x)',
    '`touch x`',
    'a|b',
    'a&b',
    'a\nb',
    'root@',
    '-l root@host',
    "a'b",
    'a"b',
    'a>b',
  ];
  for (const host of hosts) {
    const { code, stderr } = await line.run('provision', '--board', `ssh:${host}`, ...line.station());
    assert.equal(code, 1, host);
    assert.match(stderr, /names no board/, host);
  }
  assert.ok(!existsSync(line.path('reached')));
});

test('batch: a list with boards behind different links; one that fails does not stop the others', async () => {
  await line.peercamctl(line.path('list-board'));
  await line.script('ssh', [
    'while [ "$1" != -- ]; do shift; done',
    '[ "$2" = good ] || { echo refused >&2; exit 255; }',
    'exec peercamctl enroll',
  ]);
  const list = ['# a shelf', 'ssh:good', '', 'ssh:bad', `local:${line.path('on-disk')}`].join('\n');
  await writeFile(line.path('shelf.txt'), list);
  const args = ['batch', '--boards', line.path('shelf.txt'), ...line.station('shelf')];
  const { code, stdout, stderr } = await line.run(...args);
  assert.equal(code, 1);
  assert.match(stdout, /^3 boards in .*2 new.*1 failed/m);
  assert.match(stderr, /^ssh:bad: the connection to bad ended/m);
  assert.match(stderr, /1 of 3 boards failed.*ssh:bad/);
});

test.run();

/** A pseudo terminal whose other end is the controlling terminal of a board's shell. */
class TerminalBoard {
  readonly path: string;
  private readonly child: ChildProcess;

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.child = child;
  }

  static async open(line: TestLine, name: string, command = 'sh -i'): Promise<TerminalBoard> {
    const path = line.path(name);
    const env = { ...process.env, PATH: `${line.bin}:${process.env.PATH}`, PS1: 'root@board:~# ' };
    const board = `EXEC:${command.includes('>') ? `sh -c "${command}"` : command},pty,ctty,setsid,stderr`;
    const child = spawn('socat', [`PTY,link=${path},raw,echo=0`, board], { env, stdio: 'ignore', detached: true });
    await until('the terminal', () => existsSync(path));
    return new TerminalBoard(path, child);
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = once(this.child, 'exit');
    process.kill(-this.child.pid!, 'SIGTERM');
    await ended;
  }
}
