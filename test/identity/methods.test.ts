import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as v from 'valibot';
import { SettingsStore } from '#config/settings-store.ts';
import { AccessBook } from '#identity/access-book.ts';
import { AuditLog } from '#identity/audit-log.ts';
import { newSigningKey } from '#identity/keys.ts';
import { accessListSchema, auditPageSchema, invitedSchema } from '#protocol/access.ts';
import { MAX_CONTROL_REPLY } from '#protocol/control.ts';
import type { Right } from '#protocol/rights.ts';
import { setupCodeFrom } from '#protocol/setup-code.ts';
import { accessMethods } from '#session/access-methods.ts';
import { auditMethods } from '#session/audit-methods.ts';
import { ControlDispatch } from '#session/control.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { rejection } from '../support/rejection.ts';

const base = mkdtempSync(join(tmpdir(), 'peercam-methods-'));
const key = (await newSigningKey()).publicKey;
const setupCode = setupCodeFrom(randomBytes(10));
const test = suite('methods about access');

test.after(() => rmSync(base, { recursive: true, force: true }));

test('an owner sees everybody, a guest only themself, nobody sees keys or codes', async () => {
  const { ask, invite } = await camera();
  await invite('anna', 'ben', { rights: ['view'] });
  const open = v.parse(invitedSchema, (await ask('anna', 'access.invite', wish)).result);
  const forOwner = v.parse(accessListSchema, (await ask('anna', 'access.list')).result);
  assert.deepEqual(
    forOwner.entries.map(({ name }) => name),
    ['anna', 'ben'],
  );
  assert.deepEqual(
    forOwner.invitations.map(({ id }) => id),
    [open.id],
  );
  assert.equal(forOwner.me, thumb('anna'));
  const answer = await ask('ben', 'access.list');
  const forGuest = v.parse(accessListSchema, answer.result);
  assert.deepEqual(
    forGuest.entries.map(({ name }) => name),
    ['ben'],
  );
  assert.deepEqual(forGuest.invitations, []);
  const text = JSON.stringify([forOwner, answer]);
  assert.ok(![open.code, setupCode, key.x].some((secret) => text.includes(secret)));
});

test('what a guest may not, and what everybody may with themself', async () => {
  const { ask, invite, book } = await camera();
  await invite('anna', 'ben', { rights: ['view', 'settings'] });
  const id = randomBytes(12).toString('base64url');
  const forbidden: [string, object][] = [
    ['access.invite', wish],
    ['access.cancelInvitation', { id }],
    ['access.setRights', { thumbprint: thumb('ben'), rights: ['view', 'owner'] }],
    ['access.revoke', { thumbprint: thumb('anna') }],
    ['access.rename', { thumbprint: thumb('anna'), name: 'x' }],
    ['audit.read', { limit: 5 }],
  ];
  for (const [method, params] of forbidden) {
    const { error } = await ask('ben', method, params);
    assert.ok(error && [-32001, -32002].includes(error.code), `${method}: ${JSON.stringify(error)}`);
  }
  assert.equal((await ask('ben', 'camera.rename', { name: 'Garden' })).result, null);
  assert.equal((await ask('ben', 'access.rename', { thumbprint: thumb('ben'), name: "Ben's phone" })).result, null);
  assert.equal(book.find(thumb('ben'))!.name, "Ben's phone");
  assert.equal((await ask('ben', 'access.revoke', { thumbprint: thumb('ben') })).result, null);
  assert.equal(book.find(thumb('ben')), undefined);
});

test('params from outside are parsed: the wrong field is named, nothing happens', async () => {
  const { ask, book } = await camera();
  const bad: [string, unknown, RegExp][] = [
    ['access.invite', {}, /rights/],
    ['access.invite', { ...wish, rights: ['ptz'] }, /rights/],
    ['access.invite', { ...wish, rights: ['view', 'root'] }, /rights/],
    ['access.invite', { ...wish, expiresInHours: 0 }, /expiresInHours/],
    ['access.invite', { ...wish, expiresInHours: 1e9 }, /expiresInHours/],
    ['access.invite', { ...wish, by: thumb('ben') }, /by/],
    ['access.invite', { ...wish, note: 'x'.repeat(65) }, /note/],
    ['access.revoke', { thumbprint: '../../etc' }, /thumbprint/],
    ['access.rename', { thumbprint: thumb('anna'), name: 'a\nb' }, /name/],
    ['access.rename', { thumbprint: thumb('anna'), name: '   ' }, /name/],
    ['camera.rename', { name: '\u0000' }, /name/],
    ['audit.read', { limit: 1000 }, /limit/],
    ['audit.read', { limit: 5, before: -1 }, /before/],
  ];
  for (const [method, params, field] of bad) {
    const { error } = await ask('anna', method, params);
    assert.equal(error?.code, -32602, `${method} ${JSON.stringify(params)}`);
    assert.match(error!.message, field);
  }
  assert.deepEqual(book.invitations(), []);
});

test('refusals carry a code the viewer can act on', async () => {
  const { ask } = await camera();
  const { error } = await ask('anna', 'access.revoke', { thumbprint: thumb('anna') });
  assert.equal(error!.data!.code, 'access.last-owner');
});

