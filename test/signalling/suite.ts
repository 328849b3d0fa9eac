import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { DeviceIdentity } from '#identity/device-key.ts';
import { AppError } from '#lib/error.ts';
import { serverNotes } from '#protocol/topics.ts';
import type { SignallingOptions } from '#session/signalling.ts';
import { mutualTls, newBoard, TestCamera } from '../support/camera-signalling.ts';
import { TestFactory } from '../support/factory.ts';
import type { MqttViewer } from '../support/mqtt-viewer.ts';
import { randomThumbprint } from '../support/random-names.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { until } from '../support/wait.ts';
import type { BrokerKind, TestBroker } from './brokers.ts';

interface CameraOptions extends Partial<SignallingOptions> {
  readonly board?: DeviceIdentity;
  /** Where it connects, instead of the broker itself. */
  readonly port?: number;
}

/** What a camera and its viewers rely on, whichever the broker is. */
export function signallingSuite(name: string, { create, version, hasInsiders }: BrokerKind): void {
  const test = suite(name);
  const cleanups: (() => Promise<void>)[] = [];
  let broker: TestBroker;

  const newCamera = async (options: CameraOptions = {}) => {
    const { board = await newBoard(broker.factory), port = broker.port, ...rest } = options;
    const openStream = mutualTls(board, `mqtts://127.0.0.1:${port}`, broker.caPem);
    const made = new TestCamera({ openStream, uid: board.uid, key: board.key.publicKey, ...rest });
    cleanups.push(() => made.signalling.stop());
    return Object.assign(made, { board });
  };
  const camera = async (options: CameraOptions = {}) => {
    const made = await newCamera(options);
    made.signalling.start();
    await until('the camera is connected', () => made.signalling.connected);
    return made;
  };
  const viewer = async (watching: readonly DeviceIdentity[] = [], spoken?: 4 | 5): Promise<MqttViewer> => {
    const made = await broker.viewer(watching, spoken);
    cleanups.push(() => made.close());
    return made;
  };
  const insider = async (): Promise<MqttViewer> => {
    const made = await broker.insider();
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
    const { uid, board } = await camera();
    const late = await viewer([board]);
    await late.watch(uid);
    const seen = await until('the status', () => late.statuses[0]);
    assert.equal(seen.retained, true);
    assert.equal(seen.status.state, 'online');
    assert.equal(seen.status.firmware, '1.2.3');
    assert.deepEqual(seen.status.key, board.key.publicKey);
    assert.equal(seen.status.name, undefined, 'a name is nothing for the server');
    assert.ok(seen.since !== undefined && seen.since >= before && seen.since <= Date.now());
  });

  test('a camera whose connection dies is offline, and a later viewer knows since when', async () => {
    const relay = await proxy();
    const { uid, board, signalling } = await camera({ port: relay.port });
    const watcher = await viewer([board]);
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
    const late = await viewer([board]);
    await late.watch(uid);
    const seen = await until('the status', () => late.statuses[0]);
    assert.equal(seen.status.state, 'offline');
    assert.equal(seen.retained, true);
    // MQTT counts expiry in whole seconds.
    assert.ok(seen.since !== undefined && Math.abs(seen.since - died) < 1_600, `since ${seen.since}, died ${died}`);
  });

  test('a goodbye is kept, says why and until when, and no will follows it', async () => {
    const { uid, board, signalling, states } = await camera();
    const otherBoard = await newBoard(broker.factory);
    const watcher = await viewer([board, otherBoard]);
    await watcher.watch(uid);
    await until('online', () => watcher.state === 'online');
    const backBy = Date.now() + 60_000;
    await signalling.leave({ reason: 'updating', backBy });
    await until('leaving', () => watcher.state === 'leaving');
    // Another camera's coming and going passes through the broker after any will of this one.
    const other = await camera({ board: otherBoard });
    await watcher.watch(other.uid);
    await until('the other one', () => watcher.state === 'online');
    const last = watcher.statuses.at(-2)!.status;
    assert.equal(last.state, 'leaving');
    assert.equal(last.reason, 'updating');
    assert.equal(last.backBy, backBy);
    assert.deepEqual(states, [true, false]);
  });

  test('calls reach their camera and answers their viewer, and nobody else', async () => {
    const here = await camera();
    const elsewhere = await camera();
    const [caller, bystander] = [await viewer(), await viewer()];
    await caller.send(here.uid, 'an offer');
    await caller.send(here.uid, 'a candidate');
    await until('both', () => here.received.length === 2);
    assert.deepEqual(here.received, ['an offer', 'a candidate']);
    await here.signalling.send(caller.thumbprint, Buffer.from('an answer'));
    await until('the answer', () => caller.received.length === 1);
    assert.deepEqual(caller.texts, ['an answer']);
    await here.signalling.send(bystander.thumbprint, Buffer.from('a bye'));
    await until('the bye', () => bystander.received.length === 1);
    assert.equal(caller.received.length, 1);
    assert.equal(elsewhere.received.length, 0);
  });

  test('messages that take unequal time to open stay in order, and one that cannot be handled holds up none', async () => {
    const opened: string[] = [];
    const { uid, log } = await camera({
      async onPayload(payload) {
        const text = Buffer.from(payload).toString();
        if (text === 'slow') await new Promise((resolve) => setTimeout(resolve, 50));
        if (text === 'broken') throw new Error('a defect of ours');
        opened.push(text);
      },
    });
    const caller = await viewer();
    for (const text of ['slow', 'broken', 'fast']) await caller.send(uid, text);
    await until('both', () => opened.length === 2);
    assert.deepEqual(opened, ['slow', 'fast']);
    assert.equal(log.find(/could not be handled/)?.level, 'error');
  });

  test('sending without a connection fails at once and leaves nothing for later', async () => {
    const relay = await proxy();
    const { signalling, log } = await camera({ port: relay.port });
    const caller = await viewer();
    relay.cut();
    await until('the loss is noticed', () => !signalling.connected);
    await assert.rejects(
      signalling.send(caller.thumbprint, Buffer.from('stale')),
      (error) => error instanceof AppError && error.code === 'signalling.offline' && error.retry,
    );
    await until('it is back', () => signalling.connected);
    await signalling.send(caller.thumbprint, Buffer.from('fresh'));
    await until('a message', () => caller.received.length > 0);
    assert.deepEqual(caller.texts, ['fresh']);
    assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1);
  });

  test('a message on its way when the link dies is reported as not sent', async () => {
    const relay = await proxy();
    const { signalling } = await camera({ port: relay.port });
    relay.freeze();
    const sending = signalling.send(randomThumbprint(), Buffer.from('a bye'));
    relay.cut();
    await assert.rejects(sending, (error) => error instanceof AppError && error.code === 'signalling.offline');
  });

  test('a call that lies retained in the mailbox is not answered', async () => {
    // A broker with rules refuses it in the first place and ends the connection.
    const prankster = await viewer();
    const board = await newBoard(broker.factory);
    const sent = prankster.send(board.uid, 'from the past', { retain: true }).catch(() => {});
    await Promise.race([sent, until('refused', () => !prankster.connected)]);
    const { received, uid } = await camera({ board });
    const caller = await viewer();
    await caller.send(uid, 'from now');
    await until('the honest message', () => received.length > 0);
    assert.deepEqual(received, ['from now']);
  });

  test('the camera is back within 3 s after the broker is, and says so', async () => {
    const { uid, board, signalling, states } = await camera();
    await broker.stop();
    await until('the loss is noticed', () => !signalling.connected);
    await until('a second without a broker', awhile(1_000));
    await broker.start();
    const back = performance.now();
    await until('it is back', () => signalling.connected);
    const took = performance.now() - back;
    assert.ok(took < 3_000, `took ${took} ms`);
    const late = await viewer([board]);
    await late.watch(uid);
    await until('online', () => late.state === 'online');
    assert.deepEqual(states, [true, false, true]);
  });

  test('a second connection takes over, and the will of the first does not stay', async () => {
    const relay = await proxy();
    const first = await camera({ port: relay.port });
    const { uid, board } = first;
    const watcher = await viewer([board]);
    await watcher.watch(uid);
    await until('online', () => watcher.state === 'online');
    // As when the link has changed and the broker has not noticed yet.
    relay.freeze();
    const second = await camera({ board });
    await until('the old will', () => watcher.statuses.some(({ status }) => status.state === 'offline'));
    await until('repaired', () => watcher.state === 'online');
    await until('a second in which nothing else comes', awhile(1_000));
    assert.equal(watcher.state, 'online');
    const late = await viewer([board]);
    await late.watch(uid);
    await until('a status', () => late.statuses.length > 0);
    assert.equal(late.state, 'online');
    assert.equal(second.signalling.connected, true);
    await first.signalling.stop();
    assert.equal(second.signalling.connected, true);
  });

  if (hasInsiders) {
    test('a status others wrote is written over, at most once a second', async () => {
      const { uid, log } = await camera();
      const prankster = await insider();
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
  }

  test('the version is negotiated', async () => {
    const auto = await camera();
    assert.ok(auto.log.find(version === 5 ? /connected .*"mqtt":"5"/ : /connected .*"mqtt":"3\.1\.1"/));
    const fixed = await camera({ mqttVersion: 4 });
    assert.ok(fixed.log.find(/connected .*"mqtt":"3\.1\.1"/));
    assert.equal(fixed.log.find(/MQTT 5/), undefined);
    const caller = await viewer([], 4);
    await caller.send(fixed.uid, 'over 3.1.1');
    await until('the message', () => fixed.received.length === 1);
  });

  if (version === 4) {
    test('a broker that refuses MQTT 5 is asked only once', async () => {
      const relay = await proxy();
      const { signalling, log } = await camera({ port: relay.port });
      relay.cut();
      await until('the loss is noticed', () => !signalling.connected);
      await until('it is back', () => signalling.connected);
      assert.equal(log.lines.filter(({ message }) => message.includes('does not speak MQTT 5')).length, 1);
    });
  }

  test('a camera that stops while it tries in vain stops at once', async () => {
    await broker.stop();
    const made = await newCamera();
    made.signalling.start();
    await until('it has noticed', () => made.log.find(/no connection/));
    const begun = performance.now();
    await made.signalling.stop();
    assert.ok(performance.now() - begun < 200);
    await broker.start();
    const watcher = await viewer([made.board]);
    await watcher.watch(made.uid);
    await until('half a second', awhile(500));
    assert.equal(watcher.statuses.length, 0);
  });

  test('a goodbye over a dead link does not hold up the shutdown', async () => {
    const relay = await proxy();
    const { signalling } = await camera({ port: relay.port });
    relay.freeze();
    const begun = performance.now();
    await signalling.stop();
    assert.ok(performance.now() - begun < 1_500);
  });

  test('an answer goes to no topic but a mailbox', async () => {
    const { signalling } = await camera();
    await assert.rejects(signalling.send('../../cam/x/status', Buffer.from('x')), /thumbprint/);
    await signalling.send(randomThumbprint(), Buffer.from('x'));
  });

  test('what the status says can change while the camera is connected, and stands on the next connection', async () => {
    const revoked: string[] = [];
    const relay = await proxy();
    const { uid, board, signalling } = await camera({ port: relay.port, revoked: () => revoked });
    const watcher = await viewer([board]);
    await watcher.watch(uid);
    const { since } = (await until('online', () => watcher.statuses[0])).status;
    revoked.push(randomThumbprint());
    signalling.refreshStatus();
    await until('the new status', () => watcher.statuses.at(-1)!.status.revoked);
    const now = watcher.statuses.at(-1)!.status;
    assert.deepEqual([now.state, now.since, now.revoked], ['online', since, revoked]);
    const published = watcher.statuses.length;
    for (let again = 0; again < 5; again++) signalling.refreshStatus();
    revoked.push(randomThumbprint());
    signalling.refreshStatus();
    await until('the next status', () => watcher.statuses.at(-1)!.status.revoked?.length === 2);
    assert.equal(watcher.statuses.length, published + 1, 'what has not changed is not published again');
    relay.cut();
    await until('the loss is noticed', () => !signalling.connected);
    revoked.push(randomThumbprint());
    signalling.refreshStatus();
    await until('it is back', () => watcher.statuses.at(-1)!.status.revoked?.length === 3);
    assert.deepEqual(watcher.statuses.at(-1)!.status.revoked, revoked);
  });

  test('what the server tells a camera reaches it', async () => {
    const { uid, notes, received } = await camera();
    if (hasInsiders) {
      const server = await insider();
      await server.client.publishAsync(serverNotes(uid), JSON.stringify({ now: Date.now() }), { qos: 1 });
    }
    const { now } = await until('the notes', () => notes[0]);
    assert.ok(Math.abs(now - Date.now()) < 5_000);
    assert.equal(received.length, 0, 'no message of a viewer');
  });

  if (hasInsiders) {
    test('notes that are none are dropped, the wrong field named, and good ones taken after them', async () => {
      const { uid, notes, log, states } = await camera();
      const server = await insider();
      const tell = (text: string) => server.client.publishAsync(serverNotes(uid), text, { qos: 1 });
      await tell(JSON.stringify({ now: Date.now(), iceServers: [{ urls: { hunter2: 1 } }] }));
      await tell('x'.repeat(100_000));
      await tell(JSON.stringify({ now: 1 }));
      await until('the good ones', () => notes.length === 1);
      assert.deepEqual(notes, [{ now: 1 }]);
      const line = log.find(/notes dropped/);
      assert.equal(line?.level, 'warn');
      assert.match(line!.message, /field "iceServers\.0\.urls/);
      assert.ok(!JSON.stringify(log.lines).includes('hunter2'));
      assert.deepEqual(states, [true]);
    });
  }

  test('a camera of another factory is not let in, and told what that may mean', async () => {
    const stranger = await TestFactory.create();
    cleanups.push(() => stranger.remove());
    const refused = await newCamera({ board: await newBoard(stranger) });
    refused.signalling.start();
    const line = await until('the refusal', () => refused.log.find(/no connection to the server/));
    assert.match(String(line.fields.cause), /does not let this camera in/);
    assert.deepEqual(refused.states, []);
  });

  test('a camera says nothing to a server that is not its own', async () => {
    const stranger = await TestFactory.create();
    cleanups.push(() => stranger.remove());
    const { caPem } = await stranger.serverCertificate();
    const board = await newBoard(broker.factory);
    const openStream = mutualTls(board, `mqtts://127.0.0.1:${broker.port}`, caPem);
    const wary = await newCamera({ board, openStream });
    wary.signalling.start();
    const line = await until('the refusal', () => wary.log.find(/no connection to the server/));
    assert.match(String(line.fields.cause), /no authority trusted here/);
    assert.deepEqual(wary.states, []);
  });

  test.run();
}

function awhile(ms: number): () => boolean {
  const end = performance.now() + ms;
  return () => performance.now() > end;
}
