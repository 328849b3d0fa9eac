import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { silentLogger } from '#lib/logger.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { Hub } from '#media/hub.ts';
import type { Reader } from '#media/reader.ts';
import { slice } from '../support/access-units.ts';
import { FakeClock } from '../support/fake-clock.ts';

const LIMITS = { maxUnits: 30, maxBytes: 100_000 };
const test = suite('hub');

/** A hub over an encoder that the test plays. */
function setUp(options: { canForceKeyFrame?: boolean } = {}) {
  const clock = new FakeClock();
  const log: string[] = [];
  let deliver: ((unit: AccessUnit) => void) | undefined;
  const hub = new Hub({
    clock,
    log: silentLogger,
    parameterSets: { complete: (unit) => unit, clear: () => log.push('clear') },
    source: {
      canForceKeyFrame: options.canForceKeyFrame ?? true,
      start(sink) {
        log.push('start');
        deliver = sink;
      },
      async stop() {
        log.push('stop');
        deliver = undefined;
      },
      requestKeyFrame: () => log.push('idr'),
    },
  });
  const attach = (limits: Partial<typeof LIMITS> = {}): Reader =>
    hub.attach({ name: 'reader', ...LIMITS, ...limits, onReadable() {} });
  const feed = (...kinds: ('I' | 'P')[]) => {
    for (const kind of kinds) {
      deliver?.(slice({ idr: kind === 'I', timestampUs: Math.round(clock.now() * 1000) }));
      clock.advance(33);
    }
  };
  return { clock, log, hub, attach, feed };
}

/** What waits in a reader, as letters. */
function drain(reader: Reader): string {
  let text = '';
  for (let unit = reader.take(); unit; unit = reader.take()) text += unit.keyframe ? 'I' : 'P';
  return text;
}

test('the encoder runs only while somebody reads, and at most 10 s longer', () => {
  const { clock, log, hub, attach } = setUp();
  assert.equal(log.length, 0);
  const [one, two] = [attach(), attach()];
  assert.deepEqual(log.filter((entry) => entry === 'start').length, 1);
  one.detach();
  clock.advance(60_000);
  assert.ok(hub.active, 'one reader is left');
  two.detach();
  assert.ok(hub.active, 'a viewer that reloads the page finds it running');
  clock.advance(10_000);
  assert.ok(log.includes('stop'));
  assert.equal(clock.pending, 0);
});

test('a reader that comes back in time finds the encoder running', () => {
  const { clock, log, attach } = setUp();
  attach().detach();
  clock.advance(2_000);
  attach();
  clock.advance(60_000);
  assert.ok(!log.includes('stop'));
});

test('a hold starts the encoder and keeps it, and leaves no trace', () => {
  const { clock, log, hub } = setUp();
  const release = hub.hold();
  assert.ok(log.includes('start'));
  clock.advance(60_000);
  assert.ok(!log.includes('stop'));
  release();
  clock.advance(10_000);
  assert.ok(log.includes('stop'));
});

test('a reader opens with an IDR', () => {
  const { attach, feed } = setUp();
  const reader = attach();
  feed('P', 'P', 'I', 'P');
  assert.equal(drain(reader), 'IP');
});

test('a newcomer gets the pictures since a fresh IDR at once', () => {
  const { attach, feed } = setUp();
  attach();
  feed('I', 'P', 'P');
  assert.equal(drain(attach()), 'IPP');
});

test('past that, an encoder that can is asked for an IDR', () => {
  const { log, attach, feed } = setUp();
  attach();
  feed('I', ...Array<'P'>(20).fill('P'));
  const late = attach();
  assert.equal(drain(late), '');
  assert.equal(log.at(-1), 'idr');
  feed('I');
  assert.equal(drain(late), 'I');
});

test('an encoder that cannot make an IDR on request: newcomers and losers get the pictures since the last one', () => {
  const { clock, attach, feed } = setUp({ canForceKeyFrame: false });
  attach();
  feed('I', ...Array<'P'>(20).fill('P'));
  const late = attach();
  assert.equal(drain(late), `I${'P'.repeat(20)}`);
  late.recover();
  assert.equal(drain(late), `I${'P'.repeat(20)}`);
  late.recover();
  assert.equal(drain(late), '', 'not again within a second');
  clock.advance(1_000);
  late.recover();
  assert.equal(drain(late), `I${'P'.repeat(20)}`);
});

test('key-frame requests that come together become one, none is forgotten', () => {
  const { clock, log, attach, feed } = setUp();
  const readers = Array.from({ length: 5 }, () => attach());
  feed('I');
  clock.advance(1_000);
  log.length = 0;
  for (const reader of readers) for (let times = 0; times < 20; times++) reader.recover();
  assert.deepEqual(log, ['idr']);
  feed('I');
  for (const reader of readers) reader.recover();
  clock.advance(1_000);
  assert.deepEqual(log, ['idr', 'idr']);
});

test('a reader that falls behind is emptied and waits for the next IDR; the others notice nothing', () => {
  const { log, attach, feed } = setUp();
  const slow = attach({ maxUnits: 5 });
  const quick = attach();
  feed('I');
  let seen = '';
  for (let frame = 0; frame < 10; frame++) {
    feed('P');
    seen += drain(quick);
  }
  assert.equal(seen, `I${'P'.repeat(10)}`);
  assert.equal(drain(slow), '', 'no picture without its references');
  assert.equal(slow.stats.overflows, 1);
  assert.ok(log.includes('idr'));
  feed('I', 'P');
  assert.equal(drain(slow), 'IP');
});

test('the queue is bounded in bytes too', () => {
  const { attach, feed } = setUp();
  const reader = attach({ maxBytes: 350 });
  feed('I', 'P', 'P', 'P', 'P');
  assert.equal(drain(reader), '');
  assert.equal(reader.stats.overflows, 1);
});

test('nothing reaches a reader that has left', () => {
  const { attach, feed } = setUp();
  attach();
  const leaving = attach();
  feed('I');
  leaving.detach();
  leaving.detach();
  feed('P');
  assert.equal(drain(leaving), '');
});

test.run();
