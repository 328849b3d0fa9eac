import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { IClientOptions, MqttClient } from 'mqtt';
import { suite } from 'uvu';
import { cameraInbox, statusTopic, viewerInbox } from '#protocol/topics.ts';
import { randomThumbprint, randomUid, TestCamera, testKey } from '../support/camera-signalling.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import { MqttViewer } from '../support/mqtt-viewer.ts';
import { TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const cleanups: (() => Promise<unknown>)[] = [];
let server: TestServer;

const test = suite('the embedded broker');

test.before.each(async () => {
  server = new TestServer();
  await server.start();
});
test.after.each(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await server.stop();
});

async function client(options: IClientOptions = {}, url = server.mqttUrl): Promise<MqttClient> {
  const made = await connectMqtt(url, options);
  cleanups.push(() => made.endAsync(true));
  return made;
}

test('nobody subscribes to what is not theirs to name: no wildcards, no foreign topics', async () => {
  const viewer = await client();
  const uid = randomUid();
  const refused = [
    '#',
    'peercam/#',
    '+/+/+/+/+',
    'peercam/1/cam/+/status',
    `peercam/1/cam/${uid}/#`,
    'peercam/1/viewer/+/in',
    '$SYS/#',
    'other/topic',
    'peercam/1/cam/NOTAUID/status',
    `peercam/2/cam/${uid}/status`,
    `/${statusTopic(uid)}`,
  ];
  for (const topic of refused) await assert.rejects(viewer.subscribeAsync(topic), `subscribed to ${topic}`);
  const granted = await viewer.subscribeAsync([statusTopic(uid), viewerInbox(randomThumbprint())], { qos: 1 });
  assert.deepEqual(
    granted.map(({ qos }) => qos),
    [1, 1],
  );
  assert.ok(server.log.find(/subscription refused/));
});

test('what does not belong there is refused, and its sender disconnected and named', async () => {
  const uid = randomUid();
  const good = JSON.stringify({ state: 'online', key: testKey });
  const cases: [topic: string, payload: string, retain: boolean, logged: RegExp][] = [
    ['other/topic', 'x', false, /not a topic/],
    ['$SYS/x', 'x', false, /not a topic/],
    [cameraInbox(uid), 'x', true, /no retained/],
    [viewerInbox(randomThumbprint()), 'x', true, /no retained/],
    [statusTopic(uid), good, false, /must be retained/],
    [statusTopic(uid), 'not json', true, /not JSON/],
    [statusTopic(uid), '', true, /not JSON/],
    [statusTopic(uid), '{"state":"dancing"}', true, /field \\?"state\\?"/],
    [statusTopic(uid), '{"state":"online","since":"now"}', true, /field \\?"since\\?"/],
    [statusTopic(uid), '{"state":"online","key":{"kty":"RSA"}}', true, /field \\?"key\.kty\\?"/],
    [statusTopic(uid), JSON.stringify({ state: 'online', name: 'x'.repeat(5_000) }), true, /bytes long/],
  ];
  for (const [topic, payload, retain, logged] of cases) {
    // A server each: one sender is named once a minute.
    const strict = new TestServer();
    await strict.start();
    const sender = await client({ clientId: 'mallory' }, strict.mqttUrl);
    const gone = closed(sender);
    sender.publish(topic, payload, { retain });
    await gone;
    const line = await until(`${topic} in the log`, () => strict.log.find(logged));
    assert.equal(line.fields.clientId, 'mallory');
    await strict.stop();
  }
});

test('a last will is checked when it is left, not when it is too late', async () => {
  const will = { topic: statusTopic(randomUid()), payload: Buffer.from('{"state":1}'), qos: 1, retain: true } as const;
  await assert.rejects(client({ will }));
  assert.ok(server.log.find(/last will refused: .*"state/));
});

test('a will is stamped with the time of death', async () => {
  const camera = new TestCamera({ url: server.mqttUrl });
  camera.signalling.start();
  await until('connected', () => camera.signalling.connected);
  const watcher = await MqttViewer.connect(server.mqttUrl, 4);
  cleanups.push(() => watcher.close());
  await watcher.watch(camera.uid);
  // As a clone of the camera would take its place; both then fight for it, and every will tells when.
  const before = Date.now();
  const clone = new TestCamera({ url: server.mqttUrl, uid: camera.uid });
  clone.signalling.start();
  const seen = await until('the will', () => watcher.statuses.find(({ status }) => status.state === 'offline'));
  assert.ok(seen.status.since! >= before && seen.status.since! <= Date.now());
  assert.deepEqual(seen.status.key, testKey);
  await camera.signalling.stop();
  await clone.signalling.stop();
});

test('cameras that come and go are in the log, once each time', async () => {
  const camera = new TestCamera({ url: server.mqttUrl });
  camera.signalling.start();
  await until('online', () => server.log.find(/camera online/));
  await camera.signalling.leave({ reason: 'updating' });
  await until('leaving', () => server.log.find(/camera leaving/));
  const lines = server.log.lines.filter(({ message }) => message.startsWith('camera '));
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields.uid, fields.reason]),
    [
      ['info', 'camera online', camera.uid, undefined],
      ['info', 'camera leaving', camera.uid, 'updating'],
    ],
  );
});

