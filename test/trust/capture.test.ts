// time limit: 120 s
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { suite } from 'uvu';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { formatSetupCode } from '#protocol/setup-code.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { classify } from '../support/trust-capture.ts';
import { until } from '../support/wait.ts';

/**
 * Boot, pair, watch, in a network of its own where every packet is captured: what can be read on the way, in the
 * server's memory and on its disk, and in the logs. Needs root, for the network and for reading another process.
 */
if (process.getuid?.() !== 0) throw new Error('this file captures packets and reads memory: run it as root');
if (process.env.PEERCAM_CAPTURE_INSIDE !== 'yes') await runInOwnNetwork();

const test = suite('what others see');
const CAMERA_NAME = 'canary camera name 7f3a9c';
const TURN_SECRET = 'canary-turn-secret-51c2d8e0b7';
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: ServerProgram;
let camera: CameraProgram;
let browser: Browser;
let tcpdump: ChildProcess;
let pcap: Buffer;
/** Pieces of the very picture: of the clip the camera plays. */
const pieces = piecesOf(readFileSync(fileURLToPath(new URL('../../dist/pattern.h264', import.meta.url))));
/** Secrets, and what they are called. */
const canaries = new Map<string, Buffer>();
/** What both sides say to each other, sealed. */
const words = new Map<string, Buffer>();

test.before(async () => {
  // The runner keeps what goes wrong here to itself.
  await setUp().catch((error: unknown) => {
    console.error(error);
    throw error;
  });
});

