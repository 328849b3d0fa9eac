import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { newSigningKey } from '#identity/keys.ts';
import { verify } from '#identity/seal.ts';
import { parseAs } from '#protocol/parse.ts';
import { MAX_GRANTS, PROOF_TYPE, proofSchema } from '#protocol/token.ts';
import { fetchToken } from '#viewer/connection/token.ts';

const test = suite('token');
const url = new URL('https://cameras.example/token');
const TOKEN = { token: 'jwt', expiresIn: 600, iceServers: [], cameras: [] };

/** A server that takes proofs over these nonces. */
function server(good: readonly string[]) {
  const asked: string[] = [];
  const proofs: { aud: string; nonce: string; grants?: string[] | undefined }[] = [];
  const fetch = (async (_input: URL, init: RequestInit = {}) => {
    asked.push(init.method ?? 'GET');
    if (init.method !== 'POST') return Response.json({ nonce: 'fresh' });
    const { proof } = JSON.parse(String(init.body)) as { proof: string };
    const claims = parseAs(proofSchema, (await verify(PROOF_TYPE, proof, 'proof')).payload, 'proof');
    proofs.push(claims);
    if (!good.includes(claims.nonce)) return Response.json({ error: 'nonce: expired' }, { status: 400 });
    return Response.json(TOKEN);
  }) as typeof globalThis.fetch;
  return { fetch, asked, proofs };
}

test('one request, where the settings held a nonce', async () => {
  const { fetch, asked, proofs } = server(['first']);
  const key = await newSigningKey();
  assert.deepEqual(await fetchToken({ url, nonce: 'first', key, grants: ['a.b.c'], fetch }), TOKEN);
  assert.deepEqual(asked, ['POST']);
  assert.deepEqual(proofs, [{ aud: 'https://cameras.example', nonce: 'first', grants: ['a.b.c'] }]);
});

test('a nonce that is too old is replaced, once', async () => {
  const { fetch, asked } = server(['fresh']);
  const key = await newSigningKey();
  assert.deepEqual(await fetchToken({ url, nonce: 'old', key, grants: [], fetch }), TOKEN);
  assert.deepEqual(asked, ['POST', 'GET', 'POST']);
});

test('a server that refuses is quoted', async () => {
  const { fetch, asked } = server([]);
  const key = await newSigningKey();
  const refused = fetchToken({ url, nonce: undefined, key, grants: [], fetch });
  await assert.rejects(refused, /\/token: HTTP 400 nonce: expired/);
  assert.deepEqual(asked, ['GET', 'POST']);
});

test('shows no more grants than the server takes', async () => {
  const { fetch, proofs } = server(['first']);
  const key = await newSigningKey();
  await fetchToken({ url, nonce: 'first', key, grants: Array(40).fill('a.b.c'), fetch });
  assert.equal(proofs[0]!.grants!.length, MAX_GRANTS);
});

test.run();
