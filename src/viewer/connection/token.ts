import * as v from 'valibot';
import type { SigningKey } from '#identity/keys.ts';
import { sign } from '#identity/seal.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { MAX_GRANTS, PROOF_TYPE, type Token, tokenSchema } from '#protocol/token.ts';

const MAX_ANSWER = 64 * 1024;
const refusalSchema = v.object({ error: v.pipe(v.string(), v.maxLength(300)) });
const nonceSchema = v.object({ nonce: v.pipe(v.string(), v.maxLength(200)) });

/**
 * Proves this viewer's key to the server and brings home a token. Rejects with the server's words where it refuses.
 * @param options.nonce from config.json, where it had one; one that is too old is replaced by a fresh one
 */
export async function fetchToken(options: {
  readonly url: URL;
  readonly nonce: string | undefined;
  readonly key: SigningKey;
  readonly grants: readonly string[];
  readonly fetch?: typeof fetch;
}): Promise<Token> {
  const { url, nonce, fetch = globalThis.fetch.bind(globalThis) } = options;
  if (nonce !== undefined) {
    const response = await post(nonce, { ...options, fetch });
    if (response.ok) return await read(response);
  }
  const asked = await fetch(url);
  if (!asked.ok) throw new Error(`${url.pathname}: HTTP ${asked.status}`);
  const fresh = parseJsonAs(nonceSchema, await asked.text(), 'nonce', MAX_ANSWER).nonce;
  const response = await post(fresh, { ...options, fetch });
  if (!response.ok) throw new Error(`${url.pathname}: HTTP ${response.status} ${await problemOf(response)}`.trimEnd());
  return await read(response);
}

async function post(
  nonce: string,
  { url, key, grants, fetch }: { url: URL; key: SigningKey; grants: readonly string[]; fetch: typeof globalThis.fetch },
): Promise<Response> {
  const proof = await sign(PROOF_TYPE, { aud: url.origin, nonce, grants: grants.slice(0, MAX_GRANTS) }, key);
  return await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ proof }),
  });
}

/** The server's words, as far as they are words. */
async function problemOf(response: Response): Promise<string> {
  try {
    return parseJsonAs(refusalSchema, await response.text(), 'refusal', MAX_ANSWER).error;
  } catch {
    return '';
  }
}

async function read(response: Response): Promise<Token> {
  return parseJsonAs(tokenSchema, await response.text(), 'token', MAX_ANSWER);
}
