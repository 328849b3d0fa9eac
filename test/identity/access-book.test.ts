// time limit: 300 s
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import { type AcceptableCode, AccessBook, type Invitation } from '#identity/access-book.ts';
import { prepareState } from '#identity/factory-reset.ts';
import { newSigningKey } from '#identity/keys.ts';
import { RIGHTS, type Right } from '#protocol/rights.ts';
import { setupCodeFrom } from '#protocol/setup-code.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/wait.ts';
import { bundled, killedWriter } from './killed-writer.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const base = mkdtempSync(join(tmpdir(), 'peercam-access-'));
const key = (await newSigningKey()).publicKey;
const setupCode = setupCodeFrom(randomBytes(10));
const test = suite('access book');

test.after(() => rmSync(base, { recursive: true, force: true }));

test('a new camera: the first one with the code on the label becomes owner, and the label is done', async () => {
  const { book } = await fresh();
  assert.equal(book.hasOwner, false);
  assert.equal(book.pairingState(), 'open');
  const anna = await admitted(book, 'anna');
  assert.deepEqual(anna.rights, [...RIGHTS]);
  assert.equal(book.hasOwner, true);
  assert.equal(book.pairingState(), 'closed');
  assert.deepEqual(book.acceptableCodes(), []);
  assert.deepEqual(
    book.spentCodes().map(({ refusal }) => refusal.code),
    ['pairing.closed'],
  );
});

test('all of it is there again after a restart, readable by its user only', async () => {
  const { book, dir, reopen } = await fresh();
  await admitted(book, 'anna');
  const invitation = await invited(book, { rights: ['view', 'ptz'], note: 'Ben' });
  const again = (await reopen()).book;
  assert.deepEqual(again.list(), book.list());
  assert.deepEqual(again.invitations(), [invitation]);
  assert.equal(statSync(join(dir, 'access.json')).mode & 0o777, 0o600);
});

test('two newcomers with one code at the same moment: one is in, the other is told', async () => {
  const { book } = await fresh();
  const code = book.acceptableCodes()[0]!;
  const [first, second] = await Promise.allSettled([admit(book, code, 'anna'), admit(book, code, 'ben')]);
  assert.equal(first!.status, 'fulfilled');
  assert.equal(second!.status === 'rejected' && second!.reason.code, 'pairing.closed');

  const invitation = await invited(book, {});
  const open = book.acceptableCodes().find(({ id }) => id === invitation.id)!;
  const outcomes = await Promise.allSettled(['carl', 'dora', 'emil'].map((name) => admit(book, open, name)));
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'in')),
    ['in', 'invitation.used', 'invitation.used'],
  );
  assert.equal(book.list().length, 2);
});

test('the button opens the label for 15 minutes and one newcomer, with ten tries', async () => {
  const { book, clock } = await fresh();
  await admitted(book, 'anna');
  let changes = 0;
  book.onChange(() => changes++);
  await book.openPairing();
  assert.equal(book.pairingState(), 'open');
  assert.ok(changes > 0);
  clock.advance(15 * 60_000 - 1);
  assert.equal(book.pairingState(), 'open');
  changes = 0;
  clock.advance(1);
  assert.equal(book.pairingState(), 'closed');
  assert.equal(changes, 1, 'the light must learn that it is over');

  await book.openPairing();
  await admit(book, book.acceptableCodes()[0]!, 'ben');
  assert.equal(book.pairingState(), 'closed');
  assert.deepEqual(book.find(thumb('ben'))!.rights, [...RIGHTS]);
});

