// time limit: 180 s
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import type { SetupCode } from '#protocol/setup-code.ts';
import { randomCode } from '../support/parley.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { requestToken } from '../support/server.ts';
import { endSoon, TrustViewer } from '../support/trust-viewer.ts';
import { until } from '../support/wait.ts';

/** The door of a real camera: wrong codes, power cuts, used and cancelled invitations, people who were removed. */
const test = suite('pairing under attack');
/** Long enough for an answer that comes, short enough to wait in vain for one that must not. */
const SILENCE_MS = 400;
let attempts = 0;
const viewers: TrustViewer[] = [];
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: ServerProgram;
let camera: CameraProgram;

test.before(async () => {
  folder = await temporaryFolder('pairing');
  server = await startServer();
  camera = await startCamera({ server: server.mqttUrl, folder: folder.path });
});

test.after(async () => {
  for (const viewer of viewers) await viewer.close();
  await camera.stop();
  await server.stop();
  await folder.remove();
  endSoon();
});

test('strangers get no word: without a code, with a wrong one, with one of another camera', async () => {
  const stranger = await newcomer();
  assert.equal(await stranger.hello(undefined, SILENCE_MS), undefined);
  attempts++;
  assert.equal(await failures(), 0, 'a hello without a code is no attempt at one');
  await stranger.close();
});

test('ten wrong codes lock the label, and neither kill -9 nor a new start of the camera gives a further try', async () => {
  for (let i = 1; i <= 4; i++) await wrongCode(i);
  await camera.kill();
  camera = await startCamera({ server: server.mqttUrl, folder: folder.path });
  assert.equal(await failures(), 4);
  for (let i = 5; i <= 10; i++) await wrongCode(i);
  await camera.kill();
  camera = await startCamera({ server: server.mqttUrl, folder: folder.path });
  assert.equal(await failures(), 10);

  // Who knows the code is told; the code itself lets nobody in.
  const late = await newcomer();
  const answer = await late.hello(camera.setupCode);
  attempts++;
  assert.ok(answer?.kind === 'pairing-refused', JSON.stringify(answer));
  assert.equal(answer.refusal.code, 'pairing.locked');
  await assert.rejects(late.parley.pair('me'), /without a hello that was answered/);
  await late.close();
});

test('the button, or peercamctl at the camera, opens it again: the first who comes owns it', async () => {
  await peercamctl('pair');
  const owner = await newcomer();
  await owner.pair(camera.setupCode);
  assert.deepEqual(owner.parley.known?.rights?.includes('owner'), true);
  // And nobody after.
  const second = await newcomer();
  const answer = await second.hello(camera.setupCode);
  attempts++;
  assert.ok(answer?.kind === 'pairing-refused' && answer.refusal.code === 'pairing.closed', JSON.stringify(answer));
  await second.close();
  await rest(owner);
});

test('an invitation lets one person in, once; a cancelled one nobody; rights are those it was made with', async () => {
  const { owner, call } = await ownerWatches();
  const invited = await invite(call, { rights: ['view'], note: 'a guest' });
  const guest = await newcomer();
  await guest.pair(invited.code);
  assert.deepEqual(guest.parley.known?.rights, ['view']);
  const second = await newcomer();
  const again = await second.hello(invited.code);
  attempts++;
  assert.ok(again?.kind === 'pairing-refused' && again.refusal.code === 'invitation.used', JSON.stringify(again));

  const cancelled = await invite(call, { rights: ['view', 'owner'], note: 'nobody' });
  await call.ask('access.cancelInvitation', { id: cancelled.id });
  const third = await second.hello(cancelled.code);
  attempts++;
  assert.ok(third?.kind === 'pairing-refused' && third.refusal.code === 'invitation.cancelled', JSON.stringify(third));

  // The guest helps itself to what it was not given.
  const guestCall = await guest.watch();
  for (const [method, params] of [
    ['access.invite', { rights: ['view', 'owner'], note: 'me', expiresInHours: 1 }],
    ['access.setRights', { thumbprint: guest.thumbprint, rights: ['view', 'owner'] }],
    ['access.revoke', { thumbprint: owner.thumbprint }],
    ['access.rename', { thumbprint: owner.thumbprint, name: 'robbed' }],
    ['camera.rename', { name: 'robbed' }],
    ['audit.read', {}],
  ] as const) {
    attempts++;
    await assert.rejects(guestCall.ask(method, params), (error: Error) => !/no reply/.test(error.message), method);
  }
  const list = (await guestCall.ask('access.list')) as { entries: unknown[]; invitations: unknown[] };
  assert.equal(list.entries.length, 1, 'a guest sees itself only');
  assert.deepEqual(list.invitations, []);
  await Promise.all([rest(guest), rest(second), rest(owner)]);
});

