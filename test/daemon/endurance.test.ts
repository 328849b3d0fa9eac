// time limit: 600 s
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { usageOf } from '../support/process-usage.ts';
import { until } from '../support/wait.ts';
import { startWhepCamera, type WhepCamera } from '../support/whep-camera.ts';
import { WhepViewer } from '../support/whep-viewer.ts';

/** The first cycles fill caches and let V8's heap find its level; what grows after them grows for ever. */
const WARM_UP = 900;
const CYCLES = 500;
/** Also how many HTTP connections the test's own client keeps open, now more, now fewer. */
const AT_ONCE = 4;
/** One forgotten track, channel or peer costs 33 KB of native memory, 16 MB over the cycles. */
const RSS_ALLOWANCE = 12_000_000;
const MAPS_ALLOWANCE = 150;

const test = suite('endurance');
let running: WhepCamera;
let camera: WhepCamera['camera'];
let target: WhepCamera['target'];

test.before(async () => {
  running = await startWhepCamera('endurance');
  ({ camera, target } = running);
});

test.after(async () => {
  await running.stop();
  // The WebRTC library's threads keep a process that has nothing left to do for a minute.
  setTimeout(() => process.exit(), 2_000).unref();
});

test('500 viewers come and go, and nothing of them stays', async () => {
  // One watches all the time, so that the encoder's own starts and stops do not blur the picture.
  const constant = new WhepViewer(target, { keep: 10 });
  await constant.watch();
  try {
    const peak = await comeAndGo(WARM_UP);
    const before = await atRest();
    await comeAndGo(CYCLES);
    const after = await atRest();
    console.log(`\n  peak before ${peak} bytes`);
    console.log(`  before ${JSON.stringify(before)}\n  after  ${JSON.stringify(after)}`);
    assert.ok(after.fds - before.fds <= AT_ONCE, `file descriptors grew from ${before.fds} to ${after.fds}`);
    assert.equal(after.threads, before.threads, 'threads');
    assert.ok(after.maps - before.maps < MAPS_ALLOWANCE, `memory maps grew from ${before.maps} to ${after.maps}`);
    // V8 collects what sessions leave in its own time: RSS climbs and falls back, so its peaks are what must not grow.
    assert.ok(after.rss - peak < RSS_ALLOWANCE, `memory grew from at most ${peak} to ${after.rss} bytes`);
    assert.equal(constant.gaps, 0, 'the one that stayed missed nothing');
  } finally {
    await constant.leave();
  }
});

test.run();

/** Resolves with the highest RSS seen, bytes. */
async function comeAndGo(times: number): Promise<number> {
  let peak = 0;
  for (let done = 0; done < times; done += AT_ONCE) {
    const ended = sessionsEnded();
    // Every kind of leaving: with a goodbye, and, now and then since the camera only notices by the silence, just gone.
    const goodbye = done % 300 !== 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        const viewer = new WhepViewer(target, { keep: 10 });
        await viewer.watch();
        if (goodbye) await viewer.leave();
        else viewer.close();
      }),
    );
    await until('the camera has noticed that they left', () => sessionsEnded() === ended + AT_ONCE, 20_000);
    peak = Math.max(peak, usageOf(camera.pid).rss);
  }
  return peak;
}

function sessionsEnded(): number {
  return camera.log().match(/viewer left/g)?.length ?? 0;
}

/** What the daemon holds when nothing is under way any more. */
async function atRest() {
  let last = usageOf(camera.pid);
  await until('its descriptors and threads are at rest', async () => {
    const now = usageOf(camera.pid);
    const rests = now.fds === last.fds && now.threads === last.threads;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 500));
    return rests;
  });
  return last;
}
