import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { AppError } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { SupervisedSource } from '#media/supervised-source.ts';
import type { VideoSink, VideoSource, VideoSourceInfo } from '#media/video-source.ts';
import { slice } from '../support/access-units.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { RecordingLogger } from '../support/recording-logger.ts';

const INFO: VideoSourceInfo = {
  width: 1280,
  height: 720,
  frameRate: 30,
  canForceKeyFrame: true,
  canSetBitrate: true,
  description: 'a test encoder',
};

/** An encoder whose starts the test answers. */
class ScriptedSource implements VideoSource {
  readonly spec = 'scripted';
  readonly log: string[] = [];
  sink: VideoSink | undefined;
  /** What the next starts do; without an entry they succeed. */
  plan: (AppError | Partial<VideoSourceInfo> | 'wait')[] = [];
  private waiting: { resolve(info: VideoSourceInfo): void; reject(error: AppError): void } | undefined;

  async start(sink: VideoSink): Promise<VideoSourceInfo> {
    this.log.push('start');
    this.sink = sink;
    const next = this.plan.shift() ?? {};
    if (next instanceof AppError) throw next;
    if (next === 'wait') return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
    return { ...INFO, ...next };
  }

  async stop(): Promise<void> {
    this.log.push('stop');
    this.waiting?.reject(new AppError('source.stopped', 'stopped while it started'));
    this.waiting = undefined;
  }

  resolveStart(): void {
    this.waiting?.resolve(INFO);
    this.waiting = undefined;
  }

  requestKeyFrame(): void {
    this.log.push('idr');
  }

  setBitrate(): void {}
}

function setUp() {
  const source = new ScriptedSource();
  const clock = new FakeClock();
  const log = new RecordingLogger();
  // Without jitter: delays are half of the full ones.
  const supervised = new SupervisedSource({ source, clock, log, random: () => 0 });
  const states: string[] = [];
  supervised.onState(() => states.push(supervised.state));
  const units: AccessUnit[] = [];
  const start = () => supervised.start((unit) => units.push(unit));
  /** Lets ms pass with a frame every 33 ms. */
  const play = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 33) {
      source.sink?.accessUnit(slice({ idr: passed === 0 }));
      clock.advance(33);
    }
  };
  return { source, clock, log, supervised, states, units, start, play };
}

