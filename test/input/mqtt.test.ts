// time limit: 180 s
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import type { MqttClient } from 'mqtt';
import { suite } from 'uvu';
import { WebSocket } from 'ws';
import type { DeviceIdentity } from '#identity/device-key.ts';
import { newSealingKey } from '#identity/keys.ts';
import { randomName, seal, sign } from '#identity/seal.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import { cameraInbox, serverNotes, statusTopic } from '#protocol/topics.ts';
import { type AnsweringCamera, answeringCamera, refused, takesACall } from '../support/answering-camera.ts';
import { mutualTls, newBoard, plainTcp, randomCall } from '../support/camera-signalling.ts';
import { TestFactory } from '../support/factory.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { closed, connectMqtt } from '../support/mqtt-client.ts';
import { MqttViewer } from '../support/mqtt-viewer.ts';
import type { TestParty } from '../support/parley.ts';
import { randomThumbprint, randomUid } from '../support/random-names.ts';
import { connectViewer, TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

const SECRET = 'hunter2-what-was-sent-must-not-be-logged';

let factory: TestFactory;
/** Lets everything through: whatever can reach a camera does. */
let mosquitto: Mosquitto;
let server: TestServer;
const cameras: AnsweringCamera[] = [];

const test = suite('bad MQTT input');

test.before(async () => {
  factory = await TestFactory.create();
  mosquitto = await Mosquitto.create();
  server = new TestServer({ factory, limits: { packetsPerSecond: 10_000 } });
  await server.start();
});
test.after(async () => {
  await server.remove();
  await mosquitto.remove();
  await factory.remove();
});
test.after.each(async () => {
  for (const { signalling } of cameras.splice(0)) await signalling.stop();
});

/** A camera of its own for each test, at Mosquitto. */
async function exposedCamera(mqttVersion: 'auto' | 4 = 'auto'): Promise<AnsweringCamera> {
  const camera = await answeringCamera(await newBoard(factory), {
    openStream: plainTcp(mosquitto.port),
    mqttVersion,
  });
  cameras.push(camera);
  return camera;
}

/** One behind the broker of peercam-server. */
async function servedCamera(): Promise<AnsweringCamera> {
  const board = await newBoard(factory);
  const openStream = mutualTls(board, server.mqttUrl, server.certificate.caPem);
  const camera = await answeringCamera(board, { openStream });
  cameras.push(camera);
  return camera;
}

/** @param viewer at Mosquitto where left out; it is used up */
async function stillServes(camera: AnsweringCamera, viewer?: MqttViewer): Promise<void> {
  const honest = viewer ?? (await MqttViewer.atBroker(mosquitto.url));
  await takesACall(camera, honest);
  await honest.close();
  assert.deepEqual(camera.states, [true], 'it was never disconnected');
  const failures = camera.log.lines.filter(({ level }) => level === 'error' || level === 'fatal');
  assert.deepEqual(failures, []);
}

test('each wrong field is named in the log, at every layer, never its content', async () => {
  const attacker = await MqttViewer.atBroker(mosquitto.url);
  for (const [name, forge, field] of CASES) {
    // A camera each: senders nobody can name share one line a minute.
    const camera = await exposedCamera();
    // Even one who may watch gets no further with it.
    camera.party.list.people.set(attacker.thumbprint, { rights: ['view', 'owner'] });
    await attacker.send(camera.uid, await forge(camera.party, attacker));
    const line = await until(`a warning about ${name}`, () => refused(camera)[0]);
    if (field) assert.ok(line.message.includes(`field "${field}"`), `${name}: ${line.message}`);
    assert.ok(line.message.length < 300, line.message);
    assert.ok(!JSON.stringify([camera.log.lines, camera.noted]).includes('hunter2'), `${name}: ${line.message}`);
    assert.equal(camera.noted[0]?.event, 'refused');
    assert.equal(attacker.received.length, 0, `${name} was answered`);
    if (camera !== cameras[0]) await cameras.pop()!.signalling.stop();
  }
  await attacker.close();
  await stillServes(cameras[0]!);
});

test('a sender who keeps at it gets one line, and others still theirs', async () => {
  const camera = await exposedCamera();
  const [one, other] = [await MqttViewer.atBroker(mosquitto.url), await MqttViewer.atBroker(mosquitto.url)];
  for (let i = 0; i < 100; i++) await one.send(camera.uid, await hello({ aud: randomUid() })(camera.party, one));
  await other.send(camera.uid, await hello({ aud: randomUid() })(camera.party, other));
  const named = () => refused(camera).map(({ fields }) => fields.from);
  await until('the other one', () => named().includes(other.thumbprint));
  assert.deepEqual(named(), [one.thumbprint, other.thumbprint]);
  await Promise.all([one.close(), other.close()]);
});

for (const version of ['auto', 4] as const) {
  test(`a megabyte is dropped, by the camera or by the broker on its behalf (MQTT ${version})`, async () => {
    const camera = await exposedCamera(version);
    const viewer = await MqttViewer.atBroker(mosquitto.url);
    await viewer.send(camera.uid, Buffer.alloc(1024 * 1024, 'x'));
    await viewer.send(camera.uid, await message({ type: 'call', sdp: 'x'.repeat(1024 * 1024) })(camera.party, viewer));
    await viewer.client.publishAsync(serverNotes(camera.uid), Buffer.alloc(1024 * 1024, ' '), { qos: 1 });
    await stillServes(camera, viewer);
    const notes = camera.log.lines.filter(({ message: text }) => text.startsWith('notes dropped'));
    if (version === 4) {
      assert.match(refused(camera)[0]!.message, /1048576 bytes long/);
      assert.match(notes[0]!.message, /1048576 bytes long, at most/);
    } else {
      assert.deepEqual([...refused(camera), ...notes], []);
    }
  });
}

test('whatever bytes arrive in any topic of the camera, it lives and serves', async () => {
  const camera = await exposedCamera();
  const { uid, party } = camera;
  const attacker = await MqttViewer.atBroker(mosquitto.url);
  party.list.people.set(attacker.thumbprint, { rights: ['view'] });
  const topic = fc.constantFrom(
    cameraInbox(uid),
    cameraInbox(uid),
    cameraInbox(uid),
    serverNotes(uid),
    statusTopic(uid),
  );
  await fc.assert(
    fc.asyncProperty(topic, anyPayload(), async (name, make) => {
      await attacker.client.publishAsync(name, Buffer.from((await make(party, attacker)) as Uint8Array), { qos: 1 });
    }),
    { numRuns: 2_000 },
  );
  await stillServes(camera, attacker);
});

test('a burst of more than it can open does not fill its memory', async () => {
  const camera = await exposedCamera();
  const attacker = await MqttViewer.atBroker(mosquitto.url);
  const payload = Buffer.from(await message({ type: 'call', sdp: 'x'.repeat(50_000) })(camera.party, attacker));
  for (let i = 0; i < 500; i++) attacker.client.publish(cameraInbox(camera.uid), payload);
  await attacker.client.endAsync();
  await stillServes(camera);
});

test('whatever a camera writes, the server lives; a status must be one', async () => {
  const honest = await servedCamera();
  const board = await newBoard(factory);
  const witness = await MqttViewer.atServer(server, { grantedBy: [board] });
  // Parses strictly: whatever the server lets through must be a status.
  await witness.watch(board.uid);
  const good = { state: 'offline', since: 1, firmware: '1', name: 'x', key: board.key.publicKey };
  const status = fc
    .record(
      {
        state: fc.oneof(fc.constantFrom('online', 'offline', 'leaving'), fc.anything()),
        since: fc.oneof(fc.nat(), fc.anything()),
        reason: fc.oneof(fc.string(), fc.anything()),
        revoked: fc.oneof(fc.array(fc.constant('r'.repeat(43))), fc.anything()),
        key: fc.oneof(fc.constant(board.key.publicKey), fc.anything()),
      },
      { requiredKeys: [] },
    )
    .map((value) => json({ ...good, ...value }));
  let attacker: MqttClient | undefined;
  await fc.assert(
    fc.asyncProperty(fc.oneof(status, fc.string({ maxLength: 200 })), async (payload) => {
      if (!attacker?.connected) attacker = await connectBoard(board);
      const gone = closed(attacker);
      const sent = attacker.publishAsync(statusTopic(board.uid), payload, { qos: 1, retain: true }).catch(() => {});
      await Promise.race([gone, sent]);
    }),
    { numRuns: 300 },
  );
  attacker?.end(true);
  attacker = await connectBoard(board);
  await attacker.publishAsync(statusTopic(board.uid), json({ ...good, state: 'online' }), { qos: 1, retain: true });
  await until('an honest status', () => witness.state === 'online');
  assert.ok(witness.statuses.length > 1);
  await attacker.endAsync(true);
  await witness.close();
  await stillServes(honest, await MqttViewer.atServer(server));
});

test('whatever a viewer writes wherever, the server lives', async () => {
  const camera = await servedCamera();
  const topic = fc.oneof(
    fc.constantFrom(cameraInbox(camera.uid), statusTopic(camera.uid), serverNotes(camera.uid), '$SYS/x', 'x'),
    fc.string({ minLength: 1, maxLength: 80 }).filter((name) => !/[#+\0]/.test(name)),
  );
  let attacker: MqttClient | undefined;
  await fc.assert(
    fc.asyncProperty(topic, fc.uint8Array({ maxLength: 500 }), fc.boolean(), async (name, payload, retain) => {
      if (!attacker?.connected) ({ client: attacker } = await connectViewer(server));
      const gone = closed(attacker);
      const sent = attacker.publishAsync(name, Buffer.from(payload), { qos: 1, retain }).catch(() => {});
      await Promise.race([gone, sent]);
    }),
    { numRuns: 300 },
  );
  attacker?.end(true);
  await stillServes(camera, await MqttViewer.atServer(server));
});

test('bytes that are not MQTT end their own connection only: on TCP, within TLS, over WebSocket', async () => {
  const camera = await servedCamera();
  const port = Number(new URL(server.mqttUrl).port);
  const board = await newBoard(factory);
  const tls = { ca: server.certificate.caPem, key: board.privateKeyPem, cert: board.certificatePem };
  const doors: ((bytes: Buffer) => Promise<void>)[] = [
    (bytes) =>
      new Promise((resolve) => {
        const socket = connectTcp(port, '127.0.0.1').on('error', () => {});
        socket.on('close', () => resolve());
        socket.end(bytes);
        socket.resume();
      }),
    (bytes) =>
      new Promise((resolve) => {
        const socket = connectTls({ port, host: '127.0.0.1', ...tls }).on('error', () => {});
        socket.on('close', () => resolve());
        socket.end(bytes);
        socket.resume();
      }),
    (bytes) =>
      new Promise((resolve) => {
        const socket = new WebSocket(server.webSocketUrl, 'mqtt').on('error', () => {});
        socket.on('close', () => resolve());
        socket.on('open', () => {
          socket.send(bytes);
          socket.close();
        });
      }),
  ];
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.uint8Array({ minLength: 1, maxLength: 300 }), async (door, bytes) => {
      await doors[door]!(Buffer.from(bytes));
    }),
    { numRuns: 300 },
  );
  await stillServes(camera, await MqttViewer.atServer(server));
});

test.run();

function connectBoard({ uid, certificatePem: cert, privateKeyPem: key }: DeviceIdentity): Promise<MqttClient> {
  return connectMqtt(server.mqttUrl, { clientId: `cam-${uid}`, ca: server.certificate.caPem, cert, key });
}

/** Makes one payload, by whoever sends it. */
type Forge = (party: TestParty, sender: MqttViewer) => Promise<string | Uint8Array>;

const raw =
  (text: string): Forge =>
  async () =>
    text;

/** A JWS or JWE whose header is all that is ever looked at. */
function withHeader(header: unknown, parts: number): Forge {
  const rest = Array.from({ length: parts - 1 }, () => encode({ [SECRET]: SECRET }));
  return raw([encode(header), ...rest].join('.'));
}

/** A `hello` with some of its claims replaced. */
function hello(changes: object): Forge {
  return async ({ uid }, { key }) => {
    const enc = (await newSealingKey()).publicKey;
    const claims = { iss: key.thumbprint, aud: uid, jti: randomName(16), iat: Date.now(), enc, ...changes };
    return sign(SIGNED_TYPE.hello, claims, key);
  };
}

/** A sealed message with some of its claims replaced. */
function sealedClaims(changes: object, type: string = SIGNED_TYPE.toCamera): Forge {
  return async ({ uid, parley, sealing, clock }, { key }) => {
    const claims = {
      iss: key.thumbprint,
      aud: uid,
      jti: randomName(16),
      iat: clock.now,
      epoch: parley.epoch,
      seq: 0,
      enc: (await newSealingKey()).publicKey,
      msg: { type: 'bye', call: randomCall() },
      ...changes,
    };
    return seal(await sign(type, claims, key), sealing);
  };
}

function message(msg: object): Forge {
  return sealedClaims({ msg: { call: randomCall(), ...msg } });
}

function encode(value: unknown): string {
  return Buffer.from(json(value)).toString('base64url');
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? `${inner}` : inner)) ?? '';
}