async function setUp(): Promise<void> {
  folder = await temporaryFolder('capture');
  const file = join(folder.path, 'all.pcap');
  tcpdump = spawn('tcpdump', ['-i', 'lo', '-U', '-s', '0', '-B', '65536', '-w', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  tcpdump.stderr!.on('data', (text) => {
    said += text;
  });
  await until('tcpdump listens', () => said.includes('listening on'));

  const state = join(folder.path, 'server');
  const own = join(folder.path, 'camera');
  await Promise.all([mkdir(state), mkdir(own)]);
  const args = ['--state', state, '--turn', 'turn:127.0.0.1:3478'];
  server = await startServer({ https: true, args, env: { PEERCAM_TURN_SECRET: TURN_SECRET } });
  camera = await startCamera({ server: server.mqttUrl, folder: own, name: CAMERA_NAME });
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  let token = '';
  page.on('response', async (response) => {
    if (!response.url().endsWith('/token') || response.request().method() !== 'POST') return;
    token = ((await response.json()) as { token: string }).token;
  });
  // The page keeps what the camera answered, for us to look for it elsewhere.
  await page.addInitScript({
    content: `const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function (description) {
        sessionStorage.setItem('answer', description.sdp);
        return set.call(this, description);
      };`,
  });
  await page.goto(camera.labelUrl(server.httpsUrl!), { waitUntil: 'commit' });
  await page.locator('html[data-state=live]').waitFor({ state: 'attached', timeout: 40_000 });
  await page.waitForTimeout(4_000);

  const answer = await page.evaluate<string>('sessionStorage.getItem("answer")');
  const inAnswer = (field: string) => new RegExp(`a=${field}:(\\S.*\\S)`).exec(answer)![1]!;
  words.set("the answer's ICE password", Buffer.from(inAnswer('ice-pwd')));
  words.set("the answer's fingerprint", Buffer.from(inAnswer('fingerprint').slice(-60)));
  words.set("the camera's name", Buffer.from(CAMERA_NAME));

  const board = (await new FactoryDirectory(join(own, 'factory')).read())!;
  const { d } = createPrivateKey(board.privateKeyPem!).export({ format: 'jwk' });
  canaries.set('setup code', Buffer.from(camera.setupCode));
  canaries.set('setup code as printed', Buffer.from(formatSetupCode(camera.setupCode)));
  canaries.set('device key', Buffer.from(d!, 'base64url'));
  canaries.set('device key, base64url', Buffer.from(d!));
  canaries.set('device key, PEM', Buffer.from(board.privateKeyPem!.split('\n')[1]!));
  for (const name of await readdir(join(own, 'state'))) {
    const text = await readFile(join(own, 'state', name), 'utf8').catch(() => '');
    const pem = /PRIVATE KEY-----\n([^\n]+)/.exec(text)?.[1];
    if (pem) canaries.set(`operational key (${name})`, Buffer.from(pem));
    const jwkD = /"d":\s*"([\w-]{43})"/.exec(text)?.[1];
    if (jwkD) canaries.set(`operational key (${name}), base64url`, Buffer.from(jwkD));
  }
  canaries.set('TURN secret', Buffer.from(TURN_SECRET));
  assert.ok(token.length > 100, 'the viewer got a token');
  canaries.set('viewer token', Buffer.from(token));
  assert.ok(
    [...canaries.keys()].some((name) => name.startsWith('operational')),
    'the operational key was found',
  );
}

test.after(async () => {
  await browser?.close();
  await camera?.stop();
  await server?.stop();
  tcpdump?.kill();
  await folder.remove();
});

test('a capture of boot, pairing and watching shows TLS, DTLS, SRTP, STUN and DNS only', async () => {
  tcpdump.kill('SIGINT');
  await once(tcpdump, 'close');
  pcap = await readFile(join(folder.path, 'all.pcap'));
  const { counts, others } = classify(pcap);
  console.log(`  packets: ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
  assert.deepEqual(others.slice(0, 5), []);
  assert.ok(counts.get('TLS')! > 20 && counts.get('DTLS')! > 3 && counts.get('SRTP/SRTCP')! > 100);
});

// CS2 Network P2P: sessions went through other people's devices ("supernodes"), which could read names, passwords and
// pictures; so could ThroughTek's relays.
test('CVE-2020-9526: who carries the packets sees neither picture nor words nor secrets', () => {
  let searched = 0;
  for (const [name, bytes] of [...canaries, ...words]) {
    searched++;
    assert.ok(!pcap.includes(bytes), `${name} is in the packets`);
  }
  for (const piece of pieces) {
    searched++;
    assert.ok(!pcap.includes(piece), 'a piece of the picture is in the packets');
  }
  console.log(`  ${searched} patterns searched in ${(pcap.length / 1e6).toFixed(1)} MB of packets: none found`);
});

// Eufy 2022: cameras sold as "local only" sent thumbnails to the maker's cloud, and their streams could be watched
// unencrypted by whoever knew an address.
test('Eufy 2022: the server holds no picture, in memory or on disk, during and after a session', async () => {
  const memory = memoryOf(server.pid);
  assert.ok(memory.includes(Buffer.from(camera.uid)), 'the search works: the server knows the UID');
  const ofCamera = memoryOf(camera.pid);
  assert.ok(
    pieces.some((piece) => ofCamera.includes(piece)),
    'the search works: the camera holds the picture',
  );

  for (const piece of pieces) assert.ok(!memory.includes(piece), 'a piece of the picture is in the memory');
  for (const [name, bytes] of words) assert.ok(!memory.includes(bytes), `${name} is in the memory`);
  for (const [name, bytes] of canaries) {
    // These two it made itself, for others to know.
    if (name === 'viewer token' || name === 'TURN secret') continue;
    assert.ok(!memory.includes(bytes), `${name} is in the server's memory`);
  }
  const files = await filesIn(join(folder.path, 'server'));
  for (const path of files) {
    const content = await readFile(path);
    for (const piece of [...pieces, ...canaries.values(), JFIF, EXIF]) assert.ok(!content.includes(piece), path);
    assert.ok(!startsH264(content), `${path} holds H.264`);
  }
  console.log(`  searched: ${(memory.length / 1e6).toFixed(0)} MB of memory, ${files.length} files`);
});

test('no secret is in a log', () => {
  for (const [who, log] of [['camera', camera.log()] as const, ['server', server.log()] as const]) {
    assert.ok(log.length > 100);
    for (const [name, bytes] of canaries)
      assert.ok(!log.includes(bytes.toString('latin1')), `${name} in the log of the ${who}`);
  }
  console.log(`attempts: ${canaries.size} secrets in packets, memory, files and logs; found: 0`);
});

test.run();

/** The same file once more, in a network namespace of its own; never returns. */
async function runInOwnNetwork(): Promise<never> {
  const setUp = [
    'ip link set lo up',
    'ip link add a0 type veth peer name a1',
    'ip addr add 192.0.2.1/24 dev a0',
    'ip link set a0 up',
    'ip link set a1 up',
    'exec "$0" --import tsx "$1"',
  ].join(' && ');
  const file = fileURLToPath(import.meta.url);
  const child = spawn('unshare', ['--net', 'sh', '-c', setUp, process.execPath, file], {
    stdio: 'inherit',
    env: { ...process.env, PEERCAM_CAPTURE_INSIDE: 'yes' },
  });
  const [code] = (await once(child, 'close')) as [number | null];
  process.exit(code ?? 1);
}

const JFIF = Buffer.from('ffd8ffe000104a464946', 'hex');
const EXIF = Buffer.from('ffd8ffe1', 'hex');

/** 16 bytes out of the middle of each slice, and whole parameter sets. */
function piecesOf(clip: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = clip.indexOf('000001', 0, 'hex'); at >= 0; ) {
    const next = clip.indexOf('000001', at + 3, 'hex');
    const nal = clip.subarray(at + 3, next < 0 ? clip.length : next);
    if (nal.length > 400) found.push(nal.subarray(200, 216), nal.subarray(100, 116));
    at = next;
  }
  // Not what happens to be all alike, as skipped blocks are.
  return found.filter((piece) => new Set(piece).size > 10).slice(0, 400);
}

function startsH264(content: Buffer): boolean {
  return content.includes(Buffer.from('0000000167', 'hex')) || content.includes(Buffer.from('0000000165', 'hex'));
}

/** All memory a process can write to. */
function memoryOf(pid: number): Buffer {
  const parts: Buffer[] = [];
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, from, to, rights, name] = /^(\w+)-(\w+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
    if (!rights?.startsWith('rw') || name === '[vvar]') continue;
    const start = Number.parseInt(from!, 16);
    const buffer = Buffer.alloc(Number.parseInt(to!, 16) - start);
    try {
      parts.push(buffer.subarray(0, readSync(memory, buffer, 0, buffer.length, start)));
    } catch {
      // A guard page, or gone meanwhile.
    }
  }
  closeSync(memory);
  return Buffer.concat(parts);
}

async function filesIn(place: string): Promise<string[]> {
  const names = await readdir(place, { recursive: true });
  const paths = names.map((name) => join(place, name));
  const kinds = await Promise.all(paths.map((path) => stat(path)));
  return paths.filter((_path, i) => kinds[i]!.isFile());
}