test('everything is in the audit log, by whom, and never a code', async () => {
  const { ask, invite, audit } = await camera();
  const secrets = [setupCode as string];
  await invite('anna', 'ben', { rights: ['view'] });
  const open = v.parse(invitedSchema, (await ask('anna', 'access.invite', { ...wish, note: 'Carl' })).result);
  secrets.push(open.code);
  await ask('anna', 'access.cancelInvitation', { id: open.id });
  await ask('anna', 'access.cancelInvitation', { id: open.id });
  await ask('anna', 'access.setRights', { thumbprint: thumb('ben'), rights: ['view', 'ptz'] });
  await ask('anna', 'access.rename', { thumbprint: thumb('ben'), name: 'Benjamin' });
  await ask('anna', 'camera.rename', { name: 'Garden' });
  await ask('anna', 'access.revoke', { thumbprint: thumb('ben') });
  const page = v.parse(auditPageSchema, (await ask('anna', 'audit.read', { limit: 50 })).result);
  assert.deepEqual(
    page.entries.map(({ event, by }) => [event, by]),
    ['revoked', 'renamed', 'renamed', 'rights-changed', 'invitation-cancelled', 'invited', 'invited'].map((event) => [
      event,
      thumb('anna'),
    ]),
  );
  assert.equal(page.entries[0]!.name, 'Benjamin');
  assert.equal(page.more, false);
  assert.equal(page.intact, true);
  const older = v.parse(auditPageSchema, (await ask('anna', 'audit.read', { limit: 2, before: 3 })).result);
  assert.deepEqual(
    older.entries.map(({ n }) => n),
    [2, 1],
  );
  const text = JSON.stringify(await audit.read({ limit: 100 }));
  assert.ok(!secrets.some((secret) => text.includes(secret)));
});

test('the fullest replies fit the channel', async () => {
  const { ask, invite, audit } = await camera();
  const all: Right[] = ['view', 'talk', 'ptz', 'archive', 'settings'];
  for (let n = 1; n < 64; n++) await invite('anna', `${n} ${'界'.repeat(60)}`, { rights: all, accessHours: 8000 });
  for (let n = 0; n < 16; n++) await ask('anna', 'access.invite', { ...wish, rights: all, note: '界'.repeat(64) });
  for (let n = 0; n < 60; n++) audit.append('renamed', { by: thumb('anna'), name: '界'.repeat(200) });
  for (const [method, params] of [
    ['access.list', undefined],
    ['audit.read', { limit: 50 }],
  ] as const) {
    const text = await say('anna', method, params, ask);
    assert.ok(text.length < MAX_CONTROL_REPLY, `${method}: ${text.length}`);
  }
});

test("the camera's name: from the configuration, then the owner's, across restarts, never half", async () => {
  const stateDir = mkdtempSync(join(base, 'settings-'));
  const log = new RecordingLogger();
  const open = () => SettingsStore.open({ stateDir, defaults: { name: 'Camera' }, log });
  const store = await open();
  assert.equal(store.name, 'Camera');
  const heard: string[] = [];
  store.onChange(({ name }) => heard.push(name));
  await Promise.all([store.change({ name: 'One' }), store.change({ name: 'Two' })]);
  assert.deepEqual(heard, ['One', 'Two']);
  assert.equal((await open()).name, 'Two');
  const path = join(stateDir, 'settings.json');
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -8));
  assert.equal((await open()).name, 'Camera');
  assert.ok(log.find(/settings\.json\.damaged/));
  rmSync(stateDir, { recursive: true });
  assert.equal((await rejection(store.change({ name: 'Three' }))).code, 'settings.not-saved');
  assert.equal(store.name, 'Two');
});

test.run();

const wish = { rights: ['view'], note: '', expiresInHours: 24 };

interface Reply {
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: { readonly code: string } };
}
type Ask = (who: string, method: string, params?: unknown) => Promise<Reply>;

/** A camera whose owner is Anna, as far as these methods reach. */
async function camera() {
  const stateDir = mkdtempSync(join(base, 'state-'));
  const log = new RecordingLogger();
  const now = () => Date.now();
  const book = await AccessBook.open({ stateDir, setupCode, now, log });
  const audit = await AuditLog.open({ stateDir, now, log });
  const settings = await SettingsStore.open({ stateDir, defaults: { name: 'Camera' }, log });
  const dispatch = new ControlDispatch({ ...accessMethods({ book, audit, settings }), ...auditMethods({ audit }) });
  await book.admit(book.acceptableCodes()[0]!, { thumbprint: thumb('anna'), key, name: 'anna' });
  const ask: Ask = async (who, method, params) => {
    const rights = book.find(thumb(who))?.rights ?? [];
    const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    return JSON.parse((await dispatch.handle(text, { viewer: thumb(who), rights }))!) as Reply;
  };
  const invite = async (by: string, guest: string, change: object) => {
    const { id } = v.parse(invitedSchema, (await ask(by, 'access.invite', { ...wish, ...change })).result);
    const code = book.acceptableCodes().find((open) => open.id === id)!;
    await book.admit(code, { thumbprint: thumb(guest), key, name: guest });
  };
  return { ask, invite, book, audit };
}

async function say(who: string, method: string, params: unknown, ask: Ask): Promise<string> {
  const reply = await ask(who, method, params);
  assert.equal(reply.error, undefined);
  return JSON.stringify(reply);
}

function thumb(name: string): string {
  return createHash('sha256').update(name).digest('base64url');
}
