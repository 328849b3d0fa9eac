// time limit: 240 s
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type Incoming, Refused } from '#identity/camera-parley.ts';
import { newSealingKey, newSigningKey, type SigningKey, uidOfKey } from '#identity/keys.ts';
import { pairingProofFits } from '#identity/pairing-proof.ts';
import { randomName, seal, sign, unseal, verify } from '#identity/seal.ts';
import { type News, ViewerParley } from '#identity/viewer-parley.ts';
import { labelAddress } from '#protocol/label.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { formatSetupCode, parseSetupCode, SETUP_CODE_BYTES, setupCodeFrom } from '#protocol/setup-code.ts';
import { cameraInbox, parseTopic, serverNotes, statusTopic, viewerInbox } from '#protocol/topics.ts';
import { formatUid, parseUid, uidFromKeyHash } from '#protocol/uid.ts';
import { cameraParty, pairedViewer, randomCode } from '../support/parley.ts';

/** What comes from outside is opened, or refused with one of two errors; nothing else, whatever it is. 10,000 runs each. */
const RUNS = 10_000;
const test = suite('properties of envelopes, UIDs, codes and labels');
const utf8 = new TextEncoder();
const text = (payload: Uint8Array) => new TextDecoder().decode(payload);
let attempts = 0;

/** `numRuns` runs of one property; the seed of a failure is in its message. */
function hold<T>(arbitrary: fc.Arbitrary<T>, property: (value: T) => Promise<void> | void, numRuns = RUNS) {
  attempts += numRuns;
  return fc.assert(
    fc.asyncProperty(arbitrary, async (value) => property(value)),
    { numRuns },
  );
}

test('arbitrary bytes: camera and viewer refuse them, and nothing else happens', async () => {
  const camera = await cameraParty();
  const viewer = await pairedViewer(camera);
  await hold(fc.uint8Array({ maxLength: 400 }), async (payload) => {
    assert.equal(await atCamera(camera.parley, payload), 'refused');
    assert.equal(await atViewer(viewer, payload), 'refused');
  });
});

test('arbitrary texts of the right form: as many parts as an envelope has', async () => {
  const camera = await cameraParty();
  const viewer = await pairedViewer(camera);
  const part = fc.oneof(fc.base64String(), fc.string(), fc.json().map(encoded), arbitraryHeader().map(encodedJson));
  const parts = fc.oneof(
    fc.array(part, { minLength: 3, maxLength: 3 }),
    fc.array(part, { minLength: 5, maxLength: 5 }),
  );
  await hold(parts, async (all) => {
    const payload = utf8.encode(all.join('.'));
    assert.equal(await atCamera(camera.parley, payload), 'refused');
    // With another recipient's name on it, a viewer takes it for another page's.
    assert.ok(['refused', 'ignored'].includes(await atViewer(viewer, payload)));
  });
});

test('a real call, changed at any place: never a call, except with the very same content', async () => {
  const camera = await cameraParty();
  const viewer = await pairedViewer(camera);
  const original = await viewer.sealCall({ type: 'call', call: 'call-0123456789abcdef', sdp: 'v=0 the one and only' });
  const sealedText = await unseal(text(original), camera.sealing);
  await hold(change(original.length), async (changed) => {
    const payload = apply(original, changed);
    if (same(payload, original)) return;
    try {
      // Unused bits of a base64url ending may differ: what is inside may not.
      assert.equal(await unseal(text(payload), camera.sealing), sealedText);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      assert.equal(await atCamera(camera.parley, payload), 'refused');
    }
  });
  assert.equal((await camera.parley.receive(original)).kind, 'call', 'the original is still good');
});

test('a real hello, changed at any place: never a greeting for other words', async () => {
  const camera = await cameraParty();
  const viewer = new ViewerParley({ uid: camera.uid, key: await newSigningKey() });
  const original = await viewer.hello(camera.code);
  const signed = JSON.stringify((await verify(SIGNED_TYPE.hello, text(original), 'hello')).payload);
  await hold(change(original.length), async (changed) => {
    const payload = apply(original, changed);
    if (same(payload, original)) return;
    try {
      assert.equal(JSON.stringify((await verify(SIGNED_TYPE.hello, text(payload), 'hello')).payload), signed);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      assert.equal(await atCamera(camera.parley, payload), 'refused');
    }
  });
  assert.equal(camera.list.failures, 0, 'a spoilt hello counts as no attempt: it could lock out its sender');
  assert.equal((await camera.parley.receive(original)).kind, 'reply', 'the original is still good');
});

