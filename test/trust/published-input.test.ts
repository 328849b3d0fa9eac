// time limit: 120 s
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import { parseCommandLine } from '#device/command-line.ts';
import { createSource } from '#device/source.ts';
import { parseBoardSpec } from '#factory/board-spec.ts';
import { newSealingKey, thumbprintOf } from '#identity/keys.ts';
import { randomName, seal, sign } from '#identity/seal.ts';
import { systemClock } from '#lib/clock.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { RecordingLogger } from '../support/recording-logger.ts';
import { endSoon, type TrustCall, TrustViewer } from '../support/trust-viewer.ts';
import { until } from '../support/wait.ts';

/** Published failures of cameras that believed what a client said, or handed it to a shell; done to ours. */
const test = suite('published failures: input');
let attempts = 0;
let numbers = 1000;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: ServerProgram;
let camera: CameraProgram;
let owner: TrustViewer;
let ownerCall: TrustCall;
let guest: TrustViewer;
let guestCall: TrustCall;
/** What every injection tries to make. */
let mark: string;

test.before(async () => {
  folder = await temporaryFolder('input');
  mark = join(folder.path, 'pwned');
  server = await startServer();
  const own = join(folder.path, 'camera');
  await mkdir(own);
  // Everything that runs a command when somebody comes is switched on.
  const hook = ['--watching-command', '/bin/true'];
  camera = await startCamera({ server: server.mqttUrl, folder: own, whepToken: 'a token of WHEP clients', args: hook });
  owner = await TrustViewer.connect(server.httpUrl, camera.uid);
  await owner.pair(camera.setupCode);
  ownerCall = await owner.watch();
  const { code } = (await ownerCall.ask('access.invite', { rights: ['view'], note: 'guest', expiresInHours: 1 })) as {
    code: SetupCode;
  };
  guest = await TrustViewer.connect(server.httpUrl, camera.uid);
  await guest.pair(code);
  guestCall = await guest.watch();
});

test.after(async () => {
  await guest?.close();
  await owner?.close();
  await camera?.stop();
  await server?.stop();
  await folder.remove();
  endSoon();
});

// Dahua: a client that called itself "NetKeyboard" (or came from the loopback address) was not asked for a password.
test('CVE-2021-33044: what a client says of itself gives it nothing', async () => {
  const claims = {
    clientType: 'NetKeyboard',
    loginType: 'Loopback',
    userName: 'admin',
    role: 'owner',
    rights: ['view', 'owner'],
    local: true,
    authorized: true,
    ipAddr: '127.0.0.1',
  };
  // In a stranger's hello and call, signed by its own key.
  const stranger = await TrustViewer.connect(server.httpUrl, camera.uid);
  const key = stranger.key;
  const { publicKey: enc } = await newSealingKey();
  const base = { iss: key.thumbprint, aud: camera.uid, iat: Date.now(), enc };
  const hello = await sign(SIGNED_TYPE.hello, { ...claims, ...base, jti: randomName(16) }, key);
  const sealing = owner.parley.known!.sealing;
  const msg = { ...claims, type: 'call', call: randomName(16), sdp: ownerCall.offer };
  const epoch = owner.parley.known!.epoch;
  const call = await sign(SIGNED_TYPE.toCamera, { ...claims, ...base, jti: randomName(16), epoch, seq: 0, msg }, key);
  const to = { kid: await thumbprintOf(sealing), publicKey: sealing };
  for (const payload of [new TextEncoder().encode(hello), await seal(call, to)]) {
    attempts++;
    await stranger.publish(payload);
  }
  await until('the camera notes it', () => camera.log().includes(`"from":"${key.thumbprint}"`), 1_000);
  assert.equal(stranger.news.length + stranger.ignored + stranger.refused.length, 0);
  await stranger.close();

  // In a guest's requests.
  for (const extra of [
    claims,
    { ...claims, viewer: owner.thumbprint },
    { __proto__: null, caller: { rights: ['owner'] } },
  ]) {
    attempts++;
    const params = { rights: ['view', 'owner'], note: 'x', expiresInHours: 1, ...extra };
    await assert.rejects(guestCall.ask('access.invite', params), /right "owner"|which you do not have/);
  }
  attempts++;
  const before = guestCall.notified.length;
  guestCall.say(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'session.login', params: claims }));
  guestCall.say(JSON.stringify({ ...claims, jsonrpc: '2.0', method: 'camera.rename', params: { name: 'robbed' } }));
  const names = await namesOnTheList();
  assert.ok(names.length === 2 && !names.includes('robbed'), names.join());
  assert.equal(guestCall.notified.length, before, 'nothing was renamed');

  // At the WHEP door, where a bearer token is asked for.
  const tries: Record<string, string>[] = [
    {},
    { authorization: 'Bearer ' },
    { authorization: 'Bearer undefined' },
    { authorization: 'Bearer null' },
    { authorization: 'Basic YWRtaW46YWRtaW4=' },
    { authorization: 'bearer', 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '::1' },
    { 'x-client-type': 'NetKeyboard', host: 'localhost' },
    { cookie: 'WebClientSession=1; user=admin' },
  ];
  for (const headers of tries) {
    attempts++;
    const options = {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/sdp' },
      body: ownerCall.offer,
    };
    assert.equal((await fetch(camera.whepUrl!, options)).status, 401, JSON.stringify(headers));
  }
  attempts++;
  assert.equal((await fetch(`${camera.whepUrl}?auth=YWRtaW46MTEK&token=admin`, { method: 'POST' })).status, 401);
});