const SIGNED = { alg: 'ES256', typ: SIGNED_TYPE.hello };
const EC = { kty: 'EC', crv: 'P-256', x: `${'x'.repeat(42)}w`, y: `${'y'.repeat(42)}w` };
const SEALED = { alg: 'ECDH-ES', enc: 'A256GCM', typ: 'peercam-sealed+jwe', kid: 'k'.repeat(43), epk: EC };
const LONG = SECRET.repeat(30);

const CASES: readonly [name: string, forge: Forge, field?: string][] = [
  ['no message at all', raw(SECRET)],
  ['nothing', raw('')],
  ['JSON', raw(json({ v: 1, from: randomThumbprint(), message: { type: 'bye', call: SECRET } }))],
  ['parts of nothing', raw(`${SECRET}.${SECRET}.${SECRET}`)],

  ['a signature without a header', withHeader({}, 3), 'alg'],
  ['no signature at all', withHeader({ ...SIGNED, alg: 'none', jwk: EC }, 3), 'alg'],
  ['a secret for a signature', withHeader({ ...SIGNED, alg: 'HS256', jwk: EC }, 3), 'alg'],
  ['a type nobody knows', withHeader({ ...SIGNED, typ: SECRET, jwk: EC }, 3), 'typ'],
  ['no key', withHeader(SIGNED, 3), 'jwk'],
  ['another kind of key', withHeader({ ...SIGNED, jwk: { kty: 'RSA', n: SECRET } }, 3), 'jwk.kty'],
  ['half a key', withHeader({ ...SIGNED, jwk: { ...EC, x: SECRET } }, 3), 'jwk.x'],
  ['extensions', withHeader({ ...SIGNED, jwk: EC, crit: [SECRET] }, 3), 'crit'],
  ['a key that is no point', withHeader({ ...SIGNED, jwk: EC }, 3), 'signature'],
  [
    'another’s signature',
    async (party, sender) => {
      const [header, , signature] = String(await hello({})(party, sender)).split('.');
      return [header, encode({ [SECRET]: SECRET }), signature].join('.');
    },
    'signature',
  ],

  ['hello in another name', hello({ iss: randomThumbprint() }), 'iss'],
  ['hello in no name', hello({ iss: SECRET }), 'iss'],
  ['hello to another camera', hello({ aud: randomUid() }), 'aud'],
  ['hello to none', hello({ aud: SECRET }), 'aud'],
  ['hello without a number', hello({ jti: 5 }), 'jti'],
  ['hello with a long number', hello({ jti: LONG }), 'jti'],
  ['hello at no time', hello({ iat: SECRET }), 'iat'],
  ['hello before 1970', hello({ iat: -1 }), 'iat'],
  ['hello without a key', hello({ enc: undefined }), 'enc'],
  ['hello with half a key', hello({ enc: { ...EC, y: SECRET } }), 'enc.y'],
  ['hello with no proof', hello({ proof: SECRET }), 'proof'],
  ['hello with a proof that is an object', hello({ proof: { [SECRET]: 1 } }), 'proof'],

  ['a seal without a header', withHeader({}, 5), 'alg'],
  ['a seal with a password', withHeader({ ...SEALED, alg: 'PBES2-HS256+A128KW', p2c: 2_000_000_000 }, 5), 'alg'],
  ['a weak seal', withHeader({ ...SEALED, enc: SECRET }, 5), 'enc'],
  ['a seal of another type', withHeader({ ...SEALED, typ: SECRET }, 5), 'typ'],
  ['a seal to nobody', withHeader({ ...SEALED, kid: SECRET }, 5), 'kid'],
  ['a seal to another', withHeader(SEALED, 5), 'kid'],
  ['a seal without its key', withHeader({ ...SEALED, epk: undefined }, 5), 'epk'],
  ['a compressed seal', withHeader({ ...SEALED, zip: 'DEF' }, 5), 'zip'],
  ['a seal with extensions', withHeader({ ...SEALED, crit: [SECRET] }, 5), 'crit'],
  ['a broken seal', async ({ sealing }, sender) => withHeader({ ...SEALED, kid: sealing.kid }, 5)(undefined!, sender)],
  ['sealed noise', async ({ sealing }) => seal(SECRET, sealing)],
  ['a sealed hello', async (party, sender) => seal(String(await hello({})(party, sender)), party.sealing), 'typ'],
  ['what a camera says', sealedClaims({}, SIGNED_TYPE.toViewer), 'typ'],

  ['in another name', sealedClaims({ iss: randomThumbprint() }), 'iss'],
  ['in no name', sealedClaims({ iss: [SECRET] }), 'iss'],
  ['to another camera', sealedClaims({ aud: randomUid() }), 'aud'],
  ['without a number', sealedClaims({ jti: undefined }), 'jti'],
  ['at no time', sealedClaims({ iat: 1.5 }), 'iat'],
  ['of no run', sealedClaims({ epoch: SECRET }), 'epoch'],
  ['out of no order', sealedClaims({ seq: '0' }), 'seq'],
  ['with a negative number', sealedClaims({ seq: -1 }), 'seq'],
  ['with half a key', sealedClaims({ enc: { ...EC, crv: SECRET } }), 'enc.crv'],
  [
    'a call without a key',
    sealedClaims({ enc: undefined, msg: { type: 'call', call: randomCall(), sdp: 'x' } }),
    'enc',
  ],
  ['without a message', sealedClaims({ msg: undefined }), 'msg'],
  ['with text for a message', sealedClaims({ msg: SECRET }), 'msg'],

  ['a message of no type', message({}), 'msg.type'],
  ['a message of a type nobody knows', message({ type: SECRET }), 'msg.type'],
  ['a message named like a method', message({ type: '__proto__' }), 'msg.type'],
  ['an answer, which only cameras give', message({ type: 'answer', sdp: 'v=0' }), 'msg.type'],
  ['a call without an id', message({ type: 'call', call: 5, sdp: 'v=0' }), 'msg.call'],
  ['a call with a short id', message({ type: 'call', call: SECRET.slice(0, 10), sdp: 'v=0' }), 'msg.call'],
  ['a call without an offer', message({ type: 'call', sdp: '' }), 'msg.sdp'],
  ['a call with an object for an offer', message({ type: 'call', sdp: { [SECRET]: 1 } }), 'msg.sdp'],
  ['a call with a long offer', message({ type: 'call', sdp: 'v'.repeat(65 * 1024) }), 'msg.sdp'],
  ['a call from nowhere', message({ type: 'call', sdp: 'v=0', address: SECRET }), 'msg.address'],
  ['a candidate that is a list', message({ type: 'candidate', candidate: ['x'], mid: '0' }), 'msg.candidate'],
  ['a long candidate', message({ type: 'candidate', candidate: 'c'.repeat(2_000), mid: '0' }), 'msg.candidate'],
  ['a candidate of a long section', message({ type: 'candidate', candidate: 'x', mid: LONG }), 'msg.mid'],
  ['a long goodbye', message({ type: 'bye', reason: LONG }), 'msg.reason'],
  ['pairing without a name', message({ type: 'pair', proof: 'p'.repeat(43) }), 'msg.name'],
  ['pairing by a long name', message({ type: 'pair', name: LONG, proof: 'p'.repeat(43) }), 'msg.name'],
  ['pairing without a proof', message({ type: 'pair', name: 'me', proof: SECRET }), 'msg.proof'],
];

