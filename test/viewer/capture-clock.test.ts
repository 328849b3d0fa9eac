import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CaptureClock } from '#viewer/connection/capture-clock.ts';

const test = suite('capture clock');

test('knows nothing before its first reading', () => {
  assert.equal(new CaptureClock().ageMs(0, 0), undefined);
});

test('tells how long ago a picture was captured', () => {
  const clock = new CaptureClock();
  clock.add(90_000, 100, 120);
  // Captured 30 ms before the reading's middle (110 ms), displayed 5 ms after it.
  assert.equal(clock.ageMs(90_000 - 30 * 90, 115), 35);
});

test('believes the reading with the shortest round trip', () => {
  const clock = new CaptureClock();
  clock.add(0, 0, 2);
  clock.add(999_999, 1000, 1500);
  assert.equal(clock.ageMs(0, 1), 0);
});

test('goes on when the 32-bit counter wraps', () => {
  const clock = new CaptureClock();
  clock.add(90, 0, 0);
  assert.equal(clock.ageMs(0xffffffff - 89, 0), 2);
});

test.run();
