import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { randomCode } from '../support/parley.ts';
import { until } from '../support/wait.ts';
import { SignallingBench } from './signalling-bench.ts';

const test = suite('signalling of one camera');

let warn: typeof console.warn;
test.before(() => {
  warn = console.warn;
  // What is refused is told to the console too.
  console.warn = () => {};
});
test.after(() => {
  console.warn = warn;
});

test('the label of a new camera lets its first viewer in, and the camera is remembered', async () => {
  const bench = await SignallingBench.create({ code: 'label' });
  await bench.start();
  await bench.admitted('in');
  assert.deepEqual(bench.states, ['pairing', 'in']);
  const camera = bench.self.camera(bench.camera.uid)!;
  assert.equal(camera.name, 'Front door');
  assert.deepEqual(camera.known.rights, ['view', 'owner']);
  assert.equal(bench.post.renewals, 1, 'a token is asked for with the fresh grant');
  assert.deepEqual(bench.camera.list.failures, 0);
});

test('a remembered camera is called without a word before', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  await bench.start();
  await bench.admitted('in');
  bench.call();
  await until('the call at the camera', () => bench.incoming.length > 0);
  assert.equal(bench.post.published.length, 1);
  assert.equal(bench.incoming[0]!.kind, 'call');
});

test('who is on the list is let in without code or memory', async () => {
  const bench = await SignallingBench.create({ listed: true });
  await bench.start();
  await bench.admitted('in');
  assert.deepEqual(bench.states, ['code-needed', 'in']);
});

test('a wrong code costs one attempt, however often the connection breaks and however long one waits', async () => {
  const bench = await SignallingBench.create({ code: randomCode() });
  await bench.start();
  await until('the hello at the camera', () => bench.camera.list.failures > 0);
  bench.timer.advance(6000);
  assert.equal(bench.states.at(-1), 'silent');
  for (let turn = 0; turn < 5; turn++) {
    bench.post.events!.lost('closed');
    bench.post.events!.online(new Set());
    bench.timer.advance(60_000);
    await bench.quiet();
  }
  assert.equal(bench.camera.list.failures, 1);
});

test('a hello that got lost is sent again as it was, and still lets in', async () => {
  const bench = await SignallingBench.create({ code: 'label' });
  bench.post.lossy = true;
  await bench.start();
  await until('the first hello', () => bench.post.published.length === 1);
  bench.post.lossy = false;
  bench.timer.advance(6000);
  assert.equal(bench.states.at(-1), 'silent');
  await bench.admitted('in');
  assert.deepEqual(bench.post.published[0], bench.post.published[1]);
});

test('a code that no longer counts is refused in the camera’s words, and not tried again', async () => {
  const bench = await SignallingBench.create({ code: 'label' });
  const refusal = { code: 'pairing.closed', message: 'this camera has an owner' };
  bench.camera.list.spent.push({ code: bench.camera.list.open.pop()!.code, refusal });
  await bench.start();
  await bench.admitted('refused');
  const sent = bench.post.published.length;
  bench.timer.advance(60_000);
  await bench.quiet();
  assert.equal(bench.post.published.length, sent);
});

test('the word of being let in got lost: the viewer asks, and is in', async () => {
  const bench = await SignallingBench.create({ code: 'label' });
  bench.lost = 'paired';
  await bench.start();
  await until('the camera has let it in', () => bench.camera.list.people.size === 1);
  await bench.quiet();
  assert.deepEqual(bench.states, ['pairing']);
  bench.timer.advance(6000);
  await bench.admitted('in');
  assert.ok(bench.rights?.includes('owner'));
  assert.deepEqual(bench.suspicions, []);
});

test('whoever is let in already is asked before a code is used', async () => {
  const bench = await SignallingBench.create({ remembered: true, code: 'label' });
  await bench.start();
  await bench.admitted('in');
  await bench.quiet();
  assert.equal(bench.post.published.length, 0);
  assert.equal(bench.code, 'unused');
  bench.signalling.pair();
  assert.equal(bench.code, 'trying');
  await until('more rights', () => bench.rights?.includes('owner'));
  assert.equal(bench.code, undefined);
});

test('after the camera’s restart the same call is sealed once more, in its order', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  bench.restartCamera();
  await bench.start();
  await bench.admitted('in');
  const call = bench.call();
  bench.signalling.send({ type: 'candidate', call, candidate: 'candidate:1', mid: '0' });
  await until('call and candidate', () => bench.incoming.length === 2);
  assert.deepEqual(
    bench.incoming.map(({ kind }) => kind),
    ['call', 'in-call'],
  );
  assert.deepEqual(bench.suspicions, []);
});

test('an answer is opened, a copy of it is refused and counted', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  await bench.start();
  await bench.admitted('in');
  const call = bench.call();
  await until('the call at the camera', () => bench.incoming.length > 0);
  const answer = await bench.talk.seal({ type: 'answer', call, sdp: 'v=0' });
  bench.deliver(answer);
  await until('the answer', () => bench.messages.length > 0);
  bench.deliver(answer);
  await until('the refusal', () => bench.suspicions.length > 0);
  assert.match(bench.suspicions[0]!, /seq/);
  assert.equal(bench.messages.length, 1);
});

test('what another camera says in its place is refused', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  await bench.start();
  await bench.admitted('in');
  bench.deliver(new TextEncoder().encode('{"type":"answer"}'));
  bench.deliver(new Uint8Array(200_000));
  await until('two refusals', () => bench.suspicions.length === 2);
  assert.deepEqual(bench.messages, []);
});

test('a camera that let this viewer go keeps its card, without rights', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  await bench.start();
  await bench.admitted('in');
  bench.signalling.lostAccess();
  await bench.admitted('out');
  assert.equal(bench.self.camera(bench.camera.uid)!.known.rights, undefined);
});

test('seals in the order of sending', async () => {
  const bench = await SignallingBench.create({ remembered: true });
  await bench.start();
  await bench.admitted('in');
  const call = bench.call();
  for (let index = 0; index < 8; index++) {
    bench.signalling.send({ type: 'candidate', call, candidate: `candidate:${index}`, mid: '0' });
  }
  await until('all of them', () => bench.incoming.length === 9);
  const seen = bench.incoming.slice(1).map((one) => (one.kind === 'in-call' ? one.message : undefined));
  assert.deepEqual(
    seen.map((message) => message?.type === 'candidate' && message.candidate),
    [0, 1, 2, 3, 4, 5, 6, 7].map((index) => `candidate:${index}`),
  );
});

test.run();