test('ten wrong codes lock the label, also across restarts; the button unlocks it', async () => {
  const first = await fresh();
  for (let n = 0; n < 6; n++) await first.book.noteFailure();
  const second = await first.reopen();
  assert.equal(second.book.attemptsLeft, 4);
  for (let n = 0; n < 4; n++) await second.book.noteFailure();
  const { book } = await second.reopen();
  assert.equal(book.pairingState(), 'locked');
  assert.deepEqual(book.acceptableCodes(), []);
  assert.equal(book.spentCodes()[0]!.refusal.code, 'pairing.locked');
  const label = { id: 'label', code: setupCode, rights: RIGHTS, transfer: false };
  assert.equal((await rejection(admit(book, label, 'anna'))).code, 'pairing.locked');
  await book.openPairing();
  assert.equal(book.attemptsLeft, 10);
  await admit(book, book.acceptableCodes()[0]!, 'anna');
});

test('a hundred wrong codes at the same moment are a hundred, at once and on the disk', async () => {
  const { book, reopen } = await fresh();
  const noted = Promise.all(Array.from({ length: 100 }, () => book.noteFailure()));
  assert.equal(book.pairingState(), 'locked', 'before anything is written');
  await noted;
  assert.equal((await reopen()).book.pairingState(), 'locked');
});

test('wrong codes do not touch an invitation, but a thousand void it and silence what is spent', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  await invited(book, {});
  for (let n = 0; n < 20; n++) await book.noteFailure();
  assert.equal(book.acceptableCodes().length, 1);
  await Promise.all(Array.from({ length: 980 }, () => book.noteFailure()));
  assert.deepEqual(book.acceptableCodes(), []);
  assert.deepEqual(book.spentCodes(), []);
});

test('an invitation: its rights, its end, its cancellation, and its reasons afterwards', async () => {
  const { book, pass } = await fresh();
  await admitted(book, 'anna');
  const used = await invited(book, { rights: ['ptz', 'view'] });
  const cancelled = await invited(book, {});
  const expiring = await invited(book, { expiresInHours: 2 });
  const ben = await admit(book, codeOf(book, used), 'ben');
  assert.deepEqual(ben.rights, ['view', 'ptz']);
  assert.equal(ben.invitedBy, thumb('anna'));
  assert.equal(await book.cancelInvitation(cancelled.id), true);
  assert.equal(await book.cancelInvitation(cancelled.id), false);
  pass(2 * HOUR_MS);
  assert.deepEqual(book.invitations(), []);
  const reasons = new Map(book.spentCodes().map(({ code, refusal }) => [code, refusal.code]));
  assert.equal(reasons.get(used.code), 'invitation.used');
  assert.equal(reasons.get(cancelled.code), 'invitation.cancelled');
  assert.equal(reasons.get(expiring.code), 'invitation.expired');
  const stale: AcceptableCode = { id: expiring.id, code: expiring.code, rights: ['view'], transfer: false };
  assert.equal((await rejection(admit(book, stale, 'carl'))).code, 'invitation.expired');
});

test('a guest with an end is gone at that moment: list, listeners, server', async () => {
  const { book, pass } = await fresh();
  await admitted(book, 'anna');
  const invitation = await invited(book, { accessHours: 3 });
  await admit(book, codeOf(book, invitation), 'ben');
  const gone: string[] = [];
  book.onRevoked((thumbprint, why) => gone.push(`${thumbprint} ${why}`));
  pass(3 * HOUR_MS - 1);
  assert.ok(book.find(thumb('ben')));
  pass(1);
  assert.equal(book.find(thumb('ben')), undefined);
  pass(1);
  await until('he is told to go', () => gone.length > 0);
  assert.deepEqual(gone, [`${thumb('ben')} expired`]);
  assert.deepEqual(book.revokedHashes(), [hashOf(thumb('ben'))]);
});

test('a transfer leaves one owner and nobody and nothing else', async () => {
  const { book, reopen } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, {})), 'ben');
  await invited(book, { note: 'somebody else' });
  const transfer = await invited(book, { transfer: true });
  const gone: string[] = [];
  book.onRevoked((thumbprint) => gone.push(thumbprint));
  await admit(book, codeOf(book, transfer), 'zoe');
  assert.deepEqual(gone, [thumb('anna'), thumb('ben')]);
  const again = (await reopen()).book;
  assert.deepEqual(
    again.list().map(({ name, rights }) => [name, rights]),
    [['zoe', [...RIGHTS]]],
  );
  assert.deepEqual(again.invitations(), []);
});

