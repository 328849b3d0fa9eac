// time limit: 120 s
import '#factory/reflect.ts';

import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { PublicKey } from '@peculiar/x509';
import type { MqttClient } from 'mqtt';
import { suite } from 'uvu';
import { PLACES } from '#factory/authority.ts';
import { makeDeviceCertificate, newSerial, pemOf, readIssuer } from '#factory/certificates.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { newSealingKey, newSigningKey, thumbprintOf } from '#identity/keys.ts';
import { newIdentity } from '#identity/new-identity.ts';
import { pairingProof } from '#identity/pairing-proof.ts';
import { hashOf, randomName, seal, sign } from '#identity/seal.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import { cameraInbox, serverNotes, statusTopic } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
  trust,
} from '../support/product.ts';
import { connectCamera } from '../support/server.ts';
import { endSoon, TrustViewer } from '../support/trust-viewer.ts';
import { until } from '../support/wait.ts';

/** Published failures of P2P cameras that were about who is who; each test says what it was, and does it to ours. */
const test = suite('published failures: identity');
const SILENCE_MS = 400;
let attempts = 0;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: ServerProgram;
let camera: CameraProgram;
let owner: TrustViewer;
const open: { endAsync(force: boolean): Promise<unknown> }[] = [];
const viewers: TrustViewer[] = [];

test.before(async () => {
  folder = await temporaryFolder('published');
  await mkdir(join(folder.path, 'camera'));
  server = await startServer();
  camera = await startCamera({ server: server.mqttUrl, folder: join(folder.path, 'camera') });
  owner = await visitor();
  await owner.pair(camera.setupCode);
});

test.after(async () => {
  for (const viewer of viewers) await viewer.close();
  for (const client of open) await client.endAsync(true);
  await camera.stop();
  await server.stop();
  await folder.remove();
  endSoon();
});

// The UIDs of iLnkP2P cameras were a prefix and a counter with a check that could be computed: whole ranges of cameras
// could be listed and connected to, over two million of them.
test('CVE-2019-11219: UIDs cannot be guessed, and guessing shows nothing', async () => {
  const uids = Array.from({ length: 400 }, () => newIdentity().uid as string);
  assert.equal(new Set(uids.map((uid) => uid.slice(0, 8))).size, uids.length, 'no two begin alike');
  // Each of the 95 bits' places holds all symbols about equally often: nothing counts up.
  for (let place = 0; place < 19; place++) {
    assert.ok(new Set(uids.map((uid) => uid[place])).size >= 28, `place ${place} hardly varies`);
  }

  const stranger = await visitor();
  const times = { real: [] as number[], guessed: [] as number[] };
  for (let i = 0; i < 40; i++) {
    const kind = i % 2 === 0 ? 'guessed' : 'real';
    const uid = kind === 'real' ? camera.uid : (uids[i] as Uid);
    const hello = await strangersHello(uid);
    const startedAt = performance.now();
    await stranger.publish(hello, uid);
    times[kind].push(performance.now() - startedAt);
    attempts++;
  }
  await until('the camera has read all', () => camera.log().includes('message refused'));
  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
  assert.equal(stranger.news.length + stranger.refused.length + stranger.ignored, 0, 'not a word comes back');
  const [real, guessed] = [median(times.real), median(times.guessed)];
  console.log(`  acknowledged after ${real.toFixed(2)} ms (real UID), ${guessed.toFixed(2)} ms (guessed UID)`);
  assert.ok(Math.abs(real - guessed) < 20, 'the time tells nothing');
  for (const uid of [camera.uid, uids[0] as Uid]) {
    assert.deepEqual(await granted(stranger.client, statusTopic(uid)), 128, 'presence is refused alike');
  }
  assert.deepEqual(await granted(stranger.client, 'peercam/1/cam/+/status'), 128, 'wildcards are refused');
});

