import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatUid, uidFromKeyHash } from '#protocol/uid.ts';
import { groupTyped, readLabel } from '#viewer/label.ts';

const test = suite('label');
const uid = uidFromKeyHash(new Uint8Array(32).map((_, index) => index * 7));

test('reads the QR code, the link and what a person types', () => {
  for (const text of [
    uid,
    formatUid(uid),
    formatUid(uid).toLowerCase(),
    `#${uid}`,
    `#${uid}.0123456789ABCDEF`,
    `https://cam.example/#${formatUid(uid)}.0123456789ABCDEF`,
    `  ${uid.replaceAll('0', 'O')}  `,
    `#${encodeURIComponent(`${uid} `)}`,
  ]) {
    assert.equal(readLabel(text).uid, uid, text);
  }
});

test('keeps the setup code out of what it shows, and in what it passes on', () => {
  const label = readLabel(`https://cam.example/#${uid}.0123456789ABCDEF`);
  assert.equal(label.typed, uid);
  assert.equal(label.fragment, `${uid}.0123456789ABCDEF`);
});

test('finds a mistyped UID before anything is sent', () => {
  const wrong = `${uid.slice(0, 19)}${uid.endsWith('7') ? '8' : '7'}`;
  assert.equal(readLabel(wrong).uid, undefined);
  assert.equal(readLabel('').uid, undefined);
  assert.equal(readLabel('#%E0%A4%A').uid, undefined);
});

test('groups what is typed as on the label', () => {
  assert.equal(groupTyped('abcde'), 'ABCDE');
  assert.equal(groupTyped('abcdef'), 'ABCDE-F');
  assert.equal(groupTyped(`${uid}toolong`), formatUid(uid));
});

test.run();