test('browsers come in over WebSocket and meet cameras on TCP', async () => {
  const camera = new TestCamera({ url: server.mqttUrl });
  cleanups.push(() => camera.signalling.stop());
  camera.signalling.start();
  await until('connected', () => camera.signalling.connected);
  const viewer = await MqttViewer.connect(server.webSocketUrl, 4);
  cleanups.push(() => viewer.close());
  await viewer.watch(camera.uid);
  await until('online', () => viewer.state === 'online');
  const call = 'c'.repeat(22);
  await viewer.send(camera.uid, { type: 'call', call, sdp: 'v=0'.repeat(10_000) });
  await until('the call', () => camera.received.length === 1);
  await camera.signalling.send(viewer.thumbprint, { type: 'answer', call, sdp: 'v=0' });
  await until('the answer', () => viewer.received.length === 1);
});

test('a packet over the limit ends its connection, at once and over WebSocket too', async () => {
  const bystander = await client();
  for (const url of [server.mqttUrl, server.webSocketUrl]) {
    const sender = await client({}, url);
    const gone = closed(sender);
    sender.publish(cameraInbox(randomUid()), Buffer.alloc(1024 * 1024));
    await gone;
  }
  // Announced is enough: 256 MB are not waited for.
  const socket = connectTcp(Number(new URL(server.mqttUrl).port), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]));
  await once(socket, 'close');
  assert.ok(server.log.find(/MQTT packet of \d+ bytes/));
  assert.equal(bystander.connected, true);
});

test('who sends too much is slowed down, and others are not', async () => {
  const limited = new TestServer({ limits: { packetsPerSecond: 20 } });
  await limited.start();
  cleanups.push(() => limited.stop());
  const [flooder, receiver, polite] = [
    await client({}, limited.mqttUrl),
    await MqttViewer.connect(limited.mqttUrl, 4),
    await client({}, limited.mqttUrl),
  ];
  cleanups.push(() => receiver.close());
  let got = 0;
  const inbox = viewerInbox(randomThumbprint());
  const witness = await client({}, limited.mqttUrl);
  witness.on('message', () => got++);
  await witness.subscribeAsync(inbox);
  // 80 may come at once; the other 120 take 6 s at 20 a second.
  const begun = performance.now();
  const sending = Array.from({ length: 200 }, () => flooder.publishAsync(inbox, 'x', { qos: 1 }));
  for (let i = 0; i < 10; i++) {
    const asked = performance.now();
    await polite.publishAsync(cameraInbox(randomUid()), 'x', { qos: 1 });
    assert.ok(performance.now() - asked < 500, 'the polite one waited');
  }
  // One packet more: what comes after the flood has to wait for it.
  await Promise.all(sending);
  await flooder.publishAsync(inbox, 'x', { qos: 1 });
  const took = performance.now() - begun;
  assert.ok(took > 4_000, `the flood passed in ${took} ms`);
  await until('all of it', () => got === 201);
});

test('a viewer that reads nothing holds up nobody, and is let go', async () => {
  const generous = new TestServer({ limits: { packetsPerSecond: 10_000 } });
  await generous.start();
  cleanups.push(() => generous.stop());
  const sink = viewerInbox(randomThumbprint());
  const deaf = await client({}, generous.mqttUrl);
  await deaf.subscribeAsync(sink);
  deaf.stream.pause();
  const camera = new TestCamera({ url: generous.mqttUrl });
  cleanups.push(() => camera.signalling.stop());
  camera.signalling.start();
  await until('connected', () => camera.signalling.connected);
  const viewer = await MqttViewer.connect(generous.mqttUrl, 4);
  cleanups.push(() => viewer.close());
  const sender = await client({}, generous.mqttUrl);

  // More than the sockets' buffers hold, and more messages than the broker has under way at once.
  const payload = Buffer.alloc(100 * 1024);
  let flooding = true;
  const flood = (async () => {
    for (let i = 0; i < 400; i++) await sender.publishAsync(sink, payload);
    flooding = false;
  })();
  let slowest = 0;
  for (let i = 1; flooding || i < 20; i++) {
    const asked = performance.now();
    await viewer.send(camera.uid, { type: 'bye', call: 'c'.repeat(22) });
    await until('delivered', () => camera.received.length === i);
    slowest = Math.max(slowest, performance.now() - asked);
  }
  await flood;
  assert.ok(slowest < 1_000, `a message took ${slowest} ms`);
  await until('it is let go', () => generous.log.find(/disconnected/));
});

test('there is a limit to how many may come', async () => {
  const small = new TestServer({ limits: { clients: 3 } });
  await small.start();
  cleanups.push(() => small.stop());
  const three = [
    await client({}, small.mqttUrl),
    await client({}, small.webSocketUrl),
    await client({}, small.mqttUrl),
  ];
  await assert.rejects(client({}, small.mqttUrl));
  assert.ok(small.log.find(/too many clients/));
  const left = closed(three[0]!);
  three[0]!.end();
  await left;
  await until('room for one more', () =>
    client({}, small.mqttUrl).then(
      () => true,
      () => false,
    ),
  );
});

test.run();