/** Lets every promise that can settle do so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const unplugged = () => new AppError('source.device-missing', 'The camera is not plugged in.');
const crashed = () => new AppError('source.command-ended', 'It ended with exit code 1.', { retry: true });

const test = suite('supervised source');

test('is live with the first picture, not with the start, and says what it is', async () => {
  const { source, supervised, states, units, start, log, clock } = setUp();
  assert.equal(supervised.state, 'idle');
  start();
  await settled();
  assert.equal(supervised.state, 'starting');
  assert.equal(supervised.canForceKeyFrame, false);
  clock.advance(100);
  source.sink!.accessUnit(slice({ idr: true }));
  source.sink!.accessUnit(slice());
  assert.deepEqual(states, ['starting', 'live']);
  assert.equal(units.length, 2);
  assert.equal(supervised.info?.description, 'a test encoder');
  assert.equal(supervised.canForceKeyFrame, true);
  assert.ok(log.find(/is live: a test encoder, 1280x720, 30 fps/));
});

test('one that delivers before its start has resolved is live when it has', async () => {
  const { source, supervised, units, start } = setUp();
  source.plan = ['wait'];
  start();
  await settled();
  source.sink!.accessUnit(slice({ idr: true }));
  assert.equal(supervised.state, 'starting');
  source.resolveStart();
  await settled();
  assert.equal(supervised.state, 'live');
  assert.equal(units.length, 1);
});

test('one that fails comes back by itself, later and later, and says why it is down', async () => {
  const { source, supervised, states, start, clock, play, log } = setUp();
  source.plan = [crashed(), crashed(), crashed()];
  start();
  await settled();
  assert.equal(supervised.state, 'down');
  assert.equal(supervised.error?.code, 'source.command-ended');
  const starts = () => source.log.filter((entry) => entry === 'start').length;
  for (const delay of [250, 500, 1000]) {
    const before = starts();
    clock.advance(delay - 1);
    await settled();
    assert.equal(starts(), before, `not before ${delay} ms`);
    clock.advance(1);
    await settled();
    assert.equal(starts(), before + 1, `after ${delay} ms`);
  }
  play(40);
  assert.deepEqual(states, ['starting', 'down', 'down', 'down', 'live']);
  assert.equal(supervised.error, undefined);
  const warnings = log.lines.filter(({ level }) => level === 'warn');
  assert.equal(warnings.length, 1, 'the same failure again is no news');
  assert.match(warnings[0]!.message, /scripted is down: It ended with exit code 1\. \(next try in 0\.3 s\)/);
  assert.ok(log.find(/is live again after 1\.8 s/));
});

test('one that dies while live is started again; short lives do not reset the delay, long ones do', async () => {
  const { source, supervised, units, start, clock, play } = setUp();
  start();
  for (const delay of [250, 500, 1000]) {
    await settled();
    play(100);
    source.sink!.failed(crashed());
    assert.equal(supervised.state, 'down');
    await settled();
    clock.advance(delay - 1);
    await settled();
    assert.equal(source.log.at(-1), 'stop', `nothing before ${delay} ms`);
    clock.advance(1);
  }
  await settled();
  play(11_000);
  source.sink!.failed(crashed());
  await settled();
  clock.advance(250);
  await settled();
  assert.equal(source.log.at(-1), 'start');
  play(33);
  assert.equal(supervised.state, 'live');
  assert.ok(units.length > 300);
});

test('where trying again needs a person, it is tried slowly', async () => {
  const { source, supervised, start, clock, play } = setUp();
  source.plan = Array.from({ length: 10 }, unplugged);
  start();
  const starts = () => source.log.filter((entry) => entry === 'start').length;
  const delays: number[] = [];
  await settled();
  for (let i = 0; i < 8; i++) {
    const before = starts();
    const from = clock.now();
    while (starts() === before) {
      clock.advance(500);
      await settled();
    }
    delays.push((clock.now() - from) / 1000);
  }
  assert.deepEqual(delays, [2.5, 5, 10, 20, 30, 30, 30, 30]);
  source.plan = [];
  clock.advance(30_000);
  await settled();
  play(33);
  assert.equal(supervised.state, 'live');
});

test('a silent one is stopped and started again, and says so', async () => {
  const { source, supervised, start, clock, play, log, states } = setUp();
  start();
  await settled();
  play(1000);
  clock.advance(1960);
  assert.equal(supervised.state, 'live');
  clock.advance(40);
  assert.equal(supervised.state, 'down');
  assert.equal(supervised.error?.code, 'source.stalled');
  assert.match(log.find(/is down/)!.message, /has sent no picture for 2\.0 s/);
  await settled();
  clock.advance(250);
  await settled();
  assert.deepEqual(source.log, ['start', 'stop', 'start']);
  play(33);
  assert.deepEqual(states, ['starting', 'live', 'down', 'live']);
});

test('one that never sends a picture is silent too; a slow one is given ten frame intervals', async () => {
  const { source, supervised, start, clock } = setUp();
  source.plan = [{}, { frameRate: 1 }];
  start();
  await settled();
  clock.advance(2000);
  assert.equal(supervised.error?.code, 'source.stalled');
  await settled();
  clock.advance(250);
  await settled();
  source.sink!.accessUnit(slice({ idr: true }));
  clock.advance(9999);
  assert.equal(supervised.state, 'live');
  clock.advance(1);
  assert.equal(supervised.state, 'down');
});

test('after stop nothing comes: no picture, no failure, no new start', async () => {
  const { source, supervised, units, start, clock, play, states } = setUp();
  start();
  await settled();
  play(100);
  const count = units.length;
  const stopping = supervised.stop();
  assert.equal(supervised.state, 'idle');
  source.sink!.accessUnit(slice());
  source.sink!.failed(crashed());
  await stopping;
  clock.advance(120_000);
  await settled();
  assert.equal(units.length, count);
  assert.deepEqual(source.log, ['start', 'stop']);
  assert.deepEqual(states, ['starting', 'live', 'idle']);
  assert.equal(clock.pending, 0);
});

test('stop during a start ends it', async () => {
  const { source, supervised, start, states, clock } = setUp();
  source.plan = ['wait'];
  start();
  await settled();
  await supervised.stop();
  assert.equal(supervised.state, 'idle');
  assert.equal(supervised.error, undefined);
  clock.advance(120_000);
  await settled();
  assert.equal(source.log.filter((entry) => entry === 'start').length, 1);
  assert.equal(source.log.at(-1), 'stop');
  assert.deepEqual(states, ['starting', 'idle']);
});

test('stop while it waits for its next try ends that', async () => {
  const { source, supervised, start, clock } = setUp();
  source.plan = [crashed()];
  start();
  await settled();
  await supervised.stop();
  clock.advance(120_000);
  await settled();
  assert.equal(source.log.filter((entry) => entry === 'start').length, 1);
  assert.equal(supervised.state, 'idle');
});

test('starts and stops in any order never overlap, and the last one counts', async () => {
  const { source, supervised, start, play, units } = setUp();
  source.plan = ['wait', 'wait'];
  start();
  const first = supervised.stop();
  start();
  start();
  const second = supervised.stop();
  start();
  await Promise.all([first, second]);
  source.resolveStart();
  await settled();
  source.resolveStart();
  await settled();
  play(33);
  assert.equal(supervised.state, 'live');
  assert.equal(units.length, 1);
  await supervised.stop();
  assert.equal(source.log.at(-1), 'stop');
});

test('a picture of an earlier start is not taken for one of this start', async () => {
  const { source, supervised, units, start } = setUp();
  start();
  await settled();
  const old = source.sink!;
  await supervised.stop();
  start();
  await settled();
  old.accessUnit(slice({ idr: true }));
  old.failed(crashed());
  assert.equal(units.length, 0);
  assert.equal(supervised.state, 'starting');
});

test('key frames are asked for only while it is live', async () => {
  const { source, supervised, start, play } = setUp();
  supervised.requestKeyFrame();
  start();
  supervised.requestKeyFrame();
  await settled();
  play(33);
  supervised.requestKeyFrame();
  assert.deepEqual(source.log, ['start', 'idr']);
});

test('a source that does not stop cleanly is logged, and started again all the same', async () => {
  const { source, supervised, start, log, play } = setUp();
  start();
  await settled();
  const stop = source.stop;
  source.stop = () => Promise.reject(new Error('stuck'));
  await supervised.stop();
  source.stop = stop;
  assert.ok(log.find(/did not stop cleanly/));
  start();
  await settled();
  play(33);
  assert.equal(supervised.state, 'live');
});

test('whoever no longer listens hears nothing', async () => {
  const { supervised, start } = setUp();
  let heard = 0;
  const off = supervised.onState(() => heard++);
  start();
  off();
  await supervised.stop();
  assert.equal(heard, 1);
});

test.run();