// Hikvision: the language tag of a web request ended up in a shell command, without a login.
test('CVE-2021-36260: no string from outside reaches a shell or a path', async () => {
  const corpus = injections(mark);
  for (const text of corpus) {
    const short = text.slice(0, 64);
    const calls: [string, object][] = [
      ['access.rename', { thumbprint: guest.thumbprint, name: short }],
      ['camera.rename', { name: short }],
      ['access.invite', { rights: ['view'], note: short, expiresInHours: 1 }],
      ['access.cancelInvitation', { id: text }],
      ['access.revoke', { thumbprint: text }],
      [text, {}],
      ['audit.read', { before: text }],
    ];
    for (const [method, params] of calls) {
      attempts++;
      const result = await ownerCall.ask(method, params).catch(() => undefined);
      const { id } = (result ?? {}) as { id?: string };
      if (id) await ownerCall.ask('access.cancelInvitation', { id });
    }
    // Through the mailbox: the name of who pairs, an offer, a candidate, a goodbye.
    for (const msg of [
      { type: 'pair', name: short, proof: 'p'.repeat(43) },
      { type: 'call', call: randomName(16), sdp: `${ownerCall.offer}a=x:${text}\r\n` },
      { type: 'call', call: randomName(16), sdp: text || ' ' },
      { type: 'call', call: randomName(16), sdp: ownerCall.offer, address: text },
      { type: 'candidate', call: guestCall.id, candidate: `candidate:${text}`, mid: '0' },
      {
        type: 'candidate',
        call: guestCall.id,
        candidate: `candidate:1 1 udp 1 ${text} 9 typ host`,
        mid: short.slice(0, 32),
      },
    ]) {
      attempts++;
      await say(msg);
    }
    attempts++;
    const url = `${camera.whepUrl}/${encodeURIComponent(text)}`;
    const authorization = 'Bearer a token of WHEP clients';
    await fetch(url, { method: 'DELETE', headers: { authorization } }).catch(() => {});
    // At the server: paths and the token endpoint.
    attempts += 2;
    await fetch(`${server.httpUrl}/${encodeURIComponent(text)}`).catch(() => {});
    await fetch(`${server.httpUrl}/token`, { method: 'POST', body: JSON.stringify({ proof: text }) }).catch(() => {});
  }

  // What an installer writes: sources, boards, commands. Words stay words, and hosts are hosts.
  const log = new RecordingLogger();
  for (const text of corpus) {
    attempts += 4;
    assert.throws(() => parseBoardSpec(`ssh:${text}`), /names no board/, text);
    assert.throws(() => parseBoardSpec(`ssh:-oProxyCommand=${text}`), /names no board/);
    try {
      createSource({ spec: `v4l2:/dev/video0${text}`, patternClip: '', log, clock: systemClock });
    } catch (error) {
      assert.match(String((error as { code?: string }).code), /bad-spec/);
    }
    try {
      const words = parseCommandLine(`program ${text}`);
      assert.equal(words[0], 'program');
    } catch (error) {
      assert.match(String((error as { code?: string }).code), /bad-spec/);
    }
  }
  const factory = fileURLToPath(new URL('../../dist/peercam-factory.js', import.meta.url));
  const ca = join(folder.path, 'ca');
  const run = (args: string[]) => promisify(execFile)(process.execPath, [factory, ...args]).catch(() => undefined);
  for (const text of corpus.slice(0, 4)) {
    attempts++;
    await run(['provision', '--ca', ca, '--board', `ssh:${text}`, '--model', text]);
  }

  // A command of the camera's own, given words that look like more, runs as those words.
  assert.ok(!existsSync(mark), 'a command was run');
  assert.ok(!(await readdir(folder.path)).some((name) => name.startsWith('pwned')));
  const info = await ownerCall.ask('session.info');
  assert.ok(info, 'the camera lives');
  console.log(`  ${corpus.length} injections in every place`);
});