test('revoked: out at once, told to the server for seven days, not back by an invitation of their own', async () => {
  const { book, pass } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, { rights: ['view', 'owner'] })), 'ben');
  const own = await book.invite({ ...wish, by: thumb('ben') });
  const back = codeOf(book, own);
  await book.revoke(thumb('ben'));
  assert.equal(book.find(thumb('ben')), undefined);
  assert.equal((await rejection(admit(book, back, 'ben'))).code, 'invitation.cancelled');
  assert.deepEqual(book.revokedHashes(), [hashOf(thumb('ben'))]);
  pass(7 * DAY_MS);
  assert.deepEqual(book.revokedHashes(), []);
});

test('who was revoked and is invited anew is not on the list of the revoked', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, {})), 'ben');
  await book.revoke(thumb('ben'));
  await admit(book, codeOf(book, await invited(book, {})), 'ben');
  assert.deepEqual(book.revokedHashes(), []);
});

test('the server is told of 32 revoked at most, the newest', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  for (let n = 0; n < 40; n++) {
    await admit(book, codeOf(book, await invited(book, {})), `guest ${n}`);
    await book.revoke(thumb(`guest ${n}`));
  }
  const hashes = book.revokedHashes();
  assert.equal(hashes.length, 32);
  assert.equal(hashes[0], hashOf(thumb('guest 39')));
});

test('the last owner stays: no revocation, no loss of rights', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, {})), 'ben');
  assert.equal((await rejection(book.revoke(thumb('anna')))).code, 'access.last-owner');
  assert.equal((await rejection(book.setRights(thumb('anna'), ['view']))).code, 'access.last-owner');
  await book.setRights(thumb('ben'), ['view', 'owner']);
  await book.setRights(thumb('anna'), ['view']);
  assert.equal((await rejection(book.revoke(thumb('ben')))).code, 'access.last-owner');
  assert.equal((await rejection(book.revoke(thumb('nobody')))).code, 'access.unknown');
});

test('an owner who uses a lesser invitation stays owner; a guest gets what the newest one says', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, { rights: ['view', 'settings'] })), 'ben');
  await admit(book, codeOf(book, await invited(book, { rights: ['view'] })), 'anna');
  await admit(book, codeOf(book, await invited(book, { rights: ['view'], accessHours: 1 })), 'ben');
  assert.deepEqual(book.find(thumb('anna'))!.rights, [...RIGHTS]);
  assert.deepEqual(book.find(thumb('ben'))!.rights, ['view']);
  assert.ok(book.find(thumb('ben'))!.expiresAt);
});

test('64 people and 16 invitations are the limit, with words', async () => {
  const { book } = await fresh();
  await admitted(book, 'anna');
  for (let n = 1; n < 64; n++) await admit(book, codeOf(book, await invited(book, {})), `guest ${n}`);
  const last = await invited(book, {});
  assert.equal((await rejection(admit(book, codeOf(book, last), 'one too many'))).code, 'access.full');
  for (let n = 1; n < 16; n++) await invited(book, {});
  assert.equal((await rejection(invited(book, {}))).code, 'access.too-many-invitations');
});

test('when somebody was seen is written with the next change, or after ten minutes, not at once', async () => {
  const { book, dir, clock, pass } = await fresh();
  await admitted(book, 'anna');
  const before = readFileSync(join(dir, 'access.json'), 'utf8');
  pass(5 * 60_000);
  book.seen(thumb('anna'));
  assert.ok(book.find(thumb('anna'))!.lastSeenAt! > book.find(thumb('anna'))!.addedAt);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(readFileSync(join(dir, 'access.json'), 'utf8'), before);
  clock.advance(10 * 60_000);
  await until('it is written', () => readFileSync(join(dir, 'access.json'), 'utf8') !== before);
});