test('a real answer, changed at any place: never an answer, except with the very same content', async () => {
  const camera = await cameraParty();
  const viewer = await pairedViewer(camera);
  const call = await viewer.sealCall({ type: 'call', call: 'call-0123456789abcdef', sdp: 'v=0 offer' });
  const incoming = await camera.parley.receive(call);
  assert.ok(incoming.kind === 'call');
  const original = await incoming.talk.seal({ type: 'answer', call: 'call-0123456789abcdef', sdp: 'v=0 the answer' });
  let taken = 0;
  await hold(change(original.length), async (changed) => {
    const payload = apply(original, changed);
    if (same(payload, original)) return;
    const news = await openOrRefuse(viewer, payload);
    if (!news) return;
    taken++;
    assert.ok(news.kind === 'call' && news.message.type === 'answer' && news.message.sdp === 'v=0 the answer');
  });
  assert.ok(taken <= 1, 'one answer to one offer, however it is written');
});

test('arbitrary claims, well signed and well sealed by somebody on the list: refused or answered, never a defect', async () => {
  const camera = await cameraParty();
  const key = await newSigningKey();
  await pairedViewer(camera, key);
  const enc = (await newSealingKey()).publicKey;
  const good = () => ({
    iss: key.thumbprint,
    aud: camera.uid,
    jti: randomName(16),
    iat: camera.clock.now,
    epoch: camera.parley.epoch,
    seq: 0,
    enc,
    msg: { type: 'call', call: randomName(16), sdp: 'v=0' },
  });
  const field = fc.constantFrom('iss', 'aud', 'jti', 'iat', 'epoch', 'seq', 'enc', 'msg');
  const other = fc.oneof(fc.object(), fc.record({ field, value: fc.anything() }));
  await hold(
    other,
    async (claims) => {
      const changed = isFieldChange(claims) ? { ...good(), [claims.field]: claims.value } : claims;
      let jws: string;
      try {
        jws = await sign(SIGNED_TYPE.toCamera, changed as object, key);
      } catch {
        return; // What JSON cannot say (a bigint, a loop) nobody can send.
      }
      const opened = await atCamera(camera.parley, await seal(jws, camera.sealing));
      if (opened === 'refused' || opened === 'answered') return;
      // Taken as a call: then whatever was changed has left every claim that counts as it must be.
      const said = JSON.parse(JSON.stringify(changed)) as Record<string, unknown>;
      assert.deepEqual([said.iss, said.aud, said.epoch], [key.thumbprint, camera.uid, camera.parley.epoch]);
    },
    5_000,
  );
});

test('arbitrary claims in a hello of a stranger: silence, or a failed attempt counted', async () => {
  const camera = await cameraParty();
  const key = await newSigningKey();
  const enc = (await newSealingKey()).publicKey;
  await hold(
    fc.record({ field: fc.string(), value: fc.anything(), proof: fc.boolean() }),
    async (changed) => {
      const jti = randomName(16);
      const proof = changed.proof ? { proof: randomName(32) } : {};
      const claims = {
        iss: key.thumbprint,
        aud: camera.uid,
        jti,
        iat: 1,
        enc,
        ...proof,
        [changed.field]: changed.value,
      };
      let hello: string;
      try {
        hello = await sign(SIGNED_TYPE.hello, claims, key);
      } catch {
        return;
      }
      assert.equal(await atCamera(camera.parley, utf8.encode(hello)), 'refused');
    },
    5_000,
  );
});

test('a proof fits one code, camera, viewer, step and transcript alone', async () => {
  const camera = await cameraParty();
  const proofs = fc.oneof(
    fc.string(),
    fc.base64String({ minLength: 40, maxLength: 48 }),
    fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
  );
  await hold(proofs, async (proof) => {
    const about = {
      step: 'hello',
      code: camera.code,
      uid: camera.uid,
      thumbprint: 't'.repeat(43),
      transcript: [],
    } as const;
    assert.equal(await pairingProofFits(proof, about), false);
  });
});

