import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { WebSocket } from 'ws';
import { parseAs } from '#protocol/parse.ts';
import { viewerConfigSchema } from '#protocol/viewer-config.ts';
import { TestServer } from '../support/server.ts';

const script = 'console.log("the viewer");'.repeat(20);
let folder: string;
let server: TestServer;

const test = suite('the web server');

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-site-'));
  const site = join(folder, 'viewer');
  await mkdir(join(site, 'icons'), { recursive: true });
  await writeFile(join(folder, 'secret.txt'), 'secret');
  await symlink(join(folder, 'secret.txt'), join(site, 'link.txt'));
  await writeFile(join(site, 'index.html'), '<!doctype html><title>viewer</title>');
  await writeFile(join(site, 'main-4YIDPF75.js'), script);
  await writeFile(join(site, 'main-4YIDPF75.js.gz'), gzipSync(script));
  await writeFile(join(site, 'main-4YIDPF75.js.br'), brotliCompressSync(script));
  await writeFile(join(site, 'app.webmanifest'), '{}');
  await writeFile(join(site, 'icons', 'icon.svg'), '<svg/>');
  server = new TestServer({ viewerFolder: site, https: true, viewer: { iceServers: ['stun:stun.example:3478'] } });
  await server.start();
});
test.after(async () => {
  await server.remove();
  await rm(folder, { recursive: true });
});

/** A request with its path exactly as given, which no HTTP client would send. */
async function raw(request: string): Promise<string> {
  const socket = connect(Number(new URL(server.httpUrl).port), '127.0.0.1');
  socket.end(`${request}\r\nHost: x\r\nConnection: close\r\n\r\n`);
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    answer += chunk;
  });
  await once(socket, 'close');
  return answer;
}

test('the page is checked for news each time, and not sent twice', async () => {
  const first = await fetch(`${server.httpUrl}/`);
  assert.equal(first.status, 200);
  assert.equal(first.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(first.headers.get('cache-control'), 'no-cache');
  assert.match(await first.text(), /<title>viewer/);
  const second = await fetch(`${server.httpUrl}/`, { headers: { 'If-None-Match': first.headers.get('etag')! } });
  assert.equal(second.status, 304);
  assert.equal(await second.text(), '');
});

test('hashed files are kept for ever; others are not', async () => {
  const hashed = await fetch(`${server.httpUrl}/main-4YIDPF75.js`);
  assert.equal(hashed.headers.get('cache-control'), 'public, max-age=31536000, immutable');
  assert.equal(hashed.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal(await hashed.text(), script);
  const icon = await fetch(`${server.httpUrl}/icons/icon.svg`);
  assert.equal(icon.headers.get('content-type'), 'image/svg+xml');
  assert.equal(icon.headers.get('cache-control'), 'no-cache');
  const manifest = await fetch(`${server.httpUrl}/app.webmanifest`);
  assert.equal(manifest.headers.get('content-type'), 'application/manifest+json');
});

test('the compressed form goes to who takes it, each with an ETag of its own', async () => {
  const request = (accept: string) => raw(`GET /main-4YIDPF75.js HTTP/1.1\r\nAccept-Encoding: ${accept}`);
  const header = (answer: string, name: string) => new RegExp(`^${name}: (.*)\r$`, 'mi').exec(answer)?.[1];
  const answers = [await request('gzip, deflate, br'), await request('gzip'), await request('br;q=0, gzip;q=0')];
  assert.deepEqual(
    answers.map((answer) => header(answer, 'content-encoding')),
    ['br', 'gzip', undefined],
  );
  assert.equal(new Set(answers.map((answer) => header(answer, 'etag'))).size, 3);
  for (const answer of answers) assert.equal(header(answer, 'vary'), 'Accept-Encoding');
  const zipped = await fetch(`${server.httpUrl}/main-4YIDPF75.js.gz`);
  assert.equal(zipped.status, 404);
  const decoded = await fetch(`${server.httpUrl}/main-4YIDPF75.js`, { headers: { 'Accept-Encoding': 'gzip' } });
  assert.equal(await decoded.text(), script);
  assert.equal(gunzipSync(gzipSync(script)).toString(), script);
});

test('HEAD answers what GET would, without the body', async () => {
  const head = await fetch(`${server.httpUrl}/`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get('content-length'), '36');
  assert.equal(await head.text(), '');
});

test('the configuration is what the viewer expects', async () => {
  const response = await fetch(`${server.httpUrl}/config.json`);
  const config = parseAs(viewerConfigSchema, await response.json(), 'config.json');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const { nonce, ...rest } = config;
  assert.match(nonce ?? '', /^[\w.-]{40,}$/);
  assert.deepEqual(rest, {
    mqtt: '/mqtt',
    token: '/token',
    mqttVersion: 4,
    // What a browser does not know of itself.
    address: '127.0.0.1',
    iceServers: [{ urls: 'stun:stun.example:3478' }],
  });
});

test('every answer carries the security headers', async () => {
  for (const path of ['/', '/config.json', '/healthz', '/nothing']) {
    const { headers } = await fetch(server.httpUrl + path);
    const policy = headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /connect-src 'self' ws: wss:/);
    assert.match(policy, /media-src 'self' blob:/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('referrer-policy'), 'no-referrer');
    assert.match(headers.get('permissions-policy') ?? '', /camera=\(self\)/);
  }
});

test('no path leads out of the folder', async () => {
  const paths = [
    '/../secret.txt',
    '/icons/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '//etc/passwd',
    '/link.txt',
    '/icons',
    '/\0',
    '/%00',
    '/%',
    'http://x/../secret.txt',
    '/__proto__',
  ];
  for (const path of paths) {
    const answer = await raw(`GET ${path} HTTP/1.1`);
    assert.match(answer, /^HTTP\/1\.1 (404|400) /, path);
    assert.equal(answer.includes('secret\n') || answer.includes('root:'), false, path);
  }
});

test('other methods are refused, whatever they bring', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const body = method === 'POST' ? 'x'.repeat(1_000_000) : undefined;
    const response = await fetch(`${server.httpUrl}/`, { method, body });
    assert.equal(response.status, 405, method);
    assert.equal(response.headers.get('allow'), 'GET, HEAD');
  }
});

