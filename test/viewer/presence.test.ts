import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { newSigningKey } from '#identity/keys.ts';
import { ViewerParley } from '#identity/viewer-parley.ts';
import { PresenceWatch } from '#viewer/connection/presence.ts';
import { Self } from '#viewer/memory/self.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { cameraParty, exchange, type TestParty } from '../support/parley.ts';
import { until } from '../support/wait.ts';
import { MemoryStore } from './memory-store.ts';
import { FakePost } from './signalling-bench.ts';

const test = suite('presence of remembered cameras');

/** A viewer that two cameras have let in, and its start page. */
async function startPage() {
  const store = new MemoryStore();
  const key = await newSigningKey();
  await store.offerKey(key);
  const self = await Self.load(async () => store);
  const cameras = [await cameraParty(), await cameraParty()] as const;
  for (const camera of cameras) {
    camera.list.people.set(key.thumbprint, { rights: ['view'] });
    const viewer = new ViewerParley({ uid: camera.uid, key, changed: (known) => self.learn(known) });
    await exchange(camera, viewer, await viewer.hello());
  }
  const switchedOn = new Set<TestParty>(cameras);
  const post = new FakePost(async (payload) => {
    for (const { parley } of switchedOn) {
      const incoming = await parley.receive(payload).catch(() => undefined);
      if (incoming?.kind === 'reply') post.events?.mail(incoming.payload);
    }
  });
  const timer = new FakeClock();
  const watch = new PresenceWatch({ self, post, timer });
  const stateOf = ({ uid }: TestParty) => watch.presences.value.get(uid)?.state;
  return { cameras, switchedOn, post, timer, watch, stateOf };
}

test('is read where the server lets this viewer, and asked of the camera where not', async () => {
  const { cameras, post, watch, stateOf } = await startPage();
  const [readable, asked] = cameras;
  watch.start();
  post.events!.online(new Set([readable.uid]));
  assert.equal(stateOf(readable), 'asking');
  post.events!.status(readable.uid, { state: 'offline', since: 1234 }, false);
  assert.deepEqual(watch.presences.value.get(readable.uid), { state: 'offline', since: 1234, reason: undefined });
  await until('the answer of the other one', () => stateOf(asked) === 'online');
  assert.equal(post.published.length, 1);
  assert.equal(post.renewals, 1, 'a token that lists both is asked for, once');
});

test('a camera that does not answer is not called online', async () => {
  const { cameras, switchedOn, post, timer, watch, stateOf } = await startPage();
  switchedOn.clear();
  watch.start();
  post.events!.online(new Set());
  await until('both to be asked', () => post.published.length === 2);
  timer.advance(4000);
  assert.deepEqual(cameras.map(stateOf), ['unknown', 'unknown']);
  post.events!.lost('closed');
  assert.deepEqual(cameras.map(stateOf), ['no-server', 'no-server']);
  watch.stop();
  assert.equal(timer.pending, 0);
});

test.run();
