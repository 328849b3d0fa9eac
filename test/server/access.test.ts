// time limit: 180 s
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '#factory/reflect.ts';
import { PublicKey } from '@peculiar/x509';
import type { MqttClient } from 'mqtt';
import { suite } from 'uvu';
import { makeDeviceCertificate, makeRoot, newSerial, pemOf, readIssuer } from '#factory/certificates.ts';
import { loadDeviceIdentity } from '#identity/device-key.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { GrantIssuer } from '#identity/grant.ts';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { newIdentity } from '#identity/new-identity.ts';
import { sign } from '#identity/seal.ts';
import { GRANT_TYPE, type Token } from '#protocol/token.ts';
import { cameraInbox, serverNotes, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { type TestBoard, TestFactory } from '../support/factory.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import { randomThumbprint } from '../support/random-names.ts';
import { cameraCredentials, connectCamera, connectViewer, requestToken, TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const DAY_MS = 24 * 3600_000;
const clients: MqttClient[] = [];
let folder: string;
let factory: TestFactory;
let server: TestServer;
let crl: string;
let victim: TestBoard;
let other: TestBoard;
let boards = 0;

const test = suite('who may do what at the server');

const board = (from = factory): Promise<TestBoard> => from.board(join(folder, `board-${++boards}`));

async function camera(made: TestBoard, at = server): Promise<MqttClient> {
  const client = await connectCamera(at, made.folder);
  clients.push(client);
  return client;
}

async function viewer(options: { key?: SigningKey; grants?: string[] } = {}, at = server) {
  const made = await connectViewer(at, options);
  clients.push(made.client);
  return made;
}

/** A camera's grant as it makes them; `certificates` of another board make it a forged one. */
async function grantOf(made: TestBoard, thumbprint: string, now = Date.now(), certificates = made): Promise<string> {
  const { uid, key } = await loadDeviceIdentity(new FactoryDirectory(made.folder));
  const { cert: certificatePem } = await cameraCredentials(certificates.folder);
  return await new GrantIssuer({ uid, key, certificatePem, now: () => now }).issue(thumbprint, ['view']);
}

/** A factory CA in the wrong hands, and a certificate by it with somebody else's UID. */
async function robbedFactory(uid: Uid) {
  const root = await makeRoot({ name: 'Robbed', pathLength: 1 });
  const rootFile = join(folder, 'robbed.crt');
  await writeFile(rootFile, pemOf(root.certificate));
  const issuer = await readIssuer(pemOf(root.certificate), root.keyPem);
  const { privateKeyPem: key } = newIdentity();
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const made = await makeDeviceCertificate(issuer, { uid, publicKey: new PublicKey(spki), serial: newSerial() });
  const serverCertificate = () => factory.serverCertificate();
  return { forged: { key, cert: pemOf(made) }, factory: { rootFile, serverCertificate } as unknown as TestFactory };
}

async function tokenFor(key: SigningKey, grants: string[]): Promise<Token> {
  const answer = await requestToken(server.httpUrl, { key, grants });
  assert.equal(answer.status, 200);
  return (await answer.json()) as Token;
}

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-access-'));
  factory = await TestFactory.create();
  crl = join(folder, 'current.crl');
  await copyFile(await factory.emptyCrl(), crl);
  server = new TestServer({ factory, crl, turn: { urls: ['turn:127.0.0.1:3478'], secret: 'shared', ttl: 600 } });
  await server.start();
  victim = await board();
  other = await board();
});
test.after.each(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
});
test.after(async () => {
  await server.remove();
  await factory.remove();
  await rm(folder, { recursive: true });
});

