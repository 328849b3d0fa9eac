import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatUid, uidFromKeyHash } from '#protocol/uid.ts';
import { groupTyped, groupTypedCode, readLabel } from '#viewer/label.ts';

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

test('keeps the code out of what it shows, and reads it as people write it', () => {
  for (const code of ['0123456789ABCDEF', '0123-4567-89ab-cdef', 'O123456789ABCDEF', '%30123456789ABCDEF']) {
    const label = readLabel(`https://cam.example/#${uid}.${code}`);
    assert.equal(label.typed, uid);
    assert.equal(label.code, '0123456789ABCDEF');
  }
  for (const text of [uid, `#${uid}.`, `#${uid}.0123`, `#${uid}.0123456789ABCDEF0`, `#${uid}.?123456789ABCDEF`]) {
    assert.equal(readLabel(text).code, undefined, text);
  }
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
  assert.equal(groupTypedCode('0123456789abcdefgh'), '0123-4567-89AB-CDEF');
});

test.run();