/** Noise, and near misses, which reach deeper than noise does. */
function anyPayload(): fc.Arbitrary<Forge> {
  const text = fc.oneof(fc.constantFrom('c'.repeat(22), 'A'.repeat(43), 'v=0', ''), fc.string());
  const value = fc.oneof(text, fc.anything());
  const plain = (made: unknown) => JSON.parse(json(made) || 'null') as unknown;
  const msg = fc.record(
    {
      type: fc.constantFrom('call', 'candidate', 'bye', 'pair', 'answer', '__proto__', 'constructor'),
      ...{ call: value, sdp: value, candidate: value, mid: value, reason: value, name: value, proof: value },
    },
    { requiredKeys: [] },
  );
  const claims = fc.record(
    { iss: value, aud: value, jti: value, iat: value, epoch: value, seq: value, enc: value, msg: fc.oneof(msg, value) },
    { requiredKeys: [] },
  );
  const header = fc.record(
    {
      alg: fc.constantFrom('ES256', 'none', 'ECDH-ES', 'dir', 'A128KW'),
      enc: fc.constantFrom('A256GCM', 'A128CBC-HS256'),
      typ: fc.constantFrom(SIGNED_TYPE.hello, SIGNED_TYPE.toCamera, 'peercam-sealed+jwe'),
      ...{ jwk: fc.oneof(fc.constant(EC), value), epk: fc.oneof(fc.constant(EC), value), kid: value, crit: value },
    },
    { requiredKeys: [] },
  );
  return fc.oneof(
    fc.uint8Array({ maxLength: 2_000 }).map(
      (bytes): Forge =>
        async () =>
          bytes,
    ),
    fc.json({ maxDepth: 6 }).map(raw),
    fc.tuple(header, fc.constantFrom(3, 5)).map(([made, parts]) => withHeader(made, parts)),
    claims.map((made) => hello(plain(made) as object)),
    claims.map((made) => sealedClaims(plain(made) as object)),
    msg.map((made) => message(plain(made) as object)),
  );
}