test('a valid certificate of another camera takes over nothing, speaks and listens for nobody else', async () => {
  const first = await camera(victim);
  await assert.rejects(connectCamera(server, other.folder, { mqtt: { clientId: `cam-${victim.uid}` } }), /authorized/);
  for (const clientId of ['', `cam-${victim.uid} `, victim.uid, `viewer-${randomThumbprint()}-x`, 'cam-']) {
    await assert.rejects(connectCamera(server, other.folder, { mqtt: { clientId } }), `came in as "${clientId}"`);
  }
  // Nor by a user name, or a token.
  const { token, client: page, thumbprint } = await viewer();
  const login = { username: thumbprint, password: token.token, clientId: `viewer-${thumbprint}-x` };
  await assert.rejects(connectCamera(server, other.folder, { mqtt: login }));
  await assert.rejects(
    connectCamera(server, other.folder, { mqtt: { username: victim.uid, clientId: `cam-${victim.uid}` } }),
  );
  assert.equal(first.connected, true, 'the first one was thrown out');
  await until('named', () => server.log.lines.find(({ fields }) => fields.from === other.uid));

  const stranger = await camera(other);
  for (const topic of [
    cameraInbox(victim.uid),
    statusTopic(victim.uid),
    serverNotes(victim.uid),
    viewerInbox(thumbprint),
    viewerInbox(randomThumbprint()),
  ]) {
    await assert.rejects(stranger.subscribeAsync(topic), topic);
  }
  const heard: string[] = [];
  first.on('message', (topic) => heard.push(topic));
  await first.subscribeAsync([cameraInbox(victim.uid), statusTopic(victim.uid)], { qos: 1 });
  for (const topic of [
    statusTopic(victim.uid),
    cameraInbox(victim.uid),
    serverNotes(victim.uid),
    cameraInbox(other.uid),
  ]) {
    const speaker = await camera(other);
    const gone = closed(speaker);
    const retain = topic.endsWith('status');
    speaker.publish(topic, '{"state":"offline"}', { qos: 1, retain }, () => {});
    await gone;
  }
  await page.publishAsync(cameraInbox(victim.uid), 'last', { qos: 1 });
  await until('what was allowed', () => heard.length > 0);
  assert.deepEqual(heard, [cameraInbox(victim.uid)]);
});

test('the same camera takes its own place', async () => {
  const first = await camera(victim);
  const gone = closed(first);
  const second = await camera(victim);
  await gone;
  assert.equal(second.connected, true);
});

test('no certificate, one of another factory, one for another name: no way in, and a line in the log', async () => {
  const strangers = await TestFactory.create();
  const foreign = await board(strangers);
  await assert.rejects(connectCamera(server, other.folder, { mqtt: { cert: undefined, key: undefined } }));
  await assert.rejects(connectCamera(server, foreign.folder));
  // The victim's name on another key, signed by a factory that has been robbed.
  const robbed = await robbedFactory(victim.uid);
  const trusting = new TestServer({ factory: robbed.factory });
  await trusting.start();
  const login = { ...robbed.forged, ca: trusting.certificate.caPem, clientId: `cam-${victim.uid}` };
  await assert.rejects(connectMqtt(trusting.mqttUrl, login));
  await until('the complaint', () => trusting.log.find(/common name is not the UID/));
  await trusting.remove();
  await assert.rejects(connectMqtt(server.mqttUrl.replace('mqtts', 'mqtt'), { clientId: `cam-${victim.uid}` }));
  await until('the complaint', () => server.log.find(/camera refused/));
  await strangers.remove();
});

test('a revoked camera is disconnected when the list changes, and stays out; others stay connected', async () => {
  const [bad, good] = [await board(), await board()];
  const badClient = await camera(bad);
  const goodClient = await camera(good);
  const gone = closed(badClient);
  await copyFile(await factory.revoke(bad.uid), crl);
  // Nobody tells the server: it looks itself.
  await gone;
  await until('the reason', () => server.log.find(/has been revoked/));
  await assert.rejects(connectCamera(server, bad.folder));
  assert.equal(goodClient.connected, true);
  await (await connectCamera(server, good.folder)).endAsync();
});

test('a damaged list is not used, and neither forgets nor invents a revocation', async () => {
  const bad = await board();
  await copyFile(await factory.revoke(bad.uid), crl);
  await server.reload();
  await writeFile(crl, 'not a list');
  await server.reload();
  assert.ok(server.log.find(/going on with the former/));
  await assert.rejects(connectCamera(server, bad.folder));
  await (await connectCamera(server, victim.folder)).endAsync();
  await copyFile(await factory.emptyCrl(), crl);
  await server.reload();
});

