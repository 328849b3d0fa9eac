// time limit: 180 s
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { IClientOptions, MqttClient } from 'mqtt';
import { generate } from 'mqtt-packet';
import { suite } from 'uvu';
import { cameraInbox, serverNotes, statusTopic, viewerInbox } from '#protocol/topics.ts';
import { type TestBoard, TestFactory } from '../support/factory.ts';
import { closed } from '../support/mqtt-client.ts';
import { formalKey, randomThumbprint, randomUid } from '../support/random-names.ts';
import {
  cameraCredentials,
  connectCamera,
  connectViewer,
  TestServer,
  type TestServerOptions,
} from '../support/server.ts';
import { until } from '../support/wait.ts';

const cleanups: (() => Promise<unknown>)[] = [];
let folder: string;
let factory: TestFactory;
let boards = 0;
let server: TestServer;

const test = suite('the embedded broker');

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-broker-'));
  factory = await TestFactory.create();
});
test.after(async () => {
  await factory.remove();
  await rm(folder, { recursive: true });
});
test.before.each(async () => {
  server = await started();
});
test.after.each(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function started(options: TestServerOptions = {}): Promise<TestServer> {
  const made = new TestServer({ factory, ...options });
  await made.start();
  cleanups.push(() => made.remove());
  return made;
}

const board = (): Promise<TestBoard> => factory.board(join(folder, `board-${++boards}`));

async function camera(at = server, mqtt: IClientOptions = {}, from?: TestBoard) {
  const made = from ?? (await board());
  const client = await connectCamera(at, made.folder, { mqtt });
  cleanups.push(() => client.endAsync(true));
  return { ...made, client };
}

async function viewer(at = server, mqtt: IClientOptions = {}) {
  const made = await connectViewer(at, { mqtt });
  cleanups.push(() => made.client.endAsync(true));
  return made;
}

const online = JSON.stringify({ state: 'online', key: formalKey });
const will = (uid: string, payload: string, more: object = {}) => ({
  will: { topic: `peercam/1/cam/${uid}/status`, payload: Buffer.from(payload), qos: 1 as const, retain: true, ...more },
});

test('nobody subscribes with wildcards, or to what is none of peercam’s', async () => {
  const uid = randomUid();
  const own = await camera();
  const refused = [
    '#',
    'peercam/#',
    '+/+/+/+/+',
    'peercam/1/cam/+/status',
    `peercam/1/cam/${own.uid}/#`,
    'peercam/1/viewer/+/in',
    '$SYS/#',
    'other/topic',
    'peercam/1/cam/NOTAUID/status',
    `peercam/2/cam/${uid}/status`,
    `/${statusTopic(uid)}`,
  ];
  for (const { client } of [own, await viewer()]) {
    for (const topic of refused) await assert.rejects(client.subscribeAsync(topic), `subscribed to ${topic}`);
    assert.equal(client.connected, true);
  }
  assert.ok(server.log.find(/subscription to .* refused/));
});

test('what does not belong there is refused, and its sender disconnected and named', async () => {
  const cases: [topic: (uid: string) => string, payload: string, options: object, logged: RegExp][] = [
    [() => 'other/topic', 'x', {}, /not a topic/],
    [() => '$SYS/x', 'x', {}, /not a topic/],
    [() => viewerInbox(randomThumbprint()), 'x', { retain: true }, /no retained/],
    [() => viewerInbox(randomThumbprint()), 'x', { qos: 2 }, /QoS 2/],
    [statusTopic as never, online, {}, /must be retained/],
    [statusTopic as never, 'not json', { retain: true }, /not JSON/],
    [statusTopic as never, '', { retain: true }, /not JSON/],
    [statusTopic as never, '{"state":"dancing"}', { retain: true }, /field \\?"state\\?"/],
    [statusTopic as never, '{"state":"online","since":"now"}', { retain: true }, /field \\?"since\\?"/],
    [statusTopic as never, '{"state":"online","key":{"kty":"RSA"}}', { retain: true }, /field \\?"key\.kty\\?"/],
    [
      statusTopic as never,
      JSON.stringify({ state: 'online', name: 'x'.repeat(5_000) }),
      { retain: true },
      /bytes long/,
    ],
  ];
  for (const [topic, payload, options, logged] of cases) {
    const sender = await camera();
    const gone = closed(sender.client);
    sender.client.publish(topic(sender.uid), payload, options);
    await gone;
    const line = await until(`${topic(sender.uid)} in the log`, () => {
      return server.log.lines.find(({ message, fields }) => fields.from === sender.uid && logged.test(message));
    });
    assert.equal(line.fields.address, '127.0.0.1');
  }
});

test('a last will is checked when it is left, not when it is too late', async () => {
  const { uid, folder: place } = await board();
  const refused: [IClientOptions, RegExp][] = [
    [will(uid, '{"state":1}'), /last will.*"state/],
    [will(randomUid(), online), /last will.*its own status/],
    [will(uid, online, { retain: false }), /last will.*must be retained/],
    [will(uid, online, { qos: 2 }), /last will.*QoS 2/],
  ];
  for (const [mqtt, logged] of refused) {
    const strict = await started();
    await assert.rejects(connectCamera(strict, place, { mqtt }));
    await until(String(logged), () => strict.log.find(logged));
  }
});

test('a will is stamped with the time of death, and there before whoever takes the place', async () => {
  const { uid, folder: place, client: first } = await camera(server);
  await first.endAsync(true);
  const dying = await connectCamera(server, place, {
    mqtt: will(uid, JSON.stringify({ state: 'offline', key: formalKey })),
  });
  await dying.publishAsync(statusTopic(uid), online, { qos: 1, retain: true });
  const before = Date.now();
  const gone = closed(dying);
  const second = await connectCamera(server, place);
  cleanups.push(() => second.endAsync(true));
  await gone;
  const seen: { state: string; since?: number; key?: object }[] = [];
  second.on('message', (_topic, payload) => seen.push(JSON.parse(payload.toString())));
  await second.subscribeAsync(statusTopic(uid), { qos: 1 });
  await until('the retained will', () => seen.length > 0);
  assert.equal(seen[0]!.state, 'offline');
  assert.ok(seen[0]!.since! >= before && seen[0]!.since! <= Date.now());
  assert.deepEqual(seen[0]!.key, formalKey);
});

test('a goodbye takes the will back', async () => {
  const { uid, folder: place, client: first } = await camera();
  await first.endAsync(true);
  const leaving = await connectCamera(server, place, { mqtt: will(uid, '{"state":"offline"}') });
  await leaving.publishAsync(statusTopic(uid), '{"state":"leaving"}', { qos: 1, retain: true });
  await leaving.endAsync();
  const next = await connectCamera(server, place);
  cleanups.push(() => next.endAsync(true));
  const seen: string[] = [];
  next.on('message', (_topic, payload) => seen.push(payload.toString()));
  await next.subscribeAsync(statusTopic(uid), { qos: 1 });
  await until('the status', () => seen.length > 0);
  assert.deepEqual(seen, ['{"state":"leaving"}']);
});

test('cameras that come and go are in the log, once each time', async () => {
  const { uid, client } = await camera();
  const say = (status: object) =>
    client.publishAsync(statusTopic(uid), JSON.stringify(status), { qos: 1, retain: true });
  await say({ state: 'online' });
  await say({ state: 'online', name: 'Door' });
  await say({ state: 'leaving', reason: 'updating' });
  const lines = await until('both lines', () => {
    const found = server.log.lines.filter(({ message }) => message.startsWith('camera '));
    return found.length === 2 ? found : undefined;
  });
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message, fields.uid, fields.reason]),
    [
      ['info', 'camera online', uid, undefined],
      ['info', 'camera leaving', uid, 'updating'],
    ],
  );
});

