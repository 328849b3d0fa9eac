import assert from 'node:assert/strict';
import { connect } from 'node:net';
import fc from 'fast-check';
import { suite } from 'uvu';
import { cameraInbox, statusTopic } from '#protocol/topics.ts';
import { randomCall, randomThumbprint, TestCamera, testKey } from '../support/camera-signalling.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import { MqttViewer } from '../support/mqtt-viewer.ts';
import type { LogLine } from '../support/recording-logger.ts';
import { TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const SECRET = 'hunter2-the-payload-must-not-be-logged';

let mosquitto: Mosquitto;
let server: TestServer;
let camera: TestCamera;

const test = suite('bad MQTT input');

test.before(async () => {
  mosquitto = await Mosquitto.create();
  server = new TestServer({ limits: { packetsPerSecond: 10_000 } });
  await server.start();
});
test.after(async () => {
  await server.stop();
  await mosquitto.remove();
});

async function startCamera(url: string, mqttVersion: 'auto' | 4 = 'auto'): Promise<void> {
  camera = new TestCamera({ url, mqttVersion });
  camera.signalling.start();
  await until('connected', () => camera.signalling.connected);
}

test.after.each(async () => {
  await camera.signalling.stop();
});

/** The camera still takes an honest call, and has never lost its connection. */
async function stillServes(url: string): Promise<void> {
  const viewer = await MqttViewer.connect(url, 4);
  const call = randomCall();
  await viewer.send(camera.uid, { type: 'call', call, sdp: 'v=0' });
  await until('an honest call', () => camera.received.some(({ message }) => message.call === call));
  await camera.signalling.send(viewer.thumbprint, { type: 'bye', call });
  await until('an honest answer', () => viewer.received.length === 1);
  await viewer.close();
  assert.deepEqual(camera.states, [true]);
}

const envelope = (message: unknown, from: unknown = randomThumbprint(), version: unknown = 1) =>
  JSON.stringify({ v: version, from, message });

test('each wrong field is named in the log, never its content', async () => {
  await startCamera(server.mqttUrl);
  const viewer = await MqttViewer.connect(server.mqttUrl, 4);
  const call = randomCall();
  const long = SECRET.repeat(10_000);
  const named: [payload: string, field: string | undefined][] = [
    [SECRET, undefined],
    ['', undefined],
    ['null', ''],
    ['[]', 'v'],
    [envelope({ type: 'bye', call }, randomThumbprint(), SECRET), 'v'],
    [envelope({ type: 'bye', call }, 7), 'from'],
    [envelope({ type: 'bye', call }, `../${SECRET}`), 'from'],
    [envelope({ type: 'bye', call }, 'A'.repeat(20)), 'from'],
    [envelope(SECRET), 'message'],
    [envelope({}), 'type'],
    [envelope({ type: SECRET }), 'type'],
    [envelope({ type: 'answer', call, sdp: 'v=0' }), 'type'],
    [envelope({ type: 'call', call: 5, sdp: 'v=0' }), 'call'],
    [envelope({ type: 'call', call: SECRET.slice(0, 10), sdp: 'v=0' }), 'call'],
    [envelope({ type: 'call', call, sdp: '' }), 'sdp'],
    [envelope({ type: 'call', call, sdp: { [SECRET]: 1 } }), 'sdp'],
    [envelope({ type: 'call', call, sdp: 'v'.repeat(65 * 1024) }), 'sdp'],
    [envelope({ type: 'candidate', call, candidate: ['x'], mid: '0' }), 'candidate'],
    [envelope({ type: 'candidate', call, candidate: 'x', mid: long.slice(0, 1_000) }), 'mid'],
    [envelope({ type: 'bye', call, reason: long.slice(0, 1_000) }), 'reason'],
  ];
  for (const [payload, field] of named) {
    // A camera each: senders nobody can name share one line a minute.
    await camera.signalling.stop();
    await startCamera(server.mqttUrl);
    await viewer.sendRaw(camera.uid, payload);
    const line = await until(`a warning about ${payload.slice(0, 60)}`, () => dropped(camera)[0]);
    assert.equal(line.fields.field ?? '', field ?? '', `${line.message}, sent ${payload.slice(0, 60)}`);
    if (field) assert.ok(line.message.includes(`"${field}"`), line.message);
    assert.ok(line.message.length < 300, line.message);
    assert.equal(JSON.stringify(camera.log.lines).includes('hunter2'), false, line.message);
    assert.equal(camera.received.length, 0);
  }
  await viewer.close();
  await stillServes(server.mqttUrl);
});

test('a sender who keeps at it gets one line, and others still theirs', async () => {
  await startCamera(server.mqttUrl);
  const viewer = await MqttViewer.connect(server.mqttUrl, 4);
  const [one, other] = [randomThumbprint(), randomThumbprint()];
  for (let i = 0; i < 100; i++) await viewer.sendRaw(camera.uid, envelope({ type: 'nonsense' }, one));
  await viewer.sendRaw(camera.uid, envelope({ type: 'nonsense' }, other));
  await until('the other one', () => dropped(camera).some(({ fields }) => fields.from === other));
  assert.deepEqual(
    dropped(camera).map(({ fields }) => fields.from),
    [one, other],
  );
  await viewer.close();
});

for (const version of ['auto', 4] as const) {
  test(`a megabyte is dropped, by the camera or by the broker on its behalf (MQTT ${version})`, async () => {
    await startCamera(mosquitto.url, version);
    const viewer = await MqttViewer.connect(mosquitto.url, 4);
    await viewer.sendRaw(camera.uid, Buffer.alloc(1024 * 1024, 'x'));
    await viewer.sendRaw(camera.uid, envelope({ type: 'call', call: randomCall(), sdp: 'x'.repeat(1024 * 1024) }));
    await viewer.close();
    await stillServes(mosquitto.url);
    if (version === 4) assert.match(dropped(camera)[0]!.message, /1048576 bytes long, at most/);
    else assert.equal(dropped(camera).length, 0);
  });
}

test('whatever bytes arrive, the camera lives and serves', async () => {
  await startCamera(server.mqttUrl);
  const attacker = await connectMqtt(server.mqttUrl);
  const inbox = cameraInbox(camera.uid);
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
    fc.json({ maxDepth: 6 }).map((text) => Buffer.from(text)),
    // Near misses reach deeper than noise does.
    fc
      .record(
        {
          v: fc.constantFrom(1, 1, 1, 2, '1', null),
          from: fc.oneof(fc.constant('A'.repeat(43)), fc.string(), fc.anything()),
          message: fc.oneof(
            fc.anything(),
            fc.record(
              {
                type: fc.constantFrom('call', 'candidate', 'bye', 'answer', '__proto__', 'constructor'),
                call: fc.oneof(fc.constant('c'.repeat(22)), fc.anything()),
                sdp: fc.anything(),
                candidate: fc.anything(),
                mid: fc.anything(),
                reason: fc.anything(),
              },
              { requiredKeys: [] },
            ),
          ),
        },
        { requiredKeys: [] },
      )
      .map((value) =>
        Buffer.from(JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner))),
      ),
  );
  await fc.assert(
    fc.asyncProperty(anything, async (payload) => {
      await attacker.publishAsync(inbox, payload, { qos: 1 });
    }),
    { numRuns: 2_000 },
  );
  await attacker.endAsync();
  await stillServes(server.mqttUrl);
  assert.equal(camera.log.lines.filter(({ level }) => level === 'error' || level === 'fatal').length, 0);
});