test('viewers: another one’s token, name or client id, none, an expired one', async () => {
  const mallory = await viewer();
  const alice = await viewer();
  const come = (options: { username?: string; password?: string; clientId?: string }) =>
    connectMqtt(server.webSocketUrl, {
      clientId: `viewer-${mallory.thumbprint}-1`,
      username: mallory.thumbprint,
      password: mallory.token.token,
      ...options,
    });
  await assert.rejects(come({ username: alice.thumbprint }));
  await assert.rejects(come({ username: undefined as never, password: undefined as never }));
  await assert.rejects(come({ password: 'x' }));
  await assert.rejects(come({ password: `${mallory.token.token.slice(0, -4)}AAAA` }));
  const none = `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${mallory.token.token.split('.')[1]}.`;
  await assert.rejects(come({ password: none }));
  const own = await sign('JWT', { iss: 'peercam-server', sub: mallory.thumbprint, exp: 1e10, cams: [] }, mallory.key);
  await assert.rejects(come({ password: own }));
  for (const clientId of [
    `cam-${victim.uid}`,
    `viewer-${alice.thumbprint}-1`,
    `viewer-${mallory.thumbprint}`,
    'x',
    `viewer-${mallory.thumbprint}-#`,
  ]) {
    await assert.rejects(come({ clientId }), clientId);
  }
  await assert.rejects(connectMqtt(server.webSocketUrl, { clientId: `cam-${victim.uid}` }));
  assert.equal(alice.client.connected, true);
  const secret = server.log.lines.find((line) => JSON.stringify(line).includes(mallory.token.token.slice(40)));
  assert.equal(secret, undefined, 'a token is in the log');
});

test('a viewer writes to cameras and reads its own mailbox, nothing else', async () => {
  const { thumbprint } = await viewer();
  const forbidden: [string, boolean][] = [
    [statusTopic(victim.uid), true],
    [serverNotes(victim.uid), false],
    [viewerInbox(thumbprint), false],
    [viewerInbox(randomThumbprint()), false],
  ];
  for (const [topic, retain] of forbidden) {
    const { client } = await viewer();
    const gone = closed(client);
    client.publish(topic, '{"state":"offline"}', { qos: 1, retain }, () => {});
    await gone;
  }
  const { client } = await viewer();
  for (const topic of [viewerInbox(randomThumbprint()), cameraInbox(victim.uid), serverNotes(victim.uid)]) {
    await assert.rejects(client.subscribeAsync(topic), topic);
  }
  const made = await viewer();
  const withWill = { topic: cameraInbox(victim.uid), payload: Buffer.from('x'), qos: 1 as const, retain: true };
  await assert.rejects(connectViewer(server, { key: made.key, mqtt: { will: withWill } }));
  await assert.rejects(connectViewer(server, { key: made.key, mqtt: { clean: false } }));
});

test('a connection ends when its token does', async () => {
  const brief = new TestServer({ factory, turn: { urls: ['turn:x:1'], secret: 'x', ttl: 2 } });
  await brief.start();
  const made = await connectViewer(brief);
  const begun = performance.now();
  await closed(made.client);
  assert.ok(performance.now() - begun < 5_000);
  // The token is no use for another one either.
  const login = { username: made.thumbprint, password: made.token.token, clientId: `viewer-${made.thumbprint}-1` };
  await assert.rejects(connectMqtt(brief.webSocketUrl, login));
  await brief.remove();
});

