import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { suite } from 'uvu';
import type { DeviceIdentity } from '#identity/device-key.ts';
import type { SignallingOptions } from '#session/signalling.ts';
import { mutualTls, newBoard, TestCamera } from '../support/camera-signalling.ts';
import { type ServerFiles, TestFactory } from '../support/factory.ts';
import { until } from '../support/wait.ts';

/** Longest a server may keep a camera waiting before it tries again, ms; its own limit is 10 s. */
const PATIENCE_MS = 15_000;

const test = suite('servers that say nothing');
const cleanups: (() => unknown)[] = [];
let factory: TestFactory;
let files: ServerFiles;
let board: DeviceIdentity;

test.before(async () => {
  factory = await TestFactory.create();
  files = await factory.serverCertificate();
  board = await newBoard(factory);
});
test.after(() => factory.remove());
test.after.each(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

test('one that takes the connection and is silent is given up, at TLS as at MQTT, and tried again', async () => {
  const silent = await listening(createServer());
  const { certPem: cert, keyPem: key } = files;
  const tlsOnly = await listening(createTlsServer({ cert, key, ca: factory.rootPem, requestCert: true }));
  const cameras = [silent, tlsOnly].map(({ port }) => started(port));
  const begun = performance.now();
  for (const [index, { log }] of cameras.entries()) {
    await until('it gives up', () => log.find(/no connection to the server.*trying again/), PATIENCE_MS);
    await until('it tries again', () => [silent, tlsOnly][index]!.connections() > 1, PATIENCE_MS);
  }
  assert.ok(performance.now() - begun > 5_000, 'a slow link has its time');
  for (const { states } of cameras) assert.deepEqual(states, []);
  assert.match(String(cameras[0]!.log.find(/no connection/)!.fields.cause), /in time/);
});

test('a camera stops at once in the midst of connecting, and leaves no connection behind', async () => {
  for (const server of [createServer(), createTlsServer({ cert: files.certPem, key: files.keyPem })]) {
    const place = await listening(server);
    const { signalling, log } = started(place.port);
    await until('it connects', () => place.open() === 1);
    const begun = performance.now();
    await signalling.stop();
    assert.ok(performance.now() - begun < 1_500);
    await until('its connection is closed', () => place.open() === 0);
    assert.deepEqual(log.lines, []);
    assert.equal(place.connections(), 1);
  }
});

test('a connection that is made after the camera has stopped is closed', async () => {
  const place = await listening(createServer());
  let deliver: (stream: Duplex) => void = () => {};
  const openStream = () =>
    new Promise<Duplex>((resolve) => {
      deliver = resolve;
    });
  const { signalling, log } = started(place.port, openStream);
  await signalling.stop();
  const late = connect(place.port, '127.0.0.1');
  await once(late, 'connect');
  deliver(late);
  await until('it is closed', () => late.destroyed && place.open() === 0);
  assert.deepEqual(log.lines, []);
});

test('a camera stopped and started again in one breath connects once', async () => {
  const place = await listening(createServer());
  const { signalling } = started(place.port);
  await until('it connects', () => place.open() === 1);
  const stopped = signalling.stop();
  signalling.start();
  await stopped;
  await until('the second one', () => place.connections() === 2);
  await until('one is left', () => place.open() === 1);
  assert.equal(place.connections(), 2);
});

test.run();

function started(port: number, openStream?: SignallingOptions['openStream']): TestCamera {
  const camera = new TestCamera({
    openStream: openStream ?? mutualTls(board, `mqtts://127.0.0.1:${port}`, files.caPem),
    uid: board.uid,
    key: board.key.publicKey,
  });
  cleanups.push(() => camera.signalling.stop());
  camera.signalling.start();
  return camera;
}

/** A server on loopback that answers nothing beyond what it is. */
async function listening(server: Server) {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
  });
  server.on('tlsClientError', () => {});
  server.on('secureConnection', (socket: Socket) => socket.on('error', () => {}).resume());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return { port: address.port, connections: () => connections, open: () => sockets.size };
}