test('browsers come in over WebSocket and meet cameras on TLS; large messages arrive whole', async () => {
  const { uid, client } = await camera();
  const browser = await viewer();
  const arrived: string[] = [];
  for (const side of [client, browser.client])
    side.on('message', (_topic, payload) => arrived.push(payload.toString()));
  await client.subscribeAsync(cameraInbox(uid), { qos: 1 });
  await browser.client.subscribeAsync(viewerInbox(browser.thumbprint), { qos: 1 });
  const call = 'v=0 '.repeat(40_000);
  await browser.client.publishAsync(cameraInbox(uid), call, { qos: 1 });
  await until('the call', () => arrived.length === 1);
  await client.publishAsync(viewerInbox(browser.thumbprint), call, { qos: 0 });
  await until('the answer', () => arrived.length === 2);
  assert.deepEqual(arrived, [call, call]);
  await browser.client.unsubscribeAsync(viewerInbox(browser.thumbprint));
  await client.publishAsync(viewerInbox(browser.thumbprint), 'unheard', { qos: 1 });
  await client.publishAsync(viewerInbox(randomThumbprint()), 'to nobody', { qos: 1 });
  assert.equal(arrived.length, 2);
});

test('every page of a viewer hears its mailbox', async () => {
  const { client } = await camera();
  const page = await viewer();
  const other = await connectViewer(server, { key: page.key });
  cleanups.push(() => other.client.endAsync(true));
  const heard: string[] = [];
  for (const [name, pageClient] of Object.entries({ page: page.client, other: other.client })) {
    pageClient.on('message', () => heard.push(name));
    await pageClient.subscribeAsync(viewerInbox(page.thumbprint), { qos: 1 });
  }
  await client.publishAsync(viewerInbox(page.thumbprint), 'x', { qos: 1 });
  await until('both', () => heard.length === 2);
  await other.client.endAsync();
  await client.publishAsync(viewerInbox(page.thumbprint), 'x', { qos: 1 });
  await until('the one that is left', () => heard.length === 3);
  assert.equal(heard[2], 'page');
});

