// time limit: 180 s
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import decodeQR from 'qr/decode.js';
import { suite } from 'uvu';
import * as v from 'valibot';
import { parseAs } from '#protocol/parse.ts';
import { parseSetupCode } from '#protocol/setup-code.ts';
import { parseUid } from '#protocol/uid.ts';
import { terminalQr } from '../../scripts/terminal-qr.ts';
import { canConnect, until } from '../support/wait.ts';

const lineSchema = v.strictObject({
  viewerUrl: v.string(),
  lanUrl: v.optional(v.string()),
  uid: v.string(),
  whepUrl: v.string(),
  whepToken: v.pipe(v.string(), v.minLength(16)),
  server: v.string(),
  pid: v.number(),
});

/** The demo as a person or a program runs it, except that `scripts/test` has built dist/ already. */
class Demo {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';
  private readonly exited: Promise<unknown>;

  constructor(args: string[], temporary: string) {
    this.process = spawn(process.execPath, ['--import', 'tsx', 'scripts/demo.ts', ...args], {
      env: { ...process.env, TMPDIR: temporary, TSX_DISABLE_CACHE: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = once(this.process, 'exit');
    this.process.stdout!.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
  }

  async live() {
    await until(
      'the demo is live',
      () => {
        if (this.process.exitCode !== null) throw new Error(`the demo ended: ${this.stderr}`);
        return this.stdout.includes('\n');
      },
      60_000,
    );
    return parseAs(lineSchema, JSON.parse(this.stdout), 'the line');
  }

  async exit(): Promise<number | null> {
    await this.exited;
    return this.process.exitCode;
  }
}

const demos: Demo[] = [];
let temporary: string;

const test = suite('scripts/demo');

test.before.each(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'peercam-demo-test-'));
});
test.after.each(async () => {
  for (const demo of demos.splice(0)) {
    if (demo.process.exitCode === null && demo.process.signalCode === null) demo.process.kill('SIGTERM');
    await demo.exit();
  }
  await rm(temporary, { recursive: true });
});

function start(...args: string[]): Demo {
  const demo = new Demo(args, temporary);
  demos.push(demo);
  return demo;
}

/** The programs a demo has started, by process id. */
function childrenOf({ process }: Demo): number[] {
  const file = `/proc/${process.pid}/task/${process.pid}/children`;
  return readFileSync(file, 'utf8').trim().split(' ').map(Number);
}

const alive = (pid: number) => existsSync(`/proc/${pid}`);

async function nothingIsLeft(children: number[], addresses: string[]): Promise<void> {
  await until('all children are gone', () => !children.some(alive), 5_000);
  for (const address of addresses) assert.equal(await canConnect(Number(new URL(address).port)), false, address);
  assert.deepEqual(await readdir(temporary), []);
}

test('--json says in one line where everything is, and it is there', async () => {
  const demo = start('--json', '--http-port', '0');
  const { viewerUrl, uid, whepUrl, server, pid } = await demo.live();
  const [address, code] = viewerUrl.split('.') as [string, string];
  assert.equal(address, `http://localhost:${new URL(server).port}/#${parseUid(uid)}`);
  assert.ok(parseSetupCode(code));
  assert.match(await (await fetch(viewerUrl)).text(), /<div id="app">/);
  assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /peercamd\.js/);
  const stranger = await fetch(whepUrl, {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp' },
    body: 'v=0',
  });
  assert.equal(stranger.status, 401);
  assert.equal(demo.stdout.split('\n').length, 2);
  assert.equal(demo.stderr, '');
});

