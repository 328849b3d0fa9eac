// time limit: 180 s
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { cameraInbox, statusTopic } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { TestChild } from '../support/child.ts';
import { type ServerFiles, TestFactory } from '../support/factory.ts';
import { randomUid } from '../support/random-names.ts';
import { type ConnectedViewer, connectCamera, connectViewer } from '../support/server.ts';
import { until } from '../support/wait.ts';

/** Samples of each kind from one viewer: below what slows it down. */
const ROUNDS = 90;
const VIEWERS = 4;

const children: TestChild[] = [];
let folder: string;
let factory: TestFactory;
let certificate: ServerFiles;
let urls: { httpUrl: string; mqttUrl: string; webSocketUrl: string };
let listener: TestChild;
let online: Uid;
let offline: Uid;
const unknown = randomUid();

const test = suite('what a stranger can find out');

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-strangers-'));
  factory = await TestFactory.create();
  certificate = await factory.serverCertificate();
  // Server, camera and stranger are processes of their own: what one does must not hold up another's clock.
  const loopback = ['--http-host', '127.0.0.1', '--mqtt-host', '127.0.0.1', '--http-port', '0', '--mqtt-port', '0'];
  const files = [
    '--tls-cert',
    certificate.certFile,
    '--tls-key',
    certificate.keyFile,
    '--cameras-ca',
    factory.rootFile,
  ];
  const limits = ['--max-packets-per-second', '100000', '--max-messages-per-camera', '100000'];
  const server = await ready(new TestChild('src/server/main.ts', [...loopback, ...files, ...limits]));
  const { httpUrl, mqttUrl } = server as { httpUrl: string; mqttUrl: string };
  urls = { httpUrl, mqttUrl, webSocketUrl: `${httpUrl.replace('http', 'ws')}/mqtt` };
  const board = await factory.board(join(folder, 'online'));
  online = board.uid;
  listener = new TestChild('test/server/listening-camera.ts', [mqttUrl, certificate.caFile, board.folder]);
  await ready(listener);
  const away = await factory.board(join(folder, 'offline'));
  offline = away.uid;
  const camera = await connectCamera({ mqttUrl, certificate }, away.folder);
  await camera.publishAsync(statusTopic(offline), '{"state":"leaving"}', { qos: 1, retain: true });
  await camera.endAsync();
});
test.after(async () => {
  for (const child of children) await child.remove();
  await factory.remove();
  await rm(folder, { recursive: true });
});

async function ready(child: TestChild): Promise<object> {
  children.push(child);
  return await until('ready', () => {
    if (!child.running) throw new Error(`it ended: ${child.stderr}`);
    return child.messages[0];
  });
}

/** Times of one action at each of the three cameras, µs, in an order of chance, from several viewers. */
async function sample(act: (viewer: ConnectedViewer, uid: Uid) => Promise<void>): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = { online: [], offline: [], unknown: [] };
  for (let i = 0; i < VIEWERS; i++) {
    const viewer = await connectViewer(urls);
    const targets = Object.entries({ online, offline, unknown });
    for (let round = -10; round < ROUNDS; round++) {
      for (const [name, uid] of targets.sort(() => Math.random() - 0.5)) {
        const begun = performance.now();
        await act(viewer, uid);
        if (round >= 0) times[name]!.push((performance.now() - begun) * 1000);
      }
    }
    await viewer.client.endAsync();
  }
  return times;
}

/** Medians that lie closer together than a third of the spread (the quartiles' distance) of one kind alone. */
function assertAlike(times: Record<string, number[]>, what: string): void {
  const figures = Object.entries(times).map(([name, values]) => {
    const sorted = values.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(share * sorted.length)]!;
    return { name, samples: values.length, median: Math.round(at(0.5)), spread: Math.round(at(0.75) - at(0.25)) };
  });
  console.log(`${what}, µs: ${JSON.stringify(figures)}`);
  const medians = figures.map(({ median }) => median);
  const spread = Math.min(...figures.map((figure) => figure.spread));
  const apart = Math.max(...medians) - Math.min(...medians);
  assert.ok(apart < spread / 3 || apart < 30, `medians ${apart} µs apart, spread ${spread} µs`);
}

test('a message to a camera that is there, away, or unknown is acknowledged alike', async () => {
  const times = await sample(async ({ client }, uid) => {
    const packet = await client.publishAsync(cameraInbox(uid), 'x'.repeat(2_000), { qos: 1 });
    assert.equal(packet?.cmd, 'publish');
  });
  assertAlike(times, 'publish');
  listener.process.send('how many');
  const { heard } = (await until('an answer', () => listener.messages.find((message) => 'heard' in message))) as {
    heard: number;
  };
  assert.ok(heard >= ROUNDS * VIEWERS, 'it was really there');
});

test('nor does the next message after it tell', async () => {
  const times = await sample(async ({ client }, uid) => {
    void client.publishAsync(cameraInbox(uid), 'x'.repeat(2_000), { qos: 0 });
    // To another name each time: too much to one of them would be slowed down.
    await client.publishAsync(cameraInbox(randomUid()), 'x', { qos: 1 });
  });
  assertAlike(times, 'publish after publish');
});

test('a subscription to a status without a grant is refused alike', async () => {
  const answers = new Set<string>();
  const times = await sample(async ({ client }, uid) => {
    const answer = await client.subscribeAsync(statusTopic(uid), { qos: 1 }).then(
      () => 'granted',
      (error) => `${error.message} ${error.code}`,
    );
    answers.add(answer);
  });
  assert.equal(answers.size, 1, [...answers].join());
  assert.equal(answers.has('granted'), false);
  assertAlike(times, 'subscribe');
});

test.run();
