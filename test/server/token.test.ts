import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { importJWK, jwtVerify } from 'jose';
import { suite } from 'uvu';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { sign } from '#identity/seal.ts';
import { parseAs } from '#protocol/parse.ts';
import { PROOF_TYPE, tokenSchema } from '#protocol/token.ts';
import { cameraInbox, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { Nonces } from '#server/nonces.ts';
import { RateLimit } from '#server/rate-limit.ts';
import { requestToken, TestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

let server: TestServer;
let key: SigningKey;

const test = suite('tokens');

test.before(async () => {
  server = new TestServer({ names: ['cameras.example'], viewer: { iceServers: ['stun:stun.example:3478'] } });
  await server.start();
  key = await newSigningKey();
});
test.after(() => server.remove());

/** What `POST /token` says, raw, to a body and a Host header of any kind. */
async function post(body: string, host?: string): Promise<{ status: number; body: string }> {
  const { hostname, port, host: own } = new URL(server.httpUrl);
  const socket = connect(Number(port), hostname);
  const length = Buffer.byteLength(body);
  socket.on('error', () => {});
  socket.write(
    `POST /token HTTP/1.1\r\nHost: ${host ?? own}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
  );
  let answer = '';
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
  return { status: Number(answer.split(' ')[1]), body: answer.slice(answer.indexOf('\r\n\r\n') + 4) };
}

async function nonce(): Promise<string> {
  return ((await (await fetch(`${server.httpUrl}/token`)).json()) as { nonce: string }).nonce;
}

test('a proof of a key gets a token in its name, for any page on any host', async () => {
  const response = await requestToken(server.httpUrl, { key });
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  assert.equal(response.headers.get('cache-control'), 'no-store');
  const { token, expiresIn, iceServers, cameras } = parseAs(tokenSchema, await response.json(), 'token');
  assert.deepEqual([expiresIn, iceServers, cameras], [600, [{ urls: 'stun:stun.example:3478' }], []]);
  // As EMQX would check it.
  const { keys } = (await (await fetch(`${server.httpUrl}/.well-known/jwks.json`)).json()) as { keys: object[] };
  const { payload, protectedHeader } = await jwtVerify(token, await importJWK(keys[0]!, 'ES256'));
  assert.equal(protectedHeader.alg, 'ES256');
  const { iss, sub, iat, exp, cams, acl } = payload;
  assert.deepEqual([iss, sub, exp! - iat!, cams], ['peercam-server', key.thumbprint, 600, []]);
  assert.deepEqual(acl, { pub: [cameraInbox('+' as Uid)], sub: [viewerInbox(key.thumbprint)], all: [] });
});

test('a page on another host may ask first', async () => {
  const response = await fetch(`${server.httpUrl}/token`, {
    method: 'OPTIONS',
    headers: { Origin: 'https://elsewhere.example' },
  });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get('access-control-allow-headers'), 'Content-Type');
  assert.match(response.headers.get('access-control-allow-methods')!, /POST/);
  assert.equal((await fetch(`${server.httpUrl}/token`, { method: 'PUT' })).status, 405);
});

test('a proof is good once, for one key, for two minutes', async () => {
  const one = await nonce();
  assert.equal((await requestToken(server.httpUrl, { key, nonce: one })).status, 200);
  assert.equal((await requestToken(server.httpUrl, { key, nonce: one })).status, 400);
  // config.json may be the same for several.
  assert.equal((await requestToken(server.httpUrl, { key: await newSigningKey(), nonce: one })).status, 200);
  for (const wrong of ['', 'x', `${one}x`, one.replace(/^./, '0'), '..']) {
    assert.equal((await requestToken(server.httpUrl, { key, nonce: wrong })).status, 400, wrong);
  }
  let now = 1e12;
  const nonces = new Nonces(() => now);
  const [old, fresh] = [nonces.make(), nonces.make()];
  now += 119_000;
  assert.equal(nonces.use(fresh, 'a'), true);
  now += 2_000;
  assert.equal(nonces.use(old, 'a'), false);
  assert.equal(nonces.use(fresh, 'a'), false);
  now -= 200_000;
  assert.equal(nonces.use(nonces.make(), 'a'), true);
  assert.equal(nonces.use(old, 'b'), false, 'made in the future');
});

test('a proof for another server is refused, whatever Host it is brought under', async () => {
  const proofFor = async (aud: string) =>
    JSON.stringify({ proof: await sign(PROOF_TYPE, { aud, nonce: await nonce() }, key) });
  const { host, port } = new URL(server.httpUrl);
  const cases: [aud: string, host: string, status: number][] = [
    [`http://${host}`, host, 200],
    [`https://localhost:${port}`, `localhost:${port}`, 200],
    ['https://cameras.example', 'cameras.example', 200],
    ['https://cameras.example:8443', 'CAMERAS.example:8443', 200],
    ['https://evil.example', host, 400],
    // A server that passes on what it was sent, with its own name.
    ['https://evil.example', 'evil.example', 400],
    ['https://cameras.example.evil.example', 'cameras.example.evil.example', 400],
    ['https://cameras.example', 'cameras.example:8443', 400],
    [`http://${host}`, 'localhost', 400],
    ['not a URL', host, 400],
    ['', host, 400],
    ['data:,x', '', 400],
  ];
  for (const [aud, asked, status] of cases) {
    const answer = await post(await proofFor(aud), asked);
    assert.equal(answer.status, status, `${aud} at ${asked}: ${answer.body}`);
  }
});

test('what is no proof is refused, with a reason and without an echo', async () => {
  const claims = { aud: new URL(server.httpUrl).origin, nonce: await nonce() };
  const good = await sign(PROOF_TYPE, claims, key);
  const [head, body, signature] = good.split('.') as [string, string, string];
  const other = await newSigningKey();
  const header = (fields: object) => Buffer.from(JSON.stringify(fields)).toString('base64url');
  const bodies = [
    '',
    'secret',
    '[]',
    '{}',
    '{"proof":1}',
    JSON.stringify({ proof: 'secret' }),
    JSON.stringify({ proof: `${head}.${body}.${signature.slice(0, -6)}AAAAAA` }),
    JSON.stringify({ proof: await sign('JWT', claims, key) }),
    JSON.stringify({ proof: await sign(PROOF_TYPE, { ...claims, grants: Array(33).fill('a.b.c') }, key) }),
    JSON.stringify({ proof: await sign(PROOF_TYPE, { ...claims, grants: ['secret'] }, key) }),
    JSON.stringify({ proof: `${header({ alg: 'none', typ: PROOF_TYPE, jwk: key.publicKey })}.${body}.` }),
    JSON.stringify({ proof: `${header({ alg: 'HS256', typ: PROOF_TYPE, jwk: key.publicKey })}.${body}.${signature}` }),
    JSON.stringify({
      proof: `${header({ alg: 'ES256', typ: PROOF_TYPE, jwk: other.publicKey })}.${body}.${signature}`,
    }),
    JSON.stringify({ proof: 'x'.repeat(200_000) }),
  ];
  for (const text of bodies) {
    const answer = await post(text);
    assert.equal(answer.status, 400, text.slice(0, 80));
    assert.equal(answer.body.includes('secret'), false);
    assert.ok(answer.body.length < 300, answer.body);
  }
  await until('it is still there', async () => (await requestToken(server.httpUrl, { key })).ok);
  assert.equal(server.log.find(/secret/), undefined);
});

test('an address that asks too often waits, and is named once', async () => {
  const limited = new TestServer({ factory: server.factory, limits: { visitsPerMinute: 5 } });
  await limited.start();
  const answers: number[] = [];
  for (let i = 0; i < 8; i++) answers.push((await fetch(`${limited.httpUrl}/token`)).status);
  assert.deepEqual(answers, [200, 200, 200, 200, 200, 429, 429, 429]);
  assert.equal(limited.log.lines.filter(({ message }) => /too many requests/.test(message)).length, 1);
  // The viewer's files are for everybody.
  assert.equal((await fetch(`${limited.httpUrl}/healthz`)).status, 200);
  await limited.remove();
});

test('behind a proxy an address is the one that the proxy adds, not what a viewer claims', async () => {
  const statuses = async (behindProxy: boolean, address: (i: number) => string) => {
    const limited = new TestServer({ factory: server.factory, behindProxy, limits: { visitsPerMinute: 2 } });
    await limited.start();
    const found: number[] = [];
    for (let i = 0; i < 4; i++) {
      const headers = { 'X-Forwarded-For': address(i) };
      found.push((await fetch(`${limited.httpUrl}/token`, { headers })).status);
    }
    await limited.remove();
    return found;
  };
  assert.deepEqual(await statuses(true, (i) => `203.0.113.${i}`), [200, 200, 200, 200]);
  assert.deepEqual(await statuses(true, (i) => `203.0.113.${i}, 192.0.2.1`), [200, 200, 429, 429]);
  assert.deepEqual(await statuses(false, (i) => `203.0.113.${i}`), [200, 200, 429, 429]);
});

test('buckets: an average, a burst, a debt with an end, and bounded memory', () => {
  let now = 0;
  const limit = new RateLimit({ perSecond: 10, burst: 20 }, () => now);
  assert.equal(limit.take('a', 20), 0);
  assert.equal(limit.take('a'), 100);
  assert.equal(limit.take('b'), 0);
  for (let i = 0; i < 1_000; i++) limit.take('a');
  assert.equal(limit.take('a'), 2_000, 'the debt is no more than a burst');
  now += 4_000;
  assert.equal(limit.left('a'), 1);
  assert.equal(limit.tryTake('a'), true);
  limit.take('a', 19);
  assert.equal(limit.tryTake('a'), false);
  for (let i = 0; i < 100_000; i++) limit.take(`name ${i}`);
  assert.ok((limit as unknown as { buckets: Map<string, unknown> }).buckets.size <= 20_000);
});

test.run();