test('a fresh browser that opens the address owns the camera and sees it; the next one does not', async () => {
  const demo = start('--json', '--http-port', '0');
  const { viewerUrl, lanUrl } = await demo.live();
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    const first = await visit(browser, viewerUrl);
    await first.locator('html[data-state=live]').waitFor();
    await first.getByText('This camera is yours now').waitFor();
    assert.ok(!first.url().includes('.', first.url().indexOf('#')), 'the code is gone from the address bar');
    // The other address, as a phone in the network opens it: over https, with the demo's own certificate.
    const second = await visit(browser, lanUrl ?? viewerUrl);
    await second.getByText(/has an owner/).waitFor();
    assert.notEqual(await second.locator('html').getAttribute('data-state'), 'live');
  } finally {
    await browser.close();
  }
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} leaves nothing behind`, async () => {
    const demo = start('--json', '--http-port', '0');
    const { server, whepUrl } = await demo.live();
    const children = childrenOf(demo);
    assert.ok(children.length >= 2);
    demo.process.kill(signal);
    assert.equal(await demo.exit(), 0);
    await nothingIsLeft(children, [server, whepUrl]);
  });
}

for (const victim of ['peercamd', 'peercam-server']) {
  test(`when ${victim} dies, the demo ends, says so and leaves nothing behind`, async () => {
    const demo = start('--json', '--http-port', '0');
    const { server, whepUrl } = await demo.live();
    const children = childrenOf(demo);
    const pid = children.find((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(`${victim}.js`));
    process.kill(pid!, 'SIGKILL');
    assert.equal(await demo.exit(), 1);
    assert.match(demo.stderr, new RegExp(`${victim}.* ended \\(SIGKILL\\)`));
    await nothingIsLeft(children, [server, whepUrl]);
  });
}

test('even a killed demo takes its programs with it', async () => {
  const demo = start('--json', '--http-port', '0');
  const { server, whepUrl } = await demo.live();
  const children = childrenOf(demo);
  demo.process.kill('SIGKILL');
  await demo.exit();
  await until('all children are gone', () => !children.some(alive), 5_000);
  for (const address of [server, whepUrl]) assert.equal(await canConnect(Number(new URL(address).port)), false);
});

test('--state keeps the camera from run to run', async () => {
  const state = join(temporary, 'state');
  const uids: string[] = [];
  const codes: string[] = [];
  for (let run = 0; run < 2; run++) {
    const demo = start('--json', '--http-port', '0', '--state', state);
    const { uid, viewerUrl } = await demo.live();
    uids.push(uid);
    codes.push(viewerUrl.split('.').at(-1)!);
    demo.process.kill('SIGTERM');
    await demo.exit();
  }
  assert.equal(uids[0], uids[1]);
  assert.equal(codes[0], codes[1]);
  assert.ok((await readdir(state)).length > 0);
});

test('a person reads the address, how to stop, and a code that scans', async () => {
  const demo = start('--http-port', '0');
  await until('the text', () => demo.stdout.includes('Ctrl-C'), 60_000);
  const addresses = [...demo.stdout.matchAll(/https?:\/\/\S+/g)].map(([address]) => address);
  assert.match(addresses[0]!, /^http:\/\/localhost:\d+\/#\w{20}\.\w{16}$/);
  assert.match(demo.stdout, /UID +(\w{5}-){3}\w{5}\n/);
  assert.match(demo.stdout, /Code +(\w{4}-){3}\w{4}\n/);
  const code = demo.stdout.split('\n').filter((line) => /[█▀▄]/.test(line));
  // Drawn for a dark terminal: ink is light. The quiet zone is ink too.
  assert.equal(scan(code, { inkIsLight: true }), addresses.at(-1));
});

test('the code scans in colour, with a quiet zone of four modules', () => {
  const text = 'https://192.168.178.123:48080/#7ASDEAXG7EEC4MAQE9XY.0123456789ABCDEF';
  const lines = terminalQr(text, { colour: true }).split('\n');
  const plain = lines.map((line) => {
    assert.ok(line.startsWith('\x1b[38;5;16;48;5;231m') && line.endsWith('\x1b[0m'));
    return line.slice('\x1b[38;5;16;48;5;231m'.length, -'\x1b[0m'.length);
  });
  assert.equal(scan(plain, { inkIsLight: false }), text);
  assert.equal(plain[0]!.trim() + plain[1]!.trim(), '');
  assert.ok(plain.every((line) => line.startsWith('    ') && line.endsWith('    ')));
  assert.ok(plain[0]!.length <= 45, 'it fits a small terminal');
});

test('the usual port is not insisted on', async () => {
  const squatter = createServer().listen(8080);
  // Taken by somebody else already serves as well.
  await new Promise((resolve) => squatter.once('listening', resolve).once('error', resolve));
  const demo = start('--json');
  const { server } = await demo.live();
  assert.notEqual(new URL(server).port, '8080');
  assert.match(demo.stderr, /8080 is taken/);
  squatter.close();
});

test('wrong options are named', async () => {
  for (const args of [['--sauce', 'pattern'], ['--http-port', 'x'], ['--source']]) {
    const demo = start(...args);
    assert.equal(await demo.exit(), 2);
    assert.match(demo.stderr, new RegExp(args[0]!));
    assert.match(demo.stderr, /--help/);
  }
});

test('--help needs nothing installed', async () => {
  const help = spawn('scripts/demo', ['--help'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: '/usr/bin:/bin' },
  });
  let text = '';
  help.stdout.on('data', (chunk) => {
    text += chunk;
  });
  await once(help, 'close');
  assert.match(text, /--source SPEC/);
});

/** A browser that was never here. */
async function visit(browser: Browser, url: string) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(url);
  return page;
}

/** Reads a QR code off half-block lines as a camera would, 4 pixels a module. */
function scan(lines: string[], { inkIsLight }: { inkIsLight: boolean }): string {
  const scale = 4;
  const width = lines[0]!.length * scale;
  const height = lines.length * 2 * scale;
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const row = Math.floor(y / scale);
      const character = lines[row >> 1]![Math.floor(x / scale)]!;
      const ink = character === '█' || character === (row % 2 === 0 ? '▀' : '▄');
      const level = ink === inkIsLight ? 255 : 0;
      data.fill(level, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return decodeQR({ width, height, data });
}

test.run();
