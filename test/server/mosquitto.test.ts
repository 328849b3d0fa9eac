// time limit: 180 s
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IClientOptions, MqttClient } from 'mqtt';
import { suite } from 'uvu';
import { loadDeviceIdentity } from '#identity/device-key.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { GrantIssuer } from '#identity/grant.ts';
import { newSigningKey } from '#identity/keys.ts';
import { cameraInbox, serverNotes, statusTopic, viewerInbox } from '#protocol/topics.ts';
import { type ServerFiles, type TestBoard, TestFactory } from '../support/factory.ts';
import { freePort, Mosquitto } from '../support/mosquitto.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import { randomThumbprint, randomUid } from '../support/random-names.ts';
import { connectCamera, connectViewer, TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

/** The configuration as shipped, with a test's own ports and files. */
const DEPLOY = 'src/server/deploy';

const clients: MqttClient[] = [];
let folder: string;
let factory: TestFactory;
let certificate: ServerFiles;
let mosquitto: Mosquitto;
let gateway: TestServer;
let mqttUrl: string;
let victim: TestBoard;
let other: TestBoard;

const test = suite('Mosquitto as the broker, viewers through the gateway');

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-deploy-'));
  factory = await TestFactory.create();
  certificate = await factory.serverCertificate();
  victim = await factory.board(join(folder, 'victim'));
  other = await factory.board(join(folder, 'other'));
  const crl = join(folder, 'revoked.crl');
  await copyFile(await factory.emptyCrl(), crl);
  const [cameras, inside] = [await freePort(), await freePort()];
  mqttUrl = `mqtts://127.0.0.1:${cameras}`;
  const text = (await readFile(`${DEPLOY}/mosquitto.conf`, 'utf8'))
    .replace('listener 8883', `listener ${cameras} 127.0.0.1`)
    .replace('listener 1884', `listener ${inside}`)
    .replace('/etc/peercam/factory-ca.crt', factory.rootFile)
    .replace('/etc/peercam/revoked.crl', crl)
    .replace('/etc/peercam/server.crt', certificate.certFile)
    .replace('/etc/peercam/server.key', certificate.keyFile)
    .replaceAll('/etc/mosquitto/', `${process.cwd()}/${DEPLOY}/`);
  mosquitto = await Mosquitto.configured(`user root\n${text}`, inside);
  gateway = new TestServer({
    factory,
    crl,
    broker: { url: `mqtt://127.0.0.1:${inside}` },
    turn: { urls: ['turn:relay.example:3478'], secret: 'shared', ttl: 4 },
  });
  await gateway.start();
  await until('the gateway is at the broker', () => gateway.log.find(/connected to the broker/));
});
test.after.each(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
});
test.after(async () => {
  await gateway?.remove();
  await mosquitto?.remove();
  await factory.remove();
  await rm(folder, { recursive: true });
});

async function camera(board: TestBoard, mqtt: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectCamera({ mqttUrl, certificate }, board.folder, { mqtt });
  clients.push(client);
  return client;
}

async function viewer(grantedBy: TestBoard[] = []) {
  const key = await newSigningKey();
  const grants = grantedBy.map(async (board) => {
    const identity = await loadDeviceIdentity(new FactoryDirectory(board.folder));
    return await new GrantIssuer({ ...identity, now: Date.now }).issue(key.thumbprint, ['view']);
  });
  const made = await connectViewer(gateway, { key, grants: await Promise.all(grants) });
  clients.push(made.client);
  return made;
}

/** Everything a client hears. */
function heardBy(client: MqttClient): string[] {
  const heard: string[] = [];
  client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  return heard;
}

test('the honest path: presence, a call, its answer, the server’s notes and their renewal', async () => {
  const cam = await camera(victim);
  const atCamera = heardBy(cam);
  await cam.subscribeAsync([cameraInbox(victim.uid), statusTopic(victim.uid), serverNotes(victim.uid)], { qos: 1 });
  await cam.publishAsync(statusTopic(victim.uid), '{"state":"online"}', { qos: 1, retain: true });
  const notes = () => atCamera.filter((line) => line.startsWith(serverNotes(victim.uid)));
  await until('a note', () => notes().length === 1);
  const { now, iceServers } = JSON.parse(notes()[0]!.slice(serverNotes(victim.uid).length));
  assert.ok(Math.abs(now - Date.now()) < 5_000);
  assert.match(iceServers[0].username, new RegExp(`^\\d+:${victim.uid}$`));
  await until('its renewal at half its life', () => notes().length === 2, 4_000);

  const page = await viewer([victim]);
  const atPage = heardBy(page.client);
  const topics = [viewerInbox(page.thumbprint), statusTopic(other.uid), statusTopic(victim.uid)];
  // One of them is not allowed: the others are granted all the same.
  await assert.rejects(page.client.subscribeAsync(topics, { qos: 1 }));
  await until('the status', () => atPage.includes(`${statusTopic(victim.uid)} {"state":"online"}`));
  await page.client.publishAsync(cameraInbox(victim.uid), 'call', { qos: 1 });
  await until('the call', () => atCamera.includes(`${cameraInbox(victim.uid)} call`));
  await cam.publishAsync(viewerInbox(page.thumbprint), 'answer', { qos: 1 });
  await until('the answer', () => atPage.includes(`${viewerInbox(page.thumbprint)} answer`));
  assert.equal(page.token.iceServers.length, 1);
});

