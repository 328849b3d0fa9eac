import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { plainEnvelope } from '#identity/envelope.ts';
import { AppError } from '#lib/error.ts';
import { randomCall, randomThumbprint, randomUid, TestCamera, testKey } from '../support/camera-signalling.ts';
import { MqttViewer } from '../support/mqtt-viewer.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/wait.ts';
import type { TestBroker } from './brokers.ts';

/** What a camera and its viewers rely on, whichever the broker is. */
export function signallingSuite(name: string, create: () => Promise<TestBroker>): void {
  const test = suite(name);
  const cleanups: (() => Promise<void>)[] = [];
  let broker: TestBroker;

  const camera = async (options: ConstructorParameters<typeof TestCamera>[0]): Promise<TestCamera> => {
    const made = new TestCamera(options);
    cleanups.push(() => made.signalling.stop());
    made.signalling.start();
    await until('the camera is connected', () => made.signalling.connected);
    return made;
  };
  const viewer = async (version: 4 | 5 = broker.version): Promise<MqttViewer> => {
    const made = await MqttViewer.connect(broker.url, version);
    cleanups.push(() => made.close());
    return made;
  };
  const proxy = async (): Promise<TcpProxy> => {
    const made = new TcpProxy(broker.port);
    cleanups.push(() => made.stop());
    await made.start();
    return made;
  };

  test.before(async () => {
    broker = await create();
  });
  test.after(() => broker.remove());
  test.after.each(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  test('a viewer that comes later sees the camera online, and what it is', async () => {
    const before = Date.now();
    const { uid } = await camera({ url: broker.url });
    const late = await viewer();
    await late.watch(uid);
    const seen = await until('the status', () => late.statuses[0]);
    assert.equal(seen.retained, true);
    assert.equal(seen.status.state, 'online');
    assert.equal(seen.status.firmware, '1.2.3');
    assert.equal(seen.status.name, 'Front door');
    assert.deepEqual(seen.status.key, testKey);
    assert.ok(seen.since !== undefined && seen.since >= before && seen.since <= Date.now());
  });

  test('a camera whose connection dies is offline, and a later viewer knows since when', async () => {
    const relay = await proxy();
    const { uid, signalling } = await camera({ url: `mqtt://127.0.0.1:${relay.port}` });
    const watcher = await viewer();
    await watcher.watch(uid);
    await until('online', () => watcher.state === 'online');
    // It shall not come back before we have looked.
    const died = Date.now();
    await relay.stop();
    cleanups.length = 0;
    cleanups.push(
      () => watcher.close(),
      () => signalling.stop(),
    );
    await until('offline', () => watcher.state === 'offline');
    assert.equal(signalling.connected, false);
    await until('two seconds of absence', () => Date.now() - died > 2_000);
    const late = await viewer();
    await late.watch(uid);
    const seen = await until('the status', () => late.statuses[0]);
    assert.equal(seen.status.state, 'offline');
    assert.equal(seen.retained, true);
    // MQTT counts expiry in whole seconds.
    assert.ok(seen.since !== undefined && Math.abs(seen.since - died) < 1_600, `since ${seen.since}, died ${died}`);
  });

  test('a goodbye is kept, says why and until when, and no will follows it', async () => {
    const { uid, signalling, states } = await camera({ url: broker.url });
    const watcher = await viewer();
    await watcher.watch(uid);
    await until('online', () => watcher.state === 'online');
    const backBy = Date.now() + 60_000;
    await signalling.leave({ reason: 'updating', backBy });
    await until('leaving', () => watcher.state === 'leaving');
    // Another camera's coming and going passes through the broker after any will of this one.
    const other = await camera({ url: broker.url });
    await watcher.watch(other.uid);
    await until('the other one', () => watcher.state === 'online');
    const last = watcher.statuses.at(-2)!.status;
    assert.equal(last.state, 'leaving');
    assert.equal(last.reason, 'updating');
    assert.equal(last.backBy, backBy);
    assert.deepEqual(states, [true, false]);
  });

  test('calls reach their camera and answers their viewer, and nobody else', async () => {
    const here = await camera({ url: broker.url });
    const elsewhere = await camera({ url: broker.url });
    const [caller, bystander] = [await viewer(), await viewer()];
    const call = randomCall();
    await caller.send(here.uid, { type: 'call', call, sdp: 'v=0 offer' });
    await caller.send(here.uid, { type: 'candidate', call, candidate: 'candidate:1', mid: '0' });
    await until('call and candidate', () => here.received.length === 2);
    assert.deepEqual(here.received, [
      { from: caller.thumbprint, message: { type: 'call', call, sdp: 'v=0 offer' } },
      { from: caller.thumbprint, message: { type: 'candidate', call, candidate: 'candidate:1', mid: '0' } },
    ]);
    await here.signalling.send(caller.thumbprint, { type: 'answer', call, sdp: 'v=0 answer' });
    await until('the answer', () => caller.received.length === 1);
    assert.deepEqual(caller.received, [{ from: here.uid, message: { type: 'answer', call, sdp: 'v=0 answer' } }]);
    await here.signalling.send(bystander.thumbprint, { type: 'bye', call });
    await until('the bye', () => bystander.received.length === 1);
    assert.equal(caller.received.length, 1);
    assert.equal(elsewhere.received.length, 0);
  });

  test('messages that take unequal time to open stay in order', async () => {
    const uid = randomUid();
    const plain = plainEnvelope(uid);
    let delay = 50;
    const slowThenFast: typeof plain = {
      seal: plain.seal,
      async open(payload) {
        const wait = delay;
        delay = 0;
        await new Promise((resolve) => setTimeout(resolve, wait));
        return plain.open(payload);
      },
    };
    const { received } = await camera({ url: broker.url, uid, envelope: slowThenFast });
    const caller = await viewer();
    const call = randomCall();
    await caller.send(uid, { type: 'call', call, sdp: 'v=0' });
    await caller.send(uid, { type: 'bye', call });
    await until('both', () => received.length === 2);
    assert.deepEqual(
      received.map(({ message }) => message.type),
      ['call', 'bye'],
    );
  });

  test('sending without a connection fails at once and leaves nothing for later', async () => {
    const relay = await proxy();
    const { signalling, log } = await camera({ url: `mqtt://127.0.0.1:${relay.port}` });
    const caller = await viewer();
    relay.cut();
    await until('the loss is noticed', () => !signalling.connected);
    await assert.rejects(
      signalling.send(caller.thumbprint, { type: 'bye', call: randomCall(), reason: 'stale' }),
      (error) => error instanceof AppError && error.code === 'signalling.offline' && error.retry,
    );
    await until('it is back', () => signalling.connected);
    await signalling.send(caller.thumbprint, { type: 'bye', call: randomCall(), reason: 'fresh' });
    await until('a bye', () => caller.received.length > 0);
    assert.deepEqual(
      caller.received.map(({ message }) => message.type === 'bye' && message.reason),
      ['fresh'],
    );
    assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1);
  });

  test('a message on its way when the link dies is reported as not sent', async () => {
    const relay = await proxy();
    const { signalling } = await camera({ url: `mqtt://127.0.0.1:${relay.port}` });
    relay.freeze();
    const sending = signalling.send(randomThumbprint(), { type: 'bye', call: randomCall() });
    relay.cut();
    await assert.rejects(sending, (error) => error instanceof AppError && error.code === 'signalling.offline');
  });

  test('a call that lies retained in the mailbox is not answered', async () => {
    // A broker with rules refuses it in the first place and ends the connection.
    const prankster = await viewer();
    const uid = randomUid();
    const call = { v: 1, from: prankster.thumbprint, message: { type: 'call', call: randomCall(), sdp: 'v=0' } };
    const sent = prankster.sendRaw(uid, JSON.stringify(call), { retain: true }).catch(() => {});
    await Promise.race([sent, until('refused', () => !prankster.connected)]);
    const { received } = await camera({ url: broker.url, uid });
    const caller = await viewer();
    await caller.send(uid, { type: 'bye', call: randomCall() });
    await until('the honest message', () => received.length > 0);
    assert.deepEqual(
      received.map(({ from }) => from),
      [caller.thumbprint],
    );
  });

  test('the camera is back within 3 s after the broker is, and says so', async () => {
    const { uid, signalling, states } = await camera({ url: broker.url });
    await broker.stop();
    await until('the loss is noticed', () => !signalling.connected);
    await until('a second without a broker', awhile(1_000));
    await broker.start();
    const back = performance.now();
    await until('it is back', () => signalling.connected);
    const took = performance.now() - back;
    assert.ok(took < 3_000, `took ${took} ms`);
    const late = await viewer();
    await late.watch(uid);
    await until('online', () => late.state === 'online');
    assert.deepEqual(states, [true, false, true]);
  });

  test('a second connection takes over, and the will of the first does not stay', async () => {
    const relay = await proxy();
    const uid = randomUid();
    const first = await camera({ url: `mqtt://127.0.0.1:${relay.port}`, uid });
    const watcher = await viewer();
    await watcher.watch(uid);
    await until('online', () => watcher.state === 'online');
    // As when the link has changed and the broker has not noticed yet.
    relay.freeze();
    const second = await camera({ url: broker.url, uid });
    await until('the old will', () => watcher.statuses.some(({ status }) => status.state === 'offline'));
    await until('repaired', () => watcher.state === 'online');
    await until('a second in which nothing else comes', awhile(1_000));
    assert.equal(watcher.state, 'online');
    const late = await viewer();
    await late.watch(uid);
    await until('a status', () => late.statuses.length > 0);
    assert.equal(late.state, 'online');
    assert.equal(second.signalling.connected, true);
    await first.signalling.stop();
    assert.equal(second.signalling.connected, true);
  });

  test('a status others wrote is written over, at most once a second', async () => {
    const { uid, log } = await camera({ url: broker.url });
    const prankster = await viewer();
    await prankster.watch(uid);
    await until('online', () => prankster.state === 'online');
    const since = prankster.statuses[0]!.status.since;
    for (let i = 0; i < 5; i++) await prankster.publishStatus(uid, { state: 'offline', since: i });
    await until('repaired', () => prankster.state === 'online', 3_000);
    await until('two seconds more', awhile(2_000));
    assert.equal(prankster.state, 'online');
    assert.equal(prankster.statuses.at(-1)!.status.since, since);
    const repairs = log.lines.filter(({ message }) => message.includes('published again')).length;
    assert.ok(repairs >= 1 && repairs <= 3, `${repairs} repairs`);
  });

  test('the version is negotiated', async () => {
    const auto = await camera({ url: broker.url });
    assert.ok(auto.log.find(broker.version === 5 ? /connected .*"mqtt":"5"/ : /connected .*"mqtt":"3\.1\.1"/));
    const fixed = await camera({ url: broker.url, mqttVersion: 4 });
    assert.ok(fixed.log.find(/connected .*"mqtt":"3\.1\.1"/));
    assert.equal(fixed.log.find(/MQTT 5/), undefined);
    const caller = await viewer(4);
    await caller.send(fixed.uid, { type: 'bye', call: randomCall() });
    await until('a message over 3.1.1', () => fixed.received.length === 1);
  });

  test('a broker that refuses MQTT 5 is asked only once', async () => {
    if (broker.version === 5) return;
    const relay = await proxy();
    const { signalling, log } = await camera({ url: `mqtt://127.0.0.1:${relay.port}` });
    relay.cut();
    await until('the loss is noticed', () => !signalling.connected);
    await until('it is back', () => signalling.connected);
    assert.equal(log.lines.filter(({ message }) => message.includes('does not speak MQTT 5')).length, 1);
  });

  test('a camera that stops while it tries in vain stops at once', async () => {
    await broker.stop();
    const made = new TestCamera({ url: broker.url });
    made.signalling.start();
    await until('it has noticed', () => made.log.find(/no connection/));
    const begun = performance.now();
    await made.signalling.stop();
    assert.ok(performance.now() - begun < 200);
    await broker.start();
    const watcher = await viewer();
    await watcher.watch(made.uid);
    await until('half a second', awhile(500));
    assert.equal(watcher.statuses.length, 0);
  });

  test('a goodbye over a dead link does not hold up the shutdown', async () => {
    const relay = await proxy();
    const { signalling } = await camera({ url: `mqtt://127.0.0.1:${relay.port}` });
    relay.freeze();
    const begun = performance.now();
    await signalling.stop();
    assert.ok(performance.now() - begun < 1_500);
  });

  test('an answer goes to no topic but a mailbox', async () => {
    const { signalling } = await camera({ url: broker.url });
    const bye = { type: 'bye', call: randomCall() } as const;
    await assert.rejects(signalling.send('../../cam/x/status', bye), /thumbprint/);
    await signalling.send(randomThumbprint(), bye);
  });

  test.run();
}

function awhile(ms: number): () => boolean {
  const end = performance.now() + ms;
  return () => performance.now() > end;
}