test('a packet over the limit ends its connection when it is announced, by camera and viewer', async () => {
  const bystander = await camera();
  const [loudCamera, loudViewer] = [await camera(), await viewer()];
  for (const [client, topic] of [
    [loudCamera.client, viewerInbox(randomThumbprint())],
    [loudViewer.client, cameraInbox(randomUid())],
  ] as [MqttClient, string][]) {
    const gone = closed(client);
    client.publish(topic, Buffer.alloc(1024 * 1024));
    await gone;
  }
  const { cert, key } = await cameraCredentials(bystander.folder);
  const port = Number(new URL(server.mqttUrl).port);
  const socket = connectTls({ port, host: '127.0.0.1', cert, key, ca: server.certificate.caPem });
  socket.on('error', () => {});
  // 256 MB are not waited for, nor 20 kB before anybody knows who it is.
  socket.write(Buffer.from([0x10, 0x80, 0xa0, 0x01]));
  await once(socket, 'close');
  assert.ok(server.log.find(/MQTT packet of \d+ bytes/));
  assert.equal(bystander.client.connected, true);
});

test('bytes that are no MQTT, cut in any way, end their own connection only', async () => {
  const bystander = await camera();
  const { cert, key } = await cameraCredentials((await board()).folder);
  const port = Number(new URL(server.mqttUrl).port);
  const inputs = [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.from([0x00, 0x00]),
    Buffer.from([0xc0, 0x00]),
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    Buffer.from([0x10, 0x04, 0x00, 0x04, 0x4d, 0x51]),
    Buffer.concat([Buffer.from([0x30, 0x06, 0x00, 0x09]), Buffer.from('abcd')]),
    Buffer.from([0x82, 0x02, 0x00, 0x01]),
  ];
  for (const input of inputs) {
    for (const step of [1, input.length]) {
      const socket = connectTls({ port, host: '127.0.0.1', cert, key, ca: server.certificate.caPem });
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      const gone = once(socket, 'close');
      for (let at = 0; at < input.length; at += step) socket.write(input.subarray(at, at + step));
      await gone;
    }
  }
  assert.equal(bystander.client.connected, true);
});

test('a camera that goes silent is noticed by its keepalive', async () => {
  const { uid, folder: place } = await board();
  const { cert, key } = await cameraCredentials(place);
  const port = Number(new URL(server.mqttUrl).port);
  const socket = connectTls({ port, host: '127.0.0.1', cert, key, ca: server.certificate.caPem });
  cleanups.push(async () => socket.destroy());
  socket.on('data', () => {}).on('error', () => {});
  const version = { protocolId: 'MQTT', protocolVersion: 4, clean: true } as const;
  const offline = will(uid, '{"state":"offline"}');
  socket.write(generate({ cmd: 'connect', clientId: `cam-${uid}`, keepalive: 1, ...version, ...offline }));
  const status = { topic: statusTopic(uid), payload: '{"state":"online"}', dup: false, qos: 0, retain: true } as const;
  socket.write(generate({ cmd: 'publish', ...status }));
  await until('online', () => server.log.find(/camera online/));
  await until('offline', () => server.log.find(/camera offline/), 6_000);
  assert.ok(server.log.find(/nothing heard/));
});

test('who sends too much is slowed down, and others are not', async () => {
  const limited = await started({ limits: { packetsPerSecond: 20 } });
  const flooder = await camera(limited);
  const polite = await camera(limited);
  const witness = await viewer(limited);
  let got = 0;
  const inbox = viewerInbox(witness.thumbprint);
  witness.client.on('message', () => got++);
  await witness.client.subscribeAsync(inbox);
  // 80 may come at once; the other 120 take 6 s at 20 a second.
  const begun = performance.now();
  const sending = Array.from({ length: 200 }, () => flooder.client.publishAsync(inbox, 'x', { qos: 1 }));
  for (let i = 0; i < 10; i++) {
    const asked = performance.now();
    await polite.client.publishAsync(viewerInbox(randomThumbprint()), 'x', { qos: 1 });
    assert.ok(performance.now() - asked < 500, 'the polite one waited');
  }
  await Promise.all(sending);
  const took = performance.now() - begun;
  assert.ok(took > 4_000, `the flood passed in ${took} ms`);
  await until('all of it', () => got === 200);
  const complaints = limited.log.lines.filter(({ message }) => /slowed down/.test(message));
  assert.deepEqual(
    complaints.map(({ fields }) => fields.from),
    [flooder.uid],
    'named, and once',
  );
});