test('a burst of more than it can open does not fill its memory', async () => {
  await startCamera(mosquitto.url);
  const attacker = await connectMqtt(mosquitto.url);
  const payload = envelope({ type: 'nonsense', padding: 'x'.repeat(50_000) });
  for (let i = 0; i < 500; i++) attacker.publish(cameraInbox(camera.uid), payload);
  await attacker.endAsync();
  await stillServes(mosquitto.url);
});

test('whatever bytes arrive, the server lives; a status must be one', async () => {
  await startCamera(server.mqttUrl);
  const { uid } = camera;
  const good = { state: 'offline', since: 1, firmware: '1', name: 'x', key: testKey };
  const status = fc
    .record(
      {
        state: fc.oneof(fc.constantFrom('online', 'offline', 'leaving'), fc.anything()),
        since: fc.oneof(fc.nat(), fc.anything()),
        reason: fc.oneof(fc.string(), fc.anything()),
        name: fc.oneof(fc.string(), fc.anything()),
        key: fc.oneof(fc.constant(testKey), fc.anything()),
      },
      { requiredKeys: [] },
    )
    .map((value) =>
      JSON.stringify({ ...good, ...value }, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner)),
    );
  const witness = await MqttViewer.connect(server.mqttUrl, 4);
  // Parses strictly: whatever the server lets through must be a status.
  await witness.watch(uid);
  let attacker = await connectMqtt(server.mqttUrl);
  await fc.assert(
    fc.asyncProperty(fc.oneof(status, fc.string({ maxLength: 200 })), async (payload) => {
      if (!attacker.connected) attacker = await connectMqtt(server.mqttUrl);
      const gone = closed(attacker);
      const sent = attacker.publishAsync(statusTopic(uid), payload, { qos: 1, retain: true }).catch(() => {});
      await Promise.race([gone, sent]);
    }),
    { numRuns: 500 },
  );
  attacker.end(true);
  await until('the camera has repaired its status', () => witness.state === 'online', 5_000);
  await witness.close();
  await stillServes(server.mqttUrl);
});

test('bytes that are not MQTT end their own connection only', async () => {
  await startCamera(server.mqttUrl);
  const port = Number(new URL(server.mqttUrl).port);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      await new Promise<void>((resolve) => {
        socket.on('close', () => resolve());
        socket.end(Buffer.from(bytes));
        socket.resume();
      });
    }),
    { numRuns: 300 },
  );
  await stillServes(server.mqttUrl);
});

function dropped({ log }: TestCamera): LogLine[] {
  return log.lines.filter(({ level, message }) => level === 'warn' && message.startsWith('message dropped'));
}

test.run();