test('with a camera’s grant a viewer reads its status and gets the relay; without, or with a wrong one, neither', async () => {
  const key = await newSigningKey();
  const cam = await camera(victim);
  await cam.publishAsync(statusTopic(victim.uid), '{"state":"online","name":"Door"}', { qos: 1, retain: true });
  const made = await viewer({ key, grants: [await grantOf(victim, key.thumbprint)] });
  assert.deepEqual(made.token.cameras, [victim.uid]);
  assert.equal(made.token.iceServers.length, 1);
  const seen: string[] = [];
  made.client.on('message', (_topic, payload) => seen.push(payload.toString()));
  await made.client.subscribeAsync(statusTopic(victim.uid), { qos: 1 });
  await until('the status', () => seen.length === 1);
  assert.match(seen[0]!, /Door/);
  await assert.rejects(made.client.subscribeAsync(statusTopic(other.uid)));

  const stranger = await newSigningKey();
  const foreignFactory = await TestFactory.create();
  const foreign = await board(foreignFactory);
  const wrong: Record<string, string> = {
    'another viewer’s': await grantOf(victim, stranger.thumbprint),
    expired: await grantOf(victim, key.thumbprint, Date.now() - 8 * DAY_MS),
    'from the future': await grantOf(victim, key.thumbprint, Date.now() + 2 * DAY_MS),
    'of another factory': await grantOf(foreign, key.thumbprint),
    'under another’s certificate': await grantOf(other, key.thumbprint, Date.now(), victim),
    'signed by the viewer itself': await sign(
      GRANT_TYPE,
      { iss: victim.uid, sub: key.thumbprint, rights: ['view'], iat: 0, exp: 2e9 },
      key,
    ),
    // Not its last character, of which four bits belong to no byte.
    'changed on the way': (await grantOf(victim, key.thumbprint)).replace(/.(?=.{9}$)/, (bit) =>
      bit === 'A' ? 'B' : 'A',
    ),
    nothing: 'a.b.c',
  };
  for (const [what, grant] of Object.entries(wrong)) {
    const token = await tokenFor(key, [grant]);
    assert.deepEqual([token.cameras, token.iceServers], [[], []], what);
  }
  const mixed = await tokenFor(key, [
    ...Object.values(wrong),
    await grantOf(victim, key.thumbprint),
    await grantOf(other, key.thumbprint),
  ]);
  assert.deepEqual(new Set(mixed.cameras), new Set([victim.uid, other.uid]));
  await foreignFactory.remove();
});

test('a viewer that a camera has thrown out keeps nothing: its grant is refused from then on', async () => {
  const key = await newSigningKey();
  const grant = await grantOf(victim, key.thumbprint);
  assert.equal((await tokenFor(key, [grant])).cameras.length, 1);
  const cam = await camera(victim);
  const hash = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(key.thumbprint))).toString('base64url');
  const say = (status: object) =>
    cam.publishAsync(statusTopic(victim.uid), JSON.stringify(status), { qos: 1, retain: true });
  await say({ state: 'online', revoked: [hash] });
  await until('it is refused', async () => (await tokenFor(key, [grant])).cameras.length === 0);
  // A last will that was written before does not bring it back.
  await say({ state: 'offline' });
  assert.equal((await tokenFor(key, [grant])).cameras.length, 0);
  await say({ state: 'online' });
  await until('it is good again', async () => (await tokenFor(key, [grant])).cameras.length === 1);
});

test('grants of a revoked camera are refused', async () => {
  const bad = await board();
  const key = await newSigningKey();
  const grant = await grantOf(bad, key.thumbprint);
  assert.equal((await tokenFor(key, [grant])).cameras.length, 1);
  await copyFile(await factory.revoke(bad.uid), crl);
  await server.reload();
  assert.equal((await tokenFor(key, [grant])).cameras.length, 0);
});

test('the server’s own certificate is changed under way; connections stay, new ones meet the new one', async () => {
  const files = await factory.serverCertificate();
  const changing = new TestServer({ factory, certificate: files });
  await changing.start();
  const first = await camera(victim, changing);
  const next = await factory.serverCertificate();
  await copyFile(next.certFile, files.certFile);
  await copyFile(next.keyFile, files.keyFile);
  await changing.reload();
  assert.equal(first.connected, true);
  await assert.rejects(connectCamera(changing, other.folder), 'the old CA still vouches for it');
  const second = await connectCamera(changing, other.folder, { mqtt: { ca: next.caPem } });
  assert.equal(first.connected && second.connected, true);
  await second.endAsync();
  await changing.remove();
});

test.run();