// iLnkP2P: nothing showed that a device, or the server, was the one it claimed to be; a fake device got the user's
// name and password.
test('CVE-2019-11220: a fake device gets nothing from a viewer, a fake camera nothing from the server', async () => {
  const fake = await newSigningKey();
  const victim = await visitor();
  const hello = await victim.parley.hello(camera.setupCode);
  const text = Buffer.from(hello).toString();
  const claims = JSON.parse(Buffer.from(text.split('.')[1]!, 'base64url').toString()) as { enc: PublicKeyJwk };
  assert.ok(!JSON.stringify(claims).includes(camera.setupCode), 'the code is not in what a fake device would get');

  const sealing = await newSealingKey();
  const msg = { type: 'here', name: 'x', firmware: '1', epoch: randomName(16), now: 1, owned: false };
  const forged = { aud: victim.thumbprint, iat: 1, seq: 0, re: await hashOf(text) };
  const here = { ...forged, iss: camera.uid, msg: { ...msg, sealing: sealing.publicKey } };
  const own = { ...fake, publicKey: fake.publicKey };
  const to = { kid: (await ownKid(victim)) as string, publicKey: claims.enc };
  const payload = await seal(await sign(SIGNED_TYPE.toViewer, here, own), to);
  attempts++;
  await assert.rejects(victim.parley.open(payload), /not this UID/);
  await assert.rejects(victim.parley.pair('me'), /without a hello that was answered/, 'the proof is not even made');

  // Without a device certificate nobody is a camera at the server.
  const { files } = await trust();
  attempts++;
  await assert.rejects(connectMqtt(server.mqttUrl, { clientId: `cam-${camera.uid}`, ca: files.caPem }));
});

// ThroughTek Kalay: whoever registered a known UID anew took the device's place at the servers, got its clients'
// connections, and with them their passwords.
test('CVE-2021-28372: a known UID cannot be registered by somebody else', async () => {
  const { factory, files } = await trust();
  const other = await factory.board(join(folder.path, 'other-board'));
  // A board of the same maker, with a good certificate, in the victim's name.
  attempts++;
  await assert.rejects(connectCamera(at(files), other.folder, { mqtt: { clientId: `cam-${camera.uid}` } }));
  const rogue = await connectCamera(at(files), other.folder);
  open.push(rogue);
  for (const topic of [cameraInbox(camera.uid), statusTopic(camera.uid), serverNotes(camera.uid)]) {
    attempts++;
    assert.equal(await granted(rogue, topic), 128, topic);
  }
  attempts++;
  const gone = closed(rogue);
  rogue.publish(statusTopic(camera.uid), JSON.stringify({ state: 'offline' }), { qos: 1, retain: true });
  await gone;

  // Even with the production line's own key nobody gets the UID of a camera that exists: it is the hash of its key.
  const ca = dirname(factory.rootFile);
  const [linePem, lineKey] = await Promise.all(
    [PLACES.lineCertificate, PLACES.lineKey].map((place) => readFile(join(ca, place), 'utf8')),
  );
  const stolen = newIdentity();
  const publicKey = new PublicKey(createPublicKey(stolen.privateKeyPem).export({ type: 'spki', format: 'der' }));
  const issuer = await readIssuer(linePem!, lineKey!);
  const certificate = await makeDeviceCertificate(issuer, { uid: camera.uid, publicKey, serial: newSerial() });
  const cert = `${pemOf(certificate)}${linePem}`;
  const login = { clientId: `cam-${camera.uid}`, ca: files.caPem, cert, key: stolen.privateKeyPem };
  attempts++;
  await assert.rejects(connectMqtt(server.mqttUrl, login));

  const call = await owner.watch();
  assert.ok(call.packets > 0, 'the camera is where it was');
  call.close();
});

// ThroughTek Kalay: a DTLS session with an unknown PSK identity fell back to a predictable key; the related
// CVE-2023-6323 let others pose as a server since messages were not authenticated.
test('CVE-2023-6324: no shared key, no default, no fallback opens anything', async () => {
  const { hostname, port } = new URL(server.mqttUrl);
  attempts++;
  await assert.rejects(
    new Promise((resolve, reject) => {
      const socket = connectTls({
        host: hostname,
        port: Number(port),
        ciphers: 'PSK',
        maxVersion: 'TLSv1.2',
        checkServerIdentity: () => undefined,
        pskCallback: () => ({ identity: 'AUTHPWD_admin', psk: Buffer.from('888888') }),
      });
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    }),
  );
  // Proofs under every code somebody might take for the default, and under what everybody can know.
  const guesses = ['', '0'.repeat(16), 'Z'.repeat(16), camera.uid, camera.uid.slice(0, 16), 'null', 'undefined'];
  for (const guess of guesses) await refusedProof(guess as SetupCode);
});