test('a damaged file makes nobody owner: all is refused, the file is kept, and it says so', async () => {
  const { book, dir, reopen } = await fresh();
  await admitted(book, 'anna');
  const path = join(dir, 'access.json');
  const whole = readFileSync(path, 'utf8');
  const damages = ['', '{}', whole.slice(0, -20), whole.replace('"owner"', '"ownr"'), '\0'.repeat(whole.length)];
  for (const damage of damages) {
    writeFileSync(path, damage);
    const { book: hurt, log } = await reopen();
    assert.equal(hurt.pairingState(), 'damaged');
    assert.deepEqual(hurt.acceptableCodes(), []);
    assert.equal(hurt.spentCodes()[0]!.refusal.code, 'pairing.damaged');
    const label = { id: 'label', code: setupCode, rights: RIGHTS, transfer: false };
    assert.equal((await rejection(admit(hurt, label, 'thief'))).code, 'access.damaged');
    assert.equal((await rejection(hurt.openPairing())).code, 'access.damaged');
    await hurt.noteFailure();
    assert.ok(log.find(/access\.damaged/));
    assert.equal(readFileSync(path, 'utf8'), damage, 'it was written over');
  }
  writeFileSync(path, whole);
  assert.equal((await reopen()).book.find(thumb('anna'))!.name, 'anna');
});

test('a disk that refuses: nobody gets in, but whoever is revoked is out', async () => {
  const { book, dir } = await fresh();
  await admitted(book, 'anna');
  await admit(book, codeOf(book, await invited(book, {})), 'ben');
  const open = codeOf(book, await invited(book, {}));
  const gone: string[] = [];
  book.onRevoked((thumbprint) => gone.push(thumbprint));
  rmSync(dir, { recursive: true });
  assert.equal((await rejection(admit(book, open, 'carl'))).code, 'access.not-saved');
  assert.equal(book.find(thumb('carl')), undefined);
  assert.equal((await rejection(book.revoke(thumb('ben')))).code, 'access.not-saved');
  assert.equal(book.find(thumb('ben')), undefined);
  assert.deepEqual(gone, [thumb('ben')]);
  await rejection(book.noteFailure());
  assert.equal(book.attemptsLeft, 9);
});

test('codes are in no log line and no message', async () => {
  const { book, log } = await fresh();
  await admitted(book, 'anna');
  const invitation = await invited(book, {});
  const messages = book.spentCodes().map(({ refusal }) => refusal.message);
  const said = JSON.stringify([log.lines, messages]);
  assert.ok(!said.includes(setupCode) && !said.includes(invitation.code));
});

test('property: whatever is done in whatever order, there is always an owner once there was one, and the disk agrees', async () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd');
  const rights = fc.subarray([...RIGHTS] as Right[]);
  const step = fc.oneof(
    fc.record({ do: fc.constant('admit' as const), name: names, pick: fc.nat(3) }),
    fc.record({ do: fc.constant('invite' as const), name: names, rights, transfer: fc.boolean() }),
    fc.record({ do: fc.constant('revoke' as const), name: names }),
    fc.record({ do: fc.constant('rights' as const), name: names, rights }),
    fc.record({ do: fc.constant('button' as const) }),
    fc.record({ do: fc.constant('fail' as const) }),
    fc.record({ do: fc.constant('pass' as const), hours: fc.nat(60) }),
    fc.record({ do: fc.constant('restart' as const) }),
  );
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (plan) => {
      let current = await fresh();
      let owned = false;
      for (const doing of plan) {
        steps++;
        const { book } = current;
        await run(doing).catch((error: { code?: string }) => {
          if (!error.code) throw error;
        });
        async function run(what: typeof doing): Promise<unknown> {
          switch (what.do) {
            case 'admit': {
              const codes = book.acceptableCodes();
              const code = codes[what.pick % Math.max(1, codes.length)];
              return code && admit(book, code, what.name);
            }
            case 'invite':
              return book.find(thumb(what.name))?.rights.includes('owner')
                ? book.invite({ ...wish, ...what, by: thumb(what.name), accessHours: 5 })
                : undefined;
            case 'revoke':
              return book.revoke(thumb(what.name));
            case 'rights':
              return book.setRights(thumb(what.name), what.rights);
            case 'button':
              return book.openPairing();
            case 'fail':
              return book.noteFailure();
            case 'pass':
              return current.pass(what.hours * HOUR_MS);
            case 'restart':
              current = await current.reopen();
              return undefined;
          }
        }
        owned ||= current.book.hasOwner;
        assert.equal(current.book.hasOwner, owned, 'the camera lost its owner');
        assert.ok(current.book.list().every((entry) => entry.rights.includes('view')));
      }
      await current.book.close();
      const again = (await current.reopen()).book;
      const people = (book: AccessBook) => book.list().map(({ thumbprint, rights: may }) => ({ thumbprint, may }));
      assert.deepEqual(people(again), people(current.book));
    }),
    { numRuns: 80 },
  );
  assert.ok(steps > 500, `${steps} steps`);
});