test('a viewer that floods one camera is slowed down, whether there is such a camera or not', async () => {
  const generous = await started({ limits: { packetsPerSecond: 10_000 } });
  const { uid, client } = await camera(generous);
  await client.subscribeAsync(cameraInbox(uid));
  const took: number[] = [];
  for (const target of [uid, randomUid()]) {
    const flooder = await viewer(generous);
    const begun = performance.now();
    // 200 may come at once, 10 a second after that.
    const sending = Array.from({ length: 230 }, () =>
      flooder.client.publishAsync(cameraInbox(target), 'x', { qos: 1 }),
    );
    await Promise.all(sending);
    took.push(performance.now() - begun);
    assert.ok(took.at(-1)! > 2_000, `the flood passed in ${took.at(-1)} ms`);
  }
  assert.ok(Math.abs(took[0]! - took[1]!) < 1_000, `${took}`);
});

test('many that flood one camera together are refused; who only calls comes through', async () => {
  const limited = await started({ limits: { packetsPerSecond: 10_000, messagesPerCamera: 10 } });
  const { uid, client } = await camera(limited);
  const heard: string[] = [];
  client.on('message', (_topic, payload) => heard.push(payload.toString()));
  await client.subscribeAsync(cameraInbox(uid));
  const flooders = await Promise.all([viewer(limited), viewer(limited)]);
  const gone = flooders.map((flooder) => closed(flooder.client));
  for (const flooder of flooders) {
    for (let i = 0; i < 200; i++) flooder.client.publish(cameraInbox(uid), 'flood', { qos: 1 }, () => {});
  }
  await Promise.all(gone);
  const caller = await viewer(limited);
  await caller.client.publishAsync(cameraInbox(uid), 'call', { qos: 1 });
  await until('the call', () => heard.includes('call'));
  assert.ok(limited.log.find(/too many messages to one camera/));
});

test('a viewer that reads nothing holds up nobody, and is let go', async () => {
  const generous = await started({ limits: { packetsPerSecond: 10_000 } });
  const deaf = await viewer(generous);
  const sink = viewerInbox(deaf.thumbprint);
  await deaf.client.subscribeAsync(sink);
  deaf.client.stream.pause();
  const { uid, client } = await camera(generous);
  let received = 0;
  client.on('message', () => received++);
  await client.subscribeAsync(cameraInbox(uid));
  const caller = await viewer(generous);
  const sender = await camera(generous);

  // More than the sockets' buffers hold.
  const payload = Buffer.alloc(100 * 1024);
  let flooding = true;
  const flood = (async () => {
    for (let i = 0; i < 400; i++) await sender.client.publishAsync(sink, payload);
    flooding = false;
  })();
  let slowest = 0;
  for (let i = 1; flooding || i < 20; i++) {
    const asked = performance.now();
    await caller.client.publishAsync(cameraInbox(uid), 'x', { qos: 1 });
    await until('delivered', () => received === i);
    slowest = Math.max(slowest, performance.now() - asked);
  }
  await flood;
  assert.ok(slowest < 1_500, `a message took ${slowest} ms`);
  await until('it is let go', () => generous.log.find(/does not read/));
});

test('there is a limit to how many may come, and to how many pages one viewer has', async () => {
  const small = await started({ limits: { clients: 3, connectionsPerViewer: 2 } });
  const page = await viewer(small);
  const second = await connectViewer(small, { key: page.key });
  cleanups.push(() => second.client.endAsync(true));
  await assert.rejects(connectViewer(small, { key: page.key }));
  await until('the complaint', () => small.log.find(/too many connections/));
  const third = await camera(small);
  await assert.rejects(camera(small));
  assert.ok(small.log.find(/too many clients/));
  await third.client.endAsync();
  await until('room for one more', () =>
    camera(small).then(
      () => true,
      () => false,
    ),
  );
});

test('the server’s notes come when a camera listens, with its time, and nobody else hears them', async () => {
  const { uid, client } = await camera();
  const notes: { now: number; iceServers?: unknown }[] = [];
  client.on('message', (_topic, payload) => notes.push(JSON.parse(payload.toString())));
  await client.subscribeAsync(serverNotes(uid), { qos: 1 });
  await until('the note', () => notes.length === 1);
  assert.ok(Math.abs(notes[0]!.now - Date.now()) < 5_000);
  assert.equal(notes[0]!.iceServers, undefined);
  const others = [await camera(), await viewer()];
  for (const other of others) {
    await assert.rejects(other.client.subscribeAsync(serverNotes(uid)));
    const gone = closed(other.client);
    other.client.publish(serverNotes(uid), '{"now":0}', { qos: 1 }, () => {});
    await gone;
  }
  assert.equal(notes.length, 1);
});

test.run();