// XMeye: cloud ids were made of MAC addresses, which a vendor counts up: all devices could be found.
test('CVE-2018-17917: nothing about a board tells its UID', async () => {
  const { factory } = await trust();
  const first = await factory.board(join(folder.path, 'twin-1'), { model: 'The very same' });
  const second = await factory.board(join(folder.path, 'twin-2'), { model: 'The very same' });
  const [a, b] = [await new FactoryDirectory(first.folder).read(), await new FactoryDirectory(second.folder).read()];
  assert.equal(a!.model, b!.model);
  const alike = [...a!.uid!].filter((symbol, i) => symbol === b!.uid![i]).length;
  assert.ok(alike <= 6, `two boards of one model, made in one second, share ${alike} of 20 characters`);
  assert.notEqual(a!.setupCode, b!.setupCode);
  // And the code does not follow from the UID, which the server knows.
  assert.ok(!a!.uid!.includes(a!.setupCode!.slice(0, 4)));
});

// XMeye: an account "default" with the password "tluafed" that no manual mentioned, beside "admin" without any.
test('CVE-2018-17919: there is no account, password or code that the owner does not know of', async () => {
  const call = await owner.watch();
  const list = (await call.ask('access.list')) as { entries: { thumbprint: string }[] };
  call.close();
  assert.deepEqual(
    list.entries.map(({ thumbprint }) => thumbprint),
    [owner.thumbprint],
    'who came in is who is on the list',
  );
  const wellKnown = ['default', 'tluafed', 'admin', '', 'root', 'password', '12345678', '888888', 'guest', 'xmhdipc'];
  for (const name of wellKnown) {
    for (const password of wellKnown) {
      attempts++;
      const login = { clientId: `viewer-${name}`, username: name, password };
      await assert.rejects(connectMqtt(`${server.httpUrl.replace('http', 'ws')}/mqtt`, login), `${name}/${password}`);
    }
    const code = parseSetupCode(name);
    assert.equal(code, undefined, 'not even the form of a code');
    await refusedProof(name as SetupCode);
  }
  // Nothing listens on the camera until somebody asks for it.
  assert.equal(camera.whepUrl, undefined);
  console.log(`attempts: ${attempts}, accepted wrongly: 0`);
});

test.run();

async function visitor(): Promise<TrustViewer> {
  const viewer = await TrustViewer.connect(server.httpUrl, camera.uid);
  viewers.push(viewer);
  return viewer;
}

function at(files: { caPem: string }) {
  return { mqttUrl: server.mqttUrl, certificate: files as never };
}

async function strangersHello(uid: Uid): Promise<Uint8Array> {
  const key = await newSigningKey();
  const { publicKey } = await newSealingKey();
  const claims = { iss: key.thumbprint, aud: uid, jti: randomName(16), iat: Date.now(), enc: publicKey };
  return new TextEncoder().encode(await sign(SIGNED_TYPE.hello, claims, key));
}

/** A hello that proves to know `code`, sent by somebody new; there must be no answer. */
async function refusedProof(code: SetupCode): Promise<void> {
  const viewer = await visitor();
  const enc = (await newSealingKey()).publicKey;
  const jti = randomName(16);
  const { thumbprint } = viewer;
  const transcript = [await thumbprintOf(enc), jti];
  const proof = await pairingProof({ step: 'hello', code, uid: camera.uid, thumbprint, transcript });
  const claims = { iss: thumbprint, aud: camera.uid, jti, iat: Date.now(), enc, proof };
  attempts++;
  await viewer.publish(new TextEncoder().encode(await sign(SIGNED_TYPE.hello, claims, viewer.key)));
  await until('the camera notes it', () => camera.log().includes(`"from":"${thumbprint}"`), 1_000);
  assert.equal(viewer.news.length + viewer.refused.length + viewer.ignored, 0);
}

async function ownKid(viewer: TrustViewer): Promise<string> {
  return (await (viewer.parley as unknown as { sealing: Promise<{ kid: string }> }).sealing).kid;
}

/** The broker's answer to one subscription; 128 is a refusal. */
async function granted(client: MqttClient, topic: string): Promise<number> {
  return new Promise((resolve) => {
    client.subscribe(topic, { qos: 1 }, (error, grants) => resolve(error ? 128 : grants![0]!.qos));
  });
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
