// time limit: 240 s
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { newSigningKey } from '#identity/keys.ts';
import { cameraParty, pairedViewer } from '../support/parley.ts';
import { Judge } from '../support/trust-judge.ts';
import { MaliciousPost } from '../support/trust-post.ts';
import { SeededRandom } from '../support/trust-random.ts';
import { type Letter, WorldCamera, WorldPage } from '../support/trust-world.ts';

/**
 * A malicious server between four cameras and six viewers, in one process, with the product's own parleys and real
 * keys: it does to 10,000 messages whatever a server can, at random. Honest parties know what they said to whom, and a
 * judge compares.
 */
const CAMERAS = 4;
const VIEWERS = 6;
const ATTEMPTS = 10_000;
const test = suite('a malicious server');

test('10,000 attacks: nobody takes what was not said to them, nobody comes in, nothing can be read', async () => {
  const { random, judge, cameras, pages, post } = await makeWorld();
  while (post.attempts < ATTEMPTS) {
    await random.pick(pages).speak(random.below(1000));
    await random.pick(cameras).speak(random.below(1000));
    await post.work();
    if (random.chance(0.01)) random.pick(pages).reload();
    if (random.chance(0.003)) random.pick(cameras).revoke(random.pick(pages).viewer.thumbprint);
  }
  const rows = [...post.attacks].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [kind, { attempts, refused }] of rows) {
    console.log(`  ${String(attempts).padStart(5)}  ${kind}: ${refused} refused with a word in the log`);
  }
  console.log(`  carried honestly meanwhile: ${post.carriedHonestly}; taken rightly: ${judge.taken}`);
  console.log(`  payloads searched for SDP, names, codes and grants: ${judge.payloadsSearched}`);
  console.log(`attempts: ${post.attempts} in ${rows.length} kinds, accepted wrongly: ${judge.wrongs.length}`);
  assert.deepEqual(judge.wrongs.slice(0, 5), []);
  // Each kind was really tried, and the honest were not simply deaf.
  for (const [kind, { attempts }] of rows) assert.ok(attempts > 50, `${kind}: ${attempts} attempts`);
  assert.ok(judge.taken > 500, `only ${judge.taken} messages were taken`);

  // The server turns honest: everybody is heard again.
  post.reform();
  for (const page of pages) {
    page.reload();
    const before = judge.taken;
    for (let step = 0; step < 8; step++) {
      await page.speak(3);
      await post.work();
      await page.camera.speak(-1);
      await post.work();
    }
    assert.ok(judge.taken > before + 2, 'a viewer and its camera do not find each other again');
  }
  assert.deepEqual(judge.wrongs.slice(0, 5), []);
});

test('a clock that is turned forth and back opens no call twice', async () => {
  const camera = await cameraParty();
  const viewer = await pairedViewer(camera);
  const call = await viewer.sealCall({ type: 'call', call: 'call-0123456789abcdef', sdp: 'v=0' });
  assert.equal((await camera.parley.receive(call)).kind, 'call');
  // An hour ahead, as by a forged network time: what was remembered of the call need not be any more.
  camera.clock.now += 3_600_000;
  await camera.parley.receive(await viewer.sealCall({ type: 'call', call: 'call-1123456789abcdef', sdp: 'v=0' }));
  camera.clock.now -= 3_600_000;
  const replayed = await camera.parley.receive(call);
  assert.equal(replayed.kind === 'reply' && replayed.event, 'stale');
  // The viewer is told, and its next call is taken.
  const again = await viewer.sealCall({ type: 'call', call: 'call-2123456789abcdef', sdp: 'v=0' });
  const stale = await camera.parley.receive(again);
  assert.ok(stale.kind === 'reply');
  assert.equal((await viewer.open(stale.payload))?.kind, 'stale');
  const anew = await viewer.sealCall({ type: 'call', call: 'call-2123456789abcdef', sdp: 'v=0' });
  assert.equal((await camera.parley.receive(anew)).kind, 'call');
});

test('the judge notices what this is about', async () => {
  const judge = new Judge();
  judge.says('an answer', { uid: 'A', viewer: 'V', call: 'C', to: 'an offer' });
  judge.takes('a viewer', 'an answer', { uid: 'A', viewer: 'V', call: 'C', to: 'an offer' });
  assert.equal(judge.wrongs.length, 0);
  judge.takes('a viewer', 'an answer', { uid: 'A', viewer: 'V', call: 'C', to: 'an offer' });
  judge.takes('a viewer', 'never said', { uid: 'A', viewer: 'V', call: 'C' });
  judge.admitted('V', 'a code');
  judge.keepSecret('secret');
  judge.search(new TextEncoder().encode(`x.${Buffer.from('a secret').toString('base64url')}.y`));
  assert.equal(judge.wrongs.length, 4);
  judge.says('another answer', { uid: 'A', viewer: 'V', call: 'C', to: 'an offer' });
  judge.takes('a viewer', 'another answer', { uid: 'A', viewer: 'W', call: 'D', to: 'another offer' });
  assert.equal(judge.wrongs.length, 7);
});

async function makeWorld() {
  const random = new SeededRandom();
  console.log(`seed: ${random.seed} (PEERCAM_SEED=${random.seed} repeats the choices)`);
  const judge = new Judge();
  // Post and parties know each other: what is said before the post is there waits for nothing.
  const carriers: ((letter: Letter) => void)[] = [];
  const world = { judge, carry: (letter: Letter) => carriers[0]!(letter) };
  const cameras: WorldCamera[] = [];
  for (let i = 0; i < CAMERAS; i++) cameras.push(await WorldCamera.create(world));
  const pages: WorldPage[] = [];
  for (let i = 0; i < VIEWERS; i++) {
    const viewer = await newSigningKey();
    // Two cameras each; every third viewer has two pages open at one of them.
    const watched = [cameras[i % CAMERAS]!, cameras[(i + 1) % CAMERAS]!];
    if (i % 3 === 0) watched.push(watched[0]!);
    for (const camera of watched) pages.push(new WorldPage(world, { viewer, camera }));
  }
  const post = await MaliciousPost.create({ judge, random, cameras, pages });
  carriers.push(post.take);
  return { random, judge, cameras, pages, post };
}

test.run();