test('kill -9 in the middle of writing, 200 times: the file is always whole, the counter never goes back', async () => {
  const { book, dir, reopen } = await fresh();
  await admitted(book, 'anna');
  await book.rename(thumb('anna'), '0');
  const program = bundled(new URL('./access-writer.ts', import.meta.url), join(base, 'access-writer.mjs'));
  let written = 0;
  for (let kill = 0; kill < 200; kill++) {
    const promised = await killedWriter(program, [dir, setupCode, thumb('anna')], (kill % 10) / 2);
    const found = (await reopen()).book;
    assert.equal(found.pairingState(), 'closed', 'the file is damaged');
    written = Number(found.find(thumb('anna'))!.name);
    assert.ok(written === promised || written === promised + 1, `${written} on the disk, ${promised} was promised`);
  }
  assert.ok(written > 400, `${written} writes`);
  await prepareState(dir);
  assert.deepEqual(readdirSync(dir), ['access.json'], 'half written files stay');
  console.log(`    200 kills, ${written} writes`);
});

test.run();

const wish = { rights: ['view'] as Right[], transfer: false, expiresInHours: 24, note: '' };

async function fresh() {
  const dir = mkdtempSync(join(base, 'state-'));
  let now = Date.UTC(2026, 10, 21);
  const clock = new FakeClock();
  const pass = (ms: number) => {
    now += ms;
    clock.advance(ms);
  };
  const reopen = async (): Promise<Opened> => ({ ...(await open(dir, clock, () => now)), dir, clock, pass, reopen });
  return reopen();
}

interface Opened {
  readonly book: AccessBook;
  readonly log: RecordingLogger;
  readonly dir: string;
  readonly clock: FakeClock;
  pass(ms: number): void;
  reopen(): Promise<Opened>;
}

async function open(stateDir: string, clock: FakeClock, now: () => number) {
  const log = new RecordingLogger();
  return { book: await AccessBook.open({ stateDir, setupCode, now, log, clock }), log };
}

function invited(book: AccessBook, change: Partial<Parameters<AccessBook['invite']>[0]>): Promise<Invitation> {
  return book.invite({ ...wish, by: thumb('anna'), ...change });
}

function codeOf(book: AccessBook, { id }: Invitation): AcceptableCode {
  return book.acceptableCodes().find((code) => code.id === id)!;
}

/** Lets somebody in by the label. */
function admitted(book: AccessBook, name: string) {
  return admit(book, book.acceptableCodes().find(({ id }) => id === 'label')!, name);
}

function admit(book: AccessBook, code: AcceptableCode, name: string) {
  return book.admit(code, { thumbprint: thumb(name), key, name });
}

function thumb(name: string): string {
  return createHash('sha256').update(`viewer ${name}`).digest('base64url');
}

function hashOf(thumbprint: string): string {
  return createHash('sha256').update(thumbprint).digest('base64url');
}