test('another camera’s certificate takes over nothing, speaks and listens for nobody else', async () => {
  const first = await camera(victim);
  const atFirst = heardBy(first);
  await first.subscribeAsync([cameraInbox(victim.uid), statusTopic(victim.uid), serverNotes(victim.uid)], { qos: 1 });
  for (const clientId of [`cam-${victim.uid}`, victim.uid, '']) {
    const forbidden = [
      statusTopic(victim.uid),
      cameraInbox(victim.uid),
      serverNotes(victim.uid),
      cameraInbox(other.uid),
    ];
    for (const topic of forbidden) {
      // Mosquitto drops the message, or its sender with it.
      const speaker = await camera(other, { clientId });
      const said = speaker.publishAsync(topic, 'forged', { qos: 1, retain: topic.endsWith('status') }).catch(() => {});
      await Promise.race([said, closed(speaker)]);
    }
    // Mosquitto lets it in, under its own name.
    const intruder = await camera(other, { clientId });
    assert.equal(first.connected, true, `thrown out by "${clientId}"`);
    const atIntruder = heardBy(intruder);
    const everything = ['#', 'peercam/#', '+/+/+/+/+', 'peercam/1/cam/+/in', 'peercam/1/viewer/+/in', '$SYS/#'];
    const foreign = [
      cameraInbox(victim.uid),
      statusTopic(victim.uid),
      serverNotes(victim.uid),
      viewerInbox(randomThumbprint()),
    ];
    for (const topic of [...everything, ...foreign]) await intruder.subscribeAsync(topic).catch(() => {});
    const page = await viewer();
    await page.client.publishAsync(cameraInbox(victim.uid), 'last', { qos: 1 });
    await until('what was allowed', () => atFirst.includes(`${cameraInbox(victim.uid)} last`));
    await first.publishAsync(viewerInbox(page.thumbprint), 'for its eyes', { qos: 1 });
    await first.publishAsync(statusTopic(victim.uid), '{"state":"online"}', { qos: 1, retain: true });
    assert.equal(first.connected, true);
    assert.deepEqual(
      atFirst.filter((line) => line.includes('forged')),
      [],
    );
    assert.deepEqual(atIntruder, []);
  }
});

test('the same camera takes its own place', async () => {
  const first = await camera(victim);
  const gone = closed(first);
  const second = await camera(victim);
  await gone;
  assert.equal(second.connected, true);
});

test('no certificate, one of another factory: no way in', async () => {
  const strangers = await TestFactory.create();
  const foreign = await strangers.board(join(folder, 'foreign'));
  await assert.rejects(camera(other, { cert: undefined, key: undefined }));
  await assert.rejects(camera(foreign));
  await strangers.remove();
});

test('a viewer at the gateway meets the same rules as at the broker inside', async () => {
  await camera(victim).then((cam) =>
    cam.publishAsync(statusTopic(victim.uid), '{"state":"online"}', { qos: 1, retain: true }),
  );
  const page = await viewer();
  const atPage = heardBy(page.client);
  const refused = [
    '#',
    'peercam/1/cam/+/status',
    statusTopic(victim.uid),
    statusTopic(randomUid()),
    viewerInbox(randomThumbprint()),
    cameraInbox(victim.uid),
  ];
  for (const topic of refused) await assert.rejects(page.client.subscribeAsync(topic), topic);
  for (const topic of [statusTopic(victim.uid), viewerInbox(page.thumbprint), serverNotes(victim.uid)]) {
    const speaker = await viewer();
    const gone = closed(speaker.client);
    speaker.client.publish(topic, '{"state":"offline"}', { qos: 1, retain: topic.endsWith('status') }, () => {});
    await gone;
  }
  const login = { username: page.thumbprint, password: page.token.token };
  await assert.rejects(connectMqtt(gateway.webSocketUrl, { ...login, clientId: victim.uid }));
  await assert.rejects(
    connectMqtt(gateway.webSocketUrl, { ...login, password: 'x', clientId: `viewer-${page.thumbprint}-1` }),
  );
  assert.deepEqual(atPage, []);
});

test('a viewer that the camera has thrown out is refused at the gateway, too', async () => {
  const cam = await camera(victim);
  const page = await viewer([victim]);
  assert.deepEqual(page.token.cameras, [victim.uid]);
  const hash = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(page.thumbprint))).toString('base64url');
  await cam.publishAsync(statusTopic(victim.uid), JSON.stringify({ state: 'online', revoked: [hash] }), {
    qos: 1,
    retain: true,
  });
  const { key } = page;
  const identity = await loadDeviceIdentity(new FactoryDirectory(victim.folder));
  const grant = await new GrantIssuer({ ...identity, now: Date.now }).issue(key.thumbprint, ['view']);
  await until('it is refused', async () => {
    const again = await connectViewer(gateway, { key, grants: [grant] });
    await again.client.endAsync(true);
    return again.token.cameras.length === 0;
  });
});

test('a status of any form does no harm', async () => {
  const cam = await camera(victim);
  for (const payload of ['', 'x', '{"state":1}', 'x'.repeat(100_000)]) {
    await cam.publishAsync(statusTopic(victim.uid), payload, { qos: 1, retain: true });
  }
  await until('the complaint', () => gateway.log.find(/status not used/));
  await viewer();
});

test('while the broker is away viewers are told to come again; when it is back they are served', async () => {
  const page = await viewer();
  const gone = closed(page.client);
  await mosquitto.stop();
  await gone;
  await assert.rejects(viewer(), /unavailable|closed/i);
  await mosquitto.start();
  const cam = await camera(victim);
  await cam.publishAsync(statusTopic(victim.uid), '{"state":"online"}', { qos: 1, retain: true });
  await viewer();
});

test('a revoked camera stays out', async () => {
  await copyFile(await factory.revoke(other.uid), join(folder, 'revoked.crl'));
  await mosquitto.stop();
  await mosquitto.start();
  await assert.rejects(camera(other));
  await camera(victim);
});

test.run();
