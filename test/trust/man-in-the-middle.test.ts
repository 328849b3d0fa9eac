// time limit: 120 s
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { MediaProxy } from '../support/trust-proxy.ts';
import { endSoon, TrustViewer } from '../support/trust-viewer.ts';
import { until } from '../support/wait.ts';

/**
 * CVE-2020-9525 (CS2 Network P2P): whoever stood between a camera and its user could pose as each to the other, watch,
 * and read passwords. Here somebody stands there, passes ICE on, and ends DTLS with a certificate of his own.
 */
const test = suite('CVE-2020-9525: a man in the middle');
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: ServerProgram;
let camera: CameraProgram;
let owner: TrustViewer;
let attempts = 0;
const proxies: MediaProxy[] = [];
const impostors: ChildProcess[] = [];

test.before(async () => {
  folder = await temporaryFolder('middle');
  const own = join(folder.path, 'camera');
  await mkdir(own);
  server = await startServer();
  camera = await startCamera({ server: server.mqttUrl, folder: own });
  owner = await TrustViewer.connect(server.httpUrl, camera.uid);
  await owner.pair(camera.setupCode);
});

test.after(async () => {
  await owner?.close();
  await camera?.stop();
  await server?.stop();
  for (const impostor of impostors) impostor.kill();
  for (const proxy of proxies) proxy.stop();
  await folder.remove();
  endSoon();
});

test('the proxy is really in the middle: without an impostor the call runs through it, unreadable', async () => {
  const proxy = await middle();
  const call = await owner.watch({ redirect: proxy.redirect });
  await until('pictures through the proxy', () => proxy.fromCamera.media > 50 && call.packets > 50);
  const passed = Buffer.concat(proxy.media);
  for (const payload of call.kept.filter(({ length }) => length > 100)) {
    assert.ok(!passed.includes(payload.subarray(20, 60)), 'what the viewer sees is not what passes');
  }
  call.close();
});

test('the impostor can: a client that does not compare certificates talks to him', async () => {
  const { port, said } = await impostor();
  const naive = spawn('openssl', ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${port}`]);
  impostors.push(naive);
  await until('a handshake', () => /CIPHER is/.test(said()));
});

test('he gets no picture and no word from a camera, and the camera notices within a second', async () => {
  for (let i = 0; i < 3; i++) {
    attempts++;
    const { port, said } = await impostor();
    const proxy = await middle(port);
    const call = await owner.call({ redirect: proxy.redirect });
    await until('the camera begins DTLS with the impostor', () => proxy.fromCamera.dtls > 0);
    await until('the camera ends the call', () => call.over !== undefined, 15_000);
    const after = call.overAt - proxy.firstDtlsAt;
    console.log(`  the camera ended the call ${after.toFixed(0)} ms after the impostor's turn: "${call.over}"`);
    assert.equal(proxy.fromCamera.media, 0, 'not a packet of the picture');
    assert.equal(call.packets, 0);
    assert.ok(!/CIPHER is/.test(said()), 'the handshake was never finished');
    assert.ok(after < 1_000);
    call.close();
  }
});

test('a connection whose certificate is not the one in the signed offer gets nothing', async () => {
  // A viewer on the list signs an offer for somebody else's connection, or its fingerprint was exchanged before it signed.
  attempts++;
  const wrong = Array.from({ length: 32 }, () => 'AB').join(':');
  const call = await owner.call({ change: (sdp) => sdp.replace(/(a=fingerprint:sha-256 ).*/, `$1${wrong}`) });
  await until('the camera ends the call', () => call.over !== undefined, 35_000);
  assert.equal(call.packets, 0);
  console.log(`attempts: ${attempts}, pictures to the wrong one: 0`);
});

test.run();

async function middle(impostorPort?: number): Promise<MediaProxy> {
  const proxy = new MediaProxy(impostorPort);
  await proxy.start();
  proxies.push(proxy);
  return proxy;
}

/** A DTLS server with a certificate of its own, as a library of everyday use makes it. */
async function impostor(): Promise<{ port: number; said: () => string }> {
  const [key, cert] = [join(folder.path, 'impostor.key'), join(folder.path, 'impostor.crt')];
  if (!(await readFile(cert).catch(() => undefined))) {
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
      ...['-subj', '/CN=camera', '-keyout', key, '-out', cert],
    ]);
    assert.equal(made.status, 0, String(made.stderr));
  }
  const probe = createSocket('udp4').bind(0);
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const options = ['-dtls1_2', '-accept', `127.0.0.1:${port}`, '-cert', cert, '-key', key, '-verify', '1'];
  const child = spawn('openssl', ['s_server', ...options, '-use_srtp', 'SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM']);
  impostors.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      output += text;
    });
  }
  await until('the impostor listens', () => output.includes('ACCEPT'));
  return { port, said: () => output };
}
