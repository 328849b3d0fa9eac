// time limit: 240 s
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Home } from './home.ts';
import type { ViewerPage } from './viewer-page.ts';

const test = suite('recovery');

let home: Home;
let viewer: ViewerPage;

test.before(async () => {
  home = await Home.start();
});

test.after(() => home.stop());

test.before.each(async () => {
  viewer = await home.open();
  await viewer.waitFor('live');
  // Whatever happens from here on happens without a reload.
  await viewer.page.evaluate(() => {
    document.documentElement.dataset.opened = 'once';
  });
});

test.after.each(async () => {
  assert.equal(
    await viewer.page.evaluate(() => document.documentElement.dataset.opened),
    'once',
    'the page was reloaded',
  );
  await viewer.close();
});

/** Whether the picture moves: shows at least ten frames within two seconds. */
async function moves(): Promise<void> {
  const { numbers } = await viewer.watch(2000);
  assert.ok(numbers.length >= 10, `${numbers.length} frames in 2 s`);
}

test('plays on while the server is away, and knows when it is back', async () => {
  await home.server.kill();
  await viewer.page.getByRole('button', { name: 'Details' }).click();
  await viewer.waitForText(/Server\s+not reached/);
  const { longestGapMs } = await viewer.watch(4000);
  assert.ok(longestGapMs < 1000, `the picture stood still for ${longestGapMs} ms`);
  assert.equal((await viewer.state()).state, 'live');
  await home.restartServer();
  await viewer.waitForText(/Server\s+connected/, 20_000);
  const back = await viewer.watch(4000);
  assert.ok(back.longestGapMs < 1000, `the picture stood still for ${back.longestGapMs} ms`);
});

test('a camera that is restarted properly says so, and its picture comes back', async () => {
  await home.camera.stop();
  await viewer.waitFor('leaving');
  await viewer.waitForText(/The camera is stopping/);
  await home.restartCamera();
  await viewer.waitFor('live', 10_000);
  await moves();
});

test('a camera that loses its power is called offline, since when, and its picture comes back', async () => {
  await home.camera.kill();
  await viewer.waitFor('offline', 10_000);
  const text = await viewer.text();
  assert.match(text, /This camera is offline since \d\d:\d\d/);
  await home.restartCamera();
  await viewer.waitFor('live', 10_000);
  await moves();
});

test('server and camera both restarted: the picture comes back by itself', async () => {
  await Promise.all([home.camera.kill(), home.server.kill()]);
  await viewer.waitFor('server-unreachable', 20_000);
  await viewer.waitForText(/The server cannot be reached/);
  await home.restartServer();
  await home.restartCamera();
  await viewer.waitFor('live', 30_000);
  await moves();
});

test('a session that dies in silence is replaced by a new one', async () => {
  // A camera process that stands still sends nothing and closes nothing, and the broker has not noticed yet.
  process.kill(home.camera.pid, 'SIGSTOP');
  await viewer.waitFor('reconnecting', 10_000);
  process.kill(home.camera.pid, 'SIGCONT');
  await viewer.waitFor('live', 20_000);
  await moves();
});

test.run();