// Wyze: a client that asked for the second step of the login without the first was logged in, and in control.
test('CVE-2019-9564: nothing is heard before its turn', async () => {
  guestCall.close();
  guestCall = await guest.watch();
  const stranger = await TrustViewer.connect(server.httpUrl, camera.uid);
  const key = stranger.key;
  const { publicKey: enc } = await newSealingKey();
  const { sealing, epoch } = owner.parley.known!;
  const to = { kid: await thumbprintOf(sealing), publicKey: sealing };
  const early = [
    { type: 'pair', name: 'me', proof: 'A'.repeat(43) },
    { type: 'candidate', call: guestCall.id, candidate: 'candidate:1', mid: '0' },
    { type: 'bye', call: guestCall.id },
    { type: 'bye', call: ownerCall.id },
    { type: 'call', call: randomName(16), sdp: guestCall.offer },
    { type: 'call', call: ownerCall.id, sdp: guestCall.offer },
    { type: 'paired', name: 'me', rights: ['view', 'owner'], grant: 'a.b.c' },
    { type: 'here' },
  ];
  for (const msg of early) {
    for (const seq of [0, 1, 2 ** 31]) {
      attempts++;
      const claims = {
        iss: key.thumbprint,
        aud: camera.uid,
        jti: randomName(16),
        iat: Date.now(),
        epoch,
        seq,
        enc,
        msg,
      };
      await stranger.publish(await seal(await sign(SIGNED_TYPE.toCamera, claims, key), to));
    }
  }
  await until('the camera notes it', () => camera.log().includes(`"from":"${key.thumbprint}"`), 1_000);
  assert.equal(stranger.news.length + stranger.ignored + stranger.refused.length, 0);
  await stranger.close();

  // A peer without a call: plain data at the camera's doors.
  for (const body of ['', '{"jsonrpc":"2.0","id":1,"method":"access.list"}', guestCall.offer]) {
    attempts++;
    assert.equal((await fetch(camera.whepUrl!, { method: 'POST', body })).status, 401);
  }
  // The other calls have not noticed any of it.
  assert.deepEqual([ownerCall.over, guestCall.over], [undefined, undefined]);
  const packets = guestCall.packets;
  await until('the guest still has the picture', () => guestCall.packets > packets + 10);
  assert.ok(await guestCall.ask('session.info'));
  console.log(`attempts: ${attempts}, accepted wrongly: 0`);
});

test.run();

/** The guest says something as its own parley would never do; what that refuses to seal is sealed here. */
async function say(msg: { readonly type: string }): Promise<void> {
  const { sealing, epoch } = guest.parley.known!;
  const { publicKey: enc } = await newSealingKey();
  const claims = { iss: guest.thumbprint, aud: camera.uid, jti: randomName(16), iat: Date.now(), epoch };
  const jws = await sign(SIGNED_TYPE.toCamera, { ...claims, seq: ++numbers, enc, msg }, guest.key);
  await guest.publish(await seal(jws, { kid: await thumbprintOf(sealing), publicKey: sealing }));
}

async function namesOnTheList(): Promise<string[]> {
  const { entries } = (await ownerCall.ask('access.list')) as { entries: { name: string }[] };
  return entries.map(({ name }) => name);
}

/** Ways to make a shell, a path, a format or a parser do what was not meant; each would leave the file `mark`. */
function injections(mark: string): string[] {
  const touch = `touch ${mark}`;
  return [
    `;${touch};`,
    `$(${touch})`,
    `\`${touch}\``,
    `|${touch}`,
    `&& ${touch} #`,
    `|| ${touch}`,
    `& ${touch} &`,
    `\n${touch}\n`,
    `\r\n${touch}`,
    `';${touch};'`,
    `";${touch};"`,
    ['$', '{IFS}', touch].join(''),
    `$(echo>${mark})`,
    `>${mark}`,
    `<(${touch})`,
    `{touch,${mark}}`,
    `\0${touch}`,
    `%0a${touch}`,
    `../../../../../../..${mark}`,
    `/proc/self/environ;${touch}`,
    `--exec=${touch}`,
    `-oProxyCommand=${touch}`,
    `%n%n%s%x;${touch}`,
    `{{constructor.constructor("require('fs').writeFileSync('${mark}','')")()}}`,
    `__proto__`,
    `<script>${touch}</script>`,
    `'; DROP TABLE x; --${touch}`,
    `() { :;}; ${touch}`,
    `${'a'.repeat(40)};${touch}`,
  ];
}
