import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { deviceName } from '#viewer/device-name.ts';

const test = suite('device name');

const cases = [
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1',
    'Safari on iPhone',
  ],
  [
    'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36',
    'Chrome on Android',
  ],
  ['Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0', 'Firefox on Linux'],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0',
    'Edge on Windows',
  ],
  [
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
    'Safari on Mac',
  ],
  ['something else', 'A browser'],
] as const;

for (const [userAgent, expected] of cases) {
  test(expected, () => assert.equal(deviceName({ userAgent }), expected));
}

test('believes the client hints more than the old string', () => {
  const userAgentData = { platform: 'Windows', brands: [{ brand: 'Not;A=Brand' }, { brand: 'Microsoft Edge' }] };
  assert.equal(deviceName({ userAgent: 'Chrome/130', userAgentData }), 'Edge on Windows');
});

test.run();