test('it is healthy', async () => {
  const response = await fetch(`${server.httpUrl}/healthz`);
  assert.deepEqual(await response.json(), { status: 'ok' });
});

test('WebSockets are the broker’s, at its path and in its protocol', async () => {
  const opened = (path: string, protocol?: string) =>
    new Promise<string>((resolve) => {
      const socket = new WebSocket(server.httpUrl.replace('http', 'ws') + path, protocol);
      socket.on('open', () => {
        socket.close();
        resolve(`open ${socket.protocol}`);
      });
      socket.on('error', (error) => resolve(error.message));
    });
  assert.equal(await opened('/mqtt', 'mqtt'), 'open mqtt');
  assert.match(await opened('/other', 'mqtt'), /404/);
  assert.match(await opened('/mqtt', 'chat'), /subprotocol/i);
});

test('without the viewer it says what to do', async () => {
  const bare = new TestServer({ viewerFolder: join(folder, 'missing') });
  await bare.start();
  const response = await fetch(`${bare.httpUrl}/`);
  assert.equal(response.status, 404);
  assert.match(await response.text(), /scripts\/build/);
  assert.ok(bare.log.find(/viewer is not there/));
  await bare.remove();
});

test('HTTPS serves the same, WebSocket included', async () => {
  const ca = server.certificate.caPem;
  const answer = await new Promise<string>((resolve, reject) => {
    get(`${server.httpsUrl}/healthz`, { ca }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    }).on('error', reject);
  });
  assert.deepEqual(JSON.parse(answer), { status: 'ok' });
  const socket = new WebSocket(`${server.httpsUrl.replace('https', 'wss')}/mqtt`, 'mqtt', { ca });
  await once(socket, 'open');
  socket.terminate();
});

test('the keys that check tokens are public, and only they are', async () => {
  const response = await fetch(`${server.httpUrl}/.well-known/jwks.json`);
  const { keys } = (await response.json()) as { keys: Record<string, unknown>[] };
  assert.deepEqual(Object.keys(keys[0]!).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
});

test.run();
