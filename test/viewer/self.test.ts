import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { KnownCamera } from '#identity/viewer-parley.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';
import { Self } from '#viewer/memory/self.ts';
import { MemoryStore } from './memory-store.ts';

const test = suite('memory');

const uidOf = (seed: number): Uid => uidFromKeyHash(new Uint8Array(32).fill(seed));
const key = { kty: 'EC', crv: 'P-256', x: `${'x'.repeat(42)}w`, y: `${'y'.repeat(42)}w` } as const;
const known = (seed: number, more: Partial<KnownCamera> = {}): KnownCamera => ({
  uid: uidOf(seed),
  key,
  sealing: key,
  epoch: 'e'.repeat(22),
  clockOffset: 0,
  rights: ['view'],
  grant: 'a.b.c',
  name: `Camera ${seed}`,
  ...more,
});

test('the key stays the same from visit to visit, and cannot be taken out', async () => {
  const store = new MemoryStore();
  const first = await Self.load(async () => store);
  const second = await Self.load(async () => store);
  assert.equal(second.key.thumbprint, first.key.thumbprint);
  assert.equal(second.lasting, true);
  assert.equal(first.key.privateKey.extractable, false);
});

test('two tabs that open at once agree on one key', async () => {
  const store = new MemoryStore();
  const [one, other] = await Promise.all([Self.load(async () => store), Self.load(async () => store)]);
  assert.equal(one.key.thumbprint, other.key.thumbprint);
});

test('a browser that keeps nothing still works, and says so', async () => {
  const { warn } = console;
  console.warn = () => {};
  const self = await Self.load(() => Promise.reject(new Error('denied')));
  console.warn = warn;
  assert.equal(self.lasting, false);
  self.learn(known(1));
  assert.equal(self.cameras.value.length, 1);
});

test('cameras that let this viewer in are kept, those seen last first', async () => {
  const store = new MemoryStore();
  let now = 1000;
  const self = await Self.load(
    async () => store,
    () => now,
  );
  self.learn(known(1));
  self.learn(known(2));
  self.learn(known(3, { rights: undefined, grant: undefined }));
  now = 2000;
  self.saw(uidOf(1), 'Garden');
  const again = await Self.load(async () => store);
  assert.deepEqual(
    again.cameras.value.map(({ name, lastSeenAt }) => [name, lastSeenAt]),
    [
      ['Garden', 2000],
      ['Camera 2', 0],
    ],
  );
});

test('rights and names follow the camera; lost access leaves the card; forgetting removes it', async () => {
  const store = new MemoryStore();
  const self = await Self.load(async () => store);
  self.learn(known(1));
  self.renamed(uidOf(1), 'Front door');
  self.rightsChanged(uidOf(1), ['view', 'ptz']);
  assert.equal(self.camera(uidOf(1))!.name, 'Front door');
  assert.deepEqual(self.camera(uidOf(1))!.known.rights, ['view', 'ptz']);
  self.lostAccess(uidOf(1));
  assert.equal(self.camera(uidOf(1))!.known.rights, undefined);
  assert.equal(self.camera(uidOf(1))!.known.grant, undefined);
  self.forget(uidOf(1));
  assert.deepEqual(self.cameras.value, []);
  assert.equal(store.cameras.size, 0);
});

test.run();