test('UIDs: as typed in any way, one way back; a wrong or swapped character is never another UID', async () => {
  await hold(fc.tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), typing(20)), ([hash, manner]) => {
    const uid = uidFromKeyHash(hash);
    assert.match(uid, /^[0-9A-HJKMNP-TV-Z]{20}$/);
    assert.equal(parseUid(uid), uid);
    assert.equal(parseUid(formatUid(uid)), uid);
    assert.equal(parseUid(typed(uid, manner)), uid);
  });
  const slip = fc.tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(19), fc.nat(19), fc.nat(30));
  await hold(slip, ([hash, at, other, by]) => {
    const uid = uidFromKeyHash(hash);
    assert.equal(parseUid(replaced(uid, at, by)), undefined);
    const swapped = [...uid];
    [swapped[at], swapped[other]] = [swapped[other]!, swapped[at]!];
    const after = swapped.join('');
    if (after !== uid) assert.equal(parseUid(after), undefined);
  });
  await hold(fc.string({ maxLength: 60 }), (any) => {
    const uid = parseUid(any);
    if (uid !== undefined) assert.equal(parseUid(uid), uid);
  });
});

test('setup codes: as typed in any way, one way back; anything else is none', async () => {
  const bytes = fc.uint8Array({ minLength: SETUP_CODE_BYTES, maxLength: SETUP_CODE_BYTES });
  await hold(fc.tuple(bytes, typing(16)), ([random, manner]) => {
    const code = setupCodeFrom(random);
    assert.match(code, /^[0-9A-HJKMNP-TV-Z]{16}$/);
    assert.equal(parseSetupCode(formatSetupCode(code)), code);
    assert.equal(parseSetupCode(typed(code, manner)), code);
    assert.equal(parseSetupCode(code.slice(1)), undefined);
  });
  await hold(fc.string({ maxLength: 40 }), (any) => {
    const code = parseSetupCode(any);
    if (code !== undefined) assert.match(code, /^[0-9A-HJKMNP-TV-Z]{16}$/);
  });
});

test('labels: what a phone reads is the UID and the code, behind the #, and no server is sent them', async () => {
  const bytes = fc.tuple(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.uint8Array({ minLength: 10, maxLength: 10 }),
  );
  await hold(
    fc.tuple(bytes, fc.webUrl({ withFragments: true, withQueryParameters: true })),
    ([[hash, random], viewer]) => {
      const uid = uidFromKeyHash(hash);
      const code = setupCodeFrom(random);
      const url = new URL(labelAddress(viewer, uid, code));
      const [readUid, readCode, ...rest] = url.hash.slice(1).split('.');
      assert.equal(parseUid(readUid!), uid);
      assert.equal(parseSetupCode(readCode!), code);
      assert.equal(rest.length, 0);
      url.hash = '';
      assert.ok(!url.href.includes(code));
    },
  );
});

test('topics: what parses is what was built, whatever is in between is none', async () => {
  const name = fc.oneof(fc.string(), fc.constantFrom('+', '#', '$SYS', '../in', 'a/b'));
  await hold(fc.tuple(name, fc.constantFrom('status', 'in', 'server', '+', '#')), ([any, leaf]) => {
    assert.equal(parseTopic(`peercam/1/cam/${any}/${leaf}`), undefined);
    assert.equal(parseTopic(`peercam/1/viewer/${any}/${leaf}`), undefined);
  });
  await hold(fc.uint8Array({ minLength: 32, maxLength: 32 }), async (hash) => {
    const uid = uidFromKeyHash(hash);
    const thumbprint = Buffer.from(hash).toString('base64url');
    for (const [topic, kind] of [
      [statusTopic(uid), 'status'],
      [cameraInbox(uid), 'camera-inbox'],
      [serverNotes(uid), 'server-notes'],
    ] as const) {
      assert.deepEqual(parseTopic(topic), { kind, uid });
      assert.equal(parseTopic(topic.toLowerCase()) === undefined, topic.toLowerCase() !== topic);
      assert.equal(parseTopic(`${topic}/#`), undefined);
    }
    assert.deepEqual(parseTopic(viewerInbox(thumbprint)), { kind: 'viewer-inbox', thumbprint });
  });
});

