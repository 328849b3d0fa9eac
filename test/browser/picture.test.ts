// time limit: 180 s
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Home } from './home.ts';
import { countFrames } from './viewer-page.ts';

const test = suite('picture');
const CLIP_FRAMES = 300;

let home: Home;

test.before(async () => {
  home = await Home.start();
});

test.after(() => home.stop());

test('plays: every frame in order, the size is right, and it moves', async () => {
  const viewer = await home.open();
  await viewer.waitFor('live');
  assert.deepEqual(await viewer.pictureSize(), { width: 1280, height: 720 });
  const watched = await viewer.watch(5000);
  const { passed, missed } = countFrames(watched.numbers, CLIP_FRAMES);
  assert.equal(watched.unreadable, 0, 'every barcode is readable');
  assert.ok(passed >= 130, `${passed} frames went by in 5 s of a picture with 30 a second`);
  // A busy machine shows fewer frames than it decodes.
  assert.ok(missed <= passed / 4, `${missed} of ${passed} frames were not shown`);
  assert.ok(watched.motion > 200, `only ${watched.motion} pixels changed`);
  assert.equal((await viewer.state()).verified, 'certificate');
  assert.deepEqual(viewer.errors, []);
  await viewer.close();
});

test('says how it travels and how old it is', async () => {
  const viewer = await home.open();
  await viewer.waitFor('live');
  await viewer.waitForText(/Latency\n[1-9]\d* ms/);
  await viewer.waitForText(/Frame rate\n(29|30|31) fps/);
  assert.equal((await viewer.state()).path, 'lan');
  const text = await viewer.text();
  assert.match(text, /Garden/);
  assert.match(text, /Path\nLAN/);
  assert.match(text, /Resolution\n1280 × 720/);
  const latency = Number(/Latency\n(\d+) ms/.exec(text)?.[1]);
  assert.ok(latency > 0 && latency < 250, `latency ${latency} ms`);
  const kbits = Number(/Bitrate\n(\d+) kbit\/s/.exec(text)?.[1]);
  assert.ok(kbits > 200 && kbits < 1000, `bitrate ${kbits} kbit/s`);
  await viewer.page.getByRole('button', { name: 'Details' }).click();
  await viewer.waitForText(/Watching now\s+only you/);
  await viewer.close();
});

test('three viewers at once see the same picture, and know of each other', async () => {
  const viewers = [await home.guest(), await home.guest(), await home.open()];
  await Promise.all(viewers.map((viewer) => viewer.waitFor('live')));
  const all = await Promise.all(viewers.map((viewer) => viewer.watch(4000)));
  // How many frames a busy machine shows is its own affair; what it shows is the camera's, in order, and now.
  for (const { numbers } of all) {
    const { passed, missed } = countFrames(numbers, CLIP_FRAMES);
    assert.ok(numbers.length >= 10, `only ${numbers.length} frames in 4 s`);
    assert.ok(passed < CLIP_FRAMES, `${passed} frames went by in 4 s (${missed} not shown): the order is wrong`);
    const others = all.flatMap((other) => (other.numbers === numbers ? [] : other.numbers));
    assert.ok(
      numbers.some((number) => others.includes(number)),
      'two viewers see different pictures',
    );
  }
  const owner = viewers.at(-1)!;
  await owner.page.getByRole('button', { name: 'Details' }).click();
  await owner.waitForText(/Watching now\s+3 viewers/, 20_000);
  await Promise.all(viewers.map((viewer) => viewer.close()));
});

test('a viewer on a thin link does not slow the others', async () => {
  const good = await home.open();
  await good.waitFor('live');
  const alone = await good.watch(3000);
  // Half of what the picture needs.
  const thin = await home.open({ bytesPerSecond: 40_000 });
  await thin.waitFor('live', 40_000);
  const [seenThin, seenGood] = await Promise.all([thin.watch(6000), good.watch(6000)]);
  const { passed } = countFrames(seenGood.numbers, CLIP_FRAMES);
  assert.ok(seenThin.numbers.length < 120, `the thin link is no hindrance: ${seenThin.numbers.length} frames in 6 s`);
  // Two software decoders share this machine, and how many frames they show is its own affair: what the camera owes
  // is that frame after frame goes by, without standing still for longer than it did alone.
  assert.ok(passed >= 100, `${passed} frames went by at the good one in 6 s`);
  const longestMs = Math.max(700, 3 * alone.longestGapMs);
  assert.ok(seenGood.longestGapMs < longestMs, `the good one stood still for ${seenGood.longestGapMs} ms`);
  await thin.close();
  await good.close();
});

test.run();
