import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { loadDeviceIdentity } from '#identity/device-key.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { GrantIssuer } from '#identity/grant.ts';
import { newSigningKey } from '#identity/keys.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { type ServerNotes, serverNotesSchema, type Token } from '#protocol/token.ts';
import { serverNotes, statusTopic } from '#protocol/topics.ts';
import { Relay } from '#server/relay.ts';
import { freePort } from '../support/mosquitto.ts';
import { connectCamera, requestToken, TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const PROGRAM = '/usr/bin/turnserver';
const SECRET = randomBytes(16).toString('hex');
const TTL_SECONDS = 4;

let folder: string;
let port: number;
let coturn: ChildProcess;
let server: TestServer;

const test = suite('relay credentials, at a real coturn');

test.before(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: apt-get install coturn`);
  folder = await mkdtemp(join(tmpdir(), 'peercam-relay-'));
  port = await freePort();
  // As shipped, but for the port and the secret.
  const shipped = (await readFile('src/server/deploy/turnserver.conf', 'utf8'))
    .replace('listening-port=3478', `listening-port=${port}`)
    .replace('CHANGE-ME', SECRET);
  const own = [
    'listening-ip=127.0.0.1',
    'relay-ip=127.0.0.1',
    'allow-loopback-peers',
    'no-tls',
    'no-dtls',
    'simple-log',
  ];
  const files = [`log-file=${join(folder, 'log')}`, `pidfile=${join(folder, 'pid')}`, `userdb=${join(folder, 'db')}`];
  await writeFile(join(folder, 'turnserver.conf'), [shipped, ...own, ...files, ''].join('\n'));
  coturn = spawn(PROGRAM, ['-c', join(folder, 'turnserver.conf')], { stdio: 'ignore' });
  await until('coturn answers', () =>
    allocate('nobody', 'nothing')
      .then(() => true)
      .catch(() => false),
  );
  const urls = [`turn:127.0.0.1:${port}`];
  server = new TestServer({ turn: { urls, secret: SECRET, ttl: TTL_SECONDS } });
  await server.start();
});
test.after(async () => {
  await server?.remove();
  const gone = once(coturn, 'exit');
  coturn.kill('SIGKILL');
  await gone;
  await rm(folder, { recursive: true });
});

test('a viewer with a camera’s grant gets credentials that allocate; one without gets none', async () => {
  const key = await newSigningKey();
  const board = await server.factory.board(join(folder, 'board-1'));
  const identity = await loadDeviceIdentity(new FactoryDirectory(board.folder));
  const grant = await new GrantIssuer({ ...identity, now: Date.now }).issue(key.thumbprint, ['view']);
  const tokenFor = async (grants: string[]) =>
    (await (await requestToken(server.httpUrl, { key, grants })).json()) as Token;
  assert.deepEqual((await tokenFor([])).iceServers, []);
  const { iceServers, expiresIn } = await tokenFor([grant]);
  const { username, credential } = iceServers[0]!;
  assert.match(username!, new RegExp(`^\\d+:${key.thumbprint}$`));
  assert.ok(expiresIn <= TTL_SECONDS);
  assert.equal(await allocate(username!, credential!), 'allocated');
});

test('a camera gets credentials that allocate when it listens, and new ones at half their life', async () => {
  const board = await server.factory.board(join(folder, 'board-2'));
  const camera = await connectCamera(server, board.folder);
  const notes: ServerNotes[] = [];
  camera.on('message', (_topic, payload) => notes.push(parseJsonAs(serverNotesSchema, payload, 'notes', 4096)));
  await camera.subscribeAsync(serverNotes(board.uid), { qos: 1 });
  await camera.publishAsync(statusTopic(board.uid), '{"state":"online"}', { qos: 1, retain: true });
  await until('the first', () => notes.length === 1);
  const first = performance.now();
  await until('the second', () => notes.length === 2);
  const after = performance.now() - first;
  assert.ok(after > (TTL_SECONDS / 2) * 1000 - 500 && after < TTL_SECONDS * 1000, `renewed after ${after} ms`);
  for (const { iceServers, now } of notes) {
    assert.ok(Math.abs(now - Date.now()) < 10_000);
    assert.match(iceServers![0]!.username!, new RegExp(`^\\d+:${board.uid}$`));
  }
  const { username, credential } = notes[1]!.iceServers![0]!;
  assert.equal(await allocate(username!, credential!), 'allocated');
  await camera.endAsync(true);
});

test('expired, forged and changed credentials do not allocate', async () => {
  const urls = ['turn:x:1'];
  const made = (options: { secret?: string; now?: number }) => {
    const { secret = SECRET, now = Date.now() } = options;
    const { username, credential } = new Relay({ urls, secret, ttl: 60, now: () => now }).credentialsFor(
      'somebody',
    )[0]!;
    return [username!, credential!] as const;
  };
  assert.equal(await allocate(...made({})), 'allocated');
  assert.equal(await allocate(...made({ now: Date.now() - 120_000 })), 'refused');
  assert.equal(await allocate(...made({ secret: 'guessed' })), 'refused');
  const [username, credential] = made({ now: Date.now() - 120_000 });
  // A longer life for an old password.
  assert.equal(
    await allocate(username.replace(/^\d+/, `${Math.floor(Date.now() / 1000) + 600}`), credential),
    'refused',
  );
  assert.equal(await allocate('somebody', credential), 'refused');
});

/** One TURN allocation over UDP (RFC 5766, section 6), with long-term credentials (RFC 5389, section 10.2). */
async function allocate(username: string, password: string): Promise<'allocated' | 'refused'> {
  const socket = createSocket('udp4');
  try {
    const first = await ask(socket, message([[0x0019, Buffer.from([17, 0, 0, 0])]]));
    const [realm, nonce] = [first.get(0x0014)!, first.get(0x0015)!];
    const fields: [number, Buffer][] = [
      [0x0019, Buffer.from([17, 0, 0, 0])],
      [0x0006, Buffer.from(username)],
      [0x0014, realm],
      [0x0015, nonce],
    ];
    const key = createHash('md5').update(`${username}:${realm}:${password}`).digest();
    const answer = await ask(socket, message(fields, key));
    return answer.has(0x0016) ? 'allocated' : 'refused';
  } finally {
    socket.close();
  }
}

/** The attributes of the answer by their type. */
async function ask(socket: ReturnType<typeof createSocket>, request: Buffer): Promise<Map<number, Buffer>> {
  socket.send(request, port, '127.0.0.1');
  const limit = AbortSignal.timeout(1_000);
  const [answer] = (await once(socket, 'message', { signal: limit })) as [Buffer];
  const attributes = new Map<number, Buffer>();
  for (let at = 20; at < answer.length; ) {
    const length = answer.readUInt16BE(at + 2);
    attributes.set(answer.readUInt16BE(at), answer.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return attributes;
}

/** An Allocate request; with a key it ends with MESSAGE-INTEGRITY. */
function message(fields: readonly [number, Buffer][], key?: Buffer): Buffer {
  const body = fields.map(([type, value]) => {
    const field = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    field.writeUInt16BE(type, 0);
    field.writeUInt16BE(value.length, 2);
    value.copy(field, 4);
    return field;
  });
  const head = Buffer.concat([Buffer.from([0x00, 0x03, 0, 0, 0x21, 0x12, 0xa4, 0x42]), randomBytes(12)]);
  const length = body.reduce((sum, field) => sum + field.length, 0);
  head.writeUInt16BE(length + (key ? 24 : 0), 2);
  const plain = Buffer.concat([head, ...body]);
  if (!key) return plain;
  const mac = createHmac('sha1', key).update(plain).digest();
  return Buffer.concat([plain, Buffer.from([0x00, 0x08, 0x00, 0x14]), mac]);
}

test.run();