test('two keys never have one UID, one key has one UID', async () => {
  const seen = new Map<string, SigningKey>();
  for (let i = 0; i < 500; i++) {
    const key = await newSigningKey();
    const uid = await uidOfKey(key.publicKey);
    assert.equal(await uidOfKey({ ...key.publicKey }), uid);
    assert.ok(!seen.has(uid));
    seen.set(uid, key);
  }
  assert.notEqual(randomCode(), randomCode());
  console.log(`runs of all properties: ${attempts}`);
});

test.run();

async function atCamera(
  parley: { receive(payload: Uint8Array): Promise<Incoming> },
  payload: Uint8Array,
): Promise<'refused' | 'answered' | 'taken'> {
  try {
    const incoming = await parley.receive(payload);
    return incoming.kind === 'reply' ? 'answered' : 'taken';
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return 'refused';
  }
}

async function openOrRefuse(viewer: ViewerParley, payload: Uint8Array): Promise<News | undefined> {
  try {
    return await viewer.open(payload);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}

async function atViewer(viewer: ViewerParley, payload: Uint8Array): Promise<'refused' | 'ignored' | 'taken'> {
  try {
    return (await viewer.open(payload)) ? 'taken' : 'ignored';
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return 'refused';
  }
}

/** One way to spoil a message of `length` bytes. */
function change(length: number) {
  return fc.record({
    how: fc.constantFrom('bit', 'byte', 'base64 character', 'cut', 'insert', 'remove', 'swap'),
    at: fc.nat(length - 1),
    other: fc.nat(length - 1),
    by: fc.integer({ min: 1, max: 255 }),
  });
}

function apply(
  original: Uint8Array,
  { how, at, other, by }: { how: string; at: number; other: number; by: number },
): Uint8Array {
  const bytes = [...original];
  if (how === 'bit') bytes[at]! ^= 1 << (by % 8);
  if (how === 'byte') bytes[at] = by;
  if (how === 'base64 character') bytes[at] = BASE64URL.charCodeAt(by % 64);
  if (how === 'cut') bytes.length = at;
  if (how === 'insert') bytes.splice(at, 0, by);
  if (how === 'remove') bytes.splice(at, 1);
  if (how === 'swap') [bytes[at], bytes[other]] = [bytes[other]!, bytes[at]!];
  return Uint8Array.from(bytes);
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function arbitraryHeader() {
  return fc.record(
    {
      alg: fc.constantFrom('ECDH-ES', 'ES256', 'none', 'dir', 'HS256', 'RSA-OAEP', 'PBES2-HS256+A128KW'),
      enc: fc.constantFrom('A256GCM', 'A128CBC-HS256', 'none'),
      typ: fc.constantFrom('peercam-sealed+jwe', ...Object.values(SIGNED_TYPE), 'JWT'),
      kid: fc.constantFrom('k'.repeat(43), ''),
      epk: fc.object(),
      jwk: fc.object(),
      zip: fc.constant('DEF'),
      crit: fc.array(fc.string()),
      p2c: fc.constant(2 ** 31),
    },
    { requiredKeys: ['alg', 'typ'] },
  );
}

function encoded(json: string): string {
  return Buffer.from(json).toString('base64url');
}

function encodedJson(value: unknown): string {
  return encoded(JSON.stringify(value));
}

function isFieldChange(claims: object): claims is { field: string; value: unknown } {
  return 'field' in claims && 'value' in claims;
}

/** How a person writes each character: lower case, O for 0, I or L for 1, spaces and hyphens between. */
function typing(length: number) {
  const one = fc.record({ lower: fc.boolean(), alike: fc.nat(2), before: fc.constantFrom('', '', ' ', '-', ' - ') });
  return fc.array(one, { minLength: length, maxLength: length });
}

function typed(symbols: string, manner: readonly { lower: boolean; alike: number; before: string }[]): string {
  return [...symbols]
    .map((symbol, i) => {
      const { lower, alike, before } = manner[i]!;
      const written = symbol === '0' ? '0Oo'[alike]! : symbol === '1' ? '1IL'[alike]! : symbol;
      return before + (lower ? written.toLowerCase() : written);
    })
    .join('');
}

function replaced(uid: string, at: number, by: number): string {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const other = alphabet[(alphabet.indexOf(uid[at]!) + 1 + by) % 32]!;
  return uid.slice(0, at) + other + uid.slice(at + 1);
}