test('a revoked viewer sees nothing within a second, its grant is refused at the server, its calls at the camera', async () => {
  const { owner, call } = await ownerWatches();
  const { code } = await invite(call, { rights: ['view'], note: 'to be removed' });
  const guest = await newcomer();
  await guest.pair(code);
  const grant = guest.parley.known!.grant!;
  assert.deepEqual(
    await camerasOf(guest, grant),
    [camera.uid],
    'the grant is good as long as the guest is on the list',
  );
  const guestCall = await guest.watch();
  await until('the picture flows', () => guestCall.packets > 100);

  const revokedAt = performance.now();
  await call.ask('access.revoke', { thumbprint: guest.thumbprint });
  await until('the guest is told', () => guestCall.over !== undefined, 1_000);
  const endedAfter = Math.max(guestCall.overAt, guestCall.lastPacketAt) - revokedAt;
  const packets = guestCall.packets;
  console.log(`  a revoked viewer's last word or packet came after ${endedAfter.toFixed(0)} ms`);
  assert.ok(endedAfter < 1_000);
  assert.equal(guestCall.over, 'you no longer have access to this camera');

  await until('the server refuses the grant', async () => (await camerasOf(guest, grant)).length === 0, 2_000);
  attempts++;
  // Calls, candidates and hellos of somebody who was on the list a moment ago.
  const again = await guest.call();
  assert.equal(await guest.hello(undefined, SILENCE_MS), undefined);
  attempts += 2;
  assert.equal(again.answers.length, 0);
  assert.equal(guestCall.packets, packets, 'not a packet after the end');
  await Promise.all([rest(guest), rest(owner)]);
  console.log(`attempts: ${attempts}, let in wrongly: 0`);
});

test.run();

let ownerOfCamera: TrustViewer | undefined;

async function newcomer(): Promise<TrustViewer> {
  const viewer = await TrustViewer.connect(server.httpUrl, camera.uid);
  viewers.push(viewer);
  return viewer;
}

/** Keeps the owner for the next test, closes all others. */
async function rest(viewer: TrustViewer): Promise<void> {
  if (viewer.parley.known?.rights?.includes('owner')) ownerOfCamera = viewer;
  else await viewer.close();
}

async function ownerWatches() {
  const owner = ownerOfCamera!;
  return { owner, call: await owner.watch() };
}

async function invite(call: Awaited<ReturnType<TrustViewer['watch']>>, options: { rights: string[]; note: string }) {
  return (await call.ask('access.invite', { expiresInHours: 1, ...options })) as { id: string; code: SetupCode };
}

/** One stranger tries one wrong code; resolves when the camera has counted it on its disk. */
async function wrongCode(number: number): Promise<void> {
  const stranger = await newcomer();
  attempts++;
  assert.equal(await stranger.hello(randomCode(), SILENCE_MS), undefined, 'a wrong code is answered by silence');
  await until('a line in the log', () => camera.log().includes(`"from":"${stranger.thumbprint}"`), 1_000);
  await until(`${number} wrong codes on the disk`, async () => (await failures()) === number);
  await stranger.close();
}

async function failures(): Promise<number> {
  try {
    const file = await readFile(join(folder.path, 'state', 'access.json'), 'utf8');
    return (JSON.parse(file) as { failures: number }).failures;
  } catch {
    return 0;
  }
}

/** Whose presence a token made of this grant may see. */
async function camerasOf(viewer: TrustViewer, grant: string): Promise<readonly string[]> {
  const answer = await requestToken(server.httpUrl, { key: viewer.key, grants: [grant] });
  return ((await answer.json()) as { cameras: string[] }).cameras;
}

async function peercamctl(...args: string[]): Promise<string> {
  const program = fileURLToPath(new URL('../../dist/peercamctl.js', import.meta.url));
  const env = { ...process.env, PEERCAM_CONTROL: camera.control };
  return (await promisify(execFile)(process.execPath, [program, ...args], { env })).stdout;
}
