import {
  CompactEncrypt,
  CompactSign,
  type CryptoKey,
  compactDecrypt,
  compactVerify,
  decodeProtectedHeader,
  importJWK,
} from 'jose';
import * as v from 'valibot';
import { ProtocolError, parseAs } from '#protocol/parse.ts';
import { type PublicKeyJwk, publicKeySchema } from '#protocol/status.ts';
import type { SealingKey, SigningKey } from './keys.ts';
import { thumbprintOf } from './keys.ts';

/** What a signature was found to be good for. */
export interface Signed {
  /** The signer's key, from the header, and its thumbprint. */
  readonly key: PublicKeyJwk;
  readonly thumbprint: string;
  readonly payload: unknown;
}

/**
 * A compact JWS (RFC 7515), ES256, with the signer's public key in its header. `type` is the header's `typ`: what
 * was signed for one purpose is no use for another (RFC 8725, 3.11).
 */
export function sign(type: string, payload: object, key: SigningKey): Promise<string> {
  return new CompactSign(utf8.encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', typ: type, jwk: { ...key.publicKey } })
    .sign(key.privateKey);
}

/** Checks a compact JWS of unknown origin: form, type, algorithm and signature. Throws a ProtocolError. */
export async function verify(type: string, jws: string, what: string): Promise<Signed> {
  const { jwk } = parseAs(signedHeader(type), headerOf(jws, what), `${what} header`);
  try {
    const { payload } = await compactVerify(jws, await verificationKey(jwk), { algorithms: ['ES256'] });
    return { key: jwk, thumbprint: await thumbprintOf(jwk), payload: JSON.parse(strictUtf8.decode(payload)) };
  } catch {
    throw new ProtocolError(what, 'signature', 'it does not fit');
  }
}

/** Seals text to one recipient: compact JWE (RFC 7516), ECDH-ES with a key of its own each time, A256GCM. */
export async function seal(text: string, to: Pick<SealingKey, 'kid' | 'publicKey'>): Promise<Uint8Array> {
  const jwe = await new CompactEncrypt(utf8.encode(text))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: to.kid, typ: SEALED_TYPE })
    .encrypt(await importJWK({ ...to.publicKey }, 'ECDH-ES'));
  return utf8.encode(jwe);
}

/** Whether a mailbox's payload has the form of a sealed one (five parts) and not that of a signed one (three). */
export function isSealed(text: string): boolean {
  return text.split('.', 6).length === 5;
}

/** The recipient's `kid` of a sealed text, to tell one's own from another page's. Throws a ProtocolError. */
export function recipientOf(jwe: string): string {
  return parseAs(sealedHeader, headerOf(jwe, 'sealed message'), 'sealed message header').kid;
}

/** Opens what was sealed to this key. Throws a ProtocolError. */
export async function unseal(jwe: string, key: SealingKey): Promise<string> {
  if (recipientOf(jwe) !== key.kid) throw new ProtocolError('sealed message', 'kid', 'sealed to another key');
  try {
    const { plaintext } = await compactDecrypt(jwe, key.privateKey as CryptoKey, OPENING);
    return strictUtf8.decode(plaintext);
  } catch {
    throw new ProtocolError('sealed message', '', 'it does not open with our key');
  }
}

/** Hash by which one message names another: SHA-256 of its text, base64url. */
export async function hashOf(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(text)));
  return base64url(digest);
}

/** RFC 4648 section 5, without padding. */
export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** `bytes` random bytes as base64url. */
export function randomName(bytes: number): string {
  return base64url(crypto.getRandomValues(new Uint8Array(bytes)));
}

const SEALED_TYPE = 'peercam-sealed+jwe';
const OPENING = { keyManagementAlgorithms: ['ECDH-ES'], contentEncryptionAlgorithms: ['A256GCM'] };
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

const sealedHeader = v.object({
  alg: v.literal('ECDH-ES'),
  enc: v.literal('A256GCM'),
  typ: v.literal(SEALED_TYPE),
  kid: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, 'a thumbprint')),
  epk: publicKeySchema,
  // Compression before encryption is how a small message becomes a large one; nobody here asks for it.
  zip: v.optional(v.never('no compression')),
  crit: v.optional(v.never('no extensions')),
});

function signedHeader(type: string) {
  return v.object({
    alg: v.literal('ES256'),
    typ: v.literal(type),
    jwk: publicKeySchema,
    crit: v.optional(v.never('no extensions')),
  });
}

function headerOf(text: string, what: string): unknown {
  try {
    return decodeProtectedHeader(text);
  } catch {
    throw new ProtocolError(what, '', 'neither a JWS nor a JWE');
  }
}

async function verificationKey(jwk: PublicKeyJwk): Promise<CryptoKey> {
  return (await importJWK({ ...jwk }, 'ES256')) as CryptoKey;
}
