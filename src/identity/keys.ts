import { type CryptoKey, calculateJwkThumbprint } from 'jose';
import type { PublicKeyJwk } from '#protocol/status.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';

/** A P-256 key that signs (ES256): a viewer's or a device's. Whoever holds it is known by its thumbprint. */
export interface SigningKey {
  /** RFC 7638, SHA-256, base64url. */
  readonly thumbprint: string;
  readonly publicKey: PublicKeyJwk;
  readonly privateKey: CryptoKey;
}

/** A P-256 key that messages are sealed to (ECDH-ES): a camera's operational key, a viewer's of one page load. */
export interface SealingKey {
  /** RFC 7638 thumbprint, the `kid` of what is sealed to it. */
  readonly kid: string;
  readonly publicKey: PublicKeyJwk;
  readonly privateKey: CryptoKey;
}

/** A fresh signing key whose private half cannot leave this program. */
export async function newSigningKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await newKeyPair('ECDSA', ['sign', 'verify']);
  return { privateKey, publicKey, thumbprint: await thumbprintOf(publicKey) };
}

/** A fresh sealing key whose private half cannot leave this program. */
export async function newSealingKey(): Promise<SealingKey> {
  const { privateKey, publicKey } = await newKeyPair('ECDH', ['deriveBits']);
  return { privateKey, publicKey, kid: await thumbprintOf(publicKey) };
}

/** RFC 7638 thumbprint of a public key, 43 base64url characters. */
export function thumbprintOf(key: PublicKeyJwk): Promise<string> {
  return calculateJwkThumbprint(key, 'sha256');
}

/** The UID that follows from a device's public key. */
export async function uidOfKey({ x, y }: PublicKeyJwk): Promise<Uid> {
  const spki = Uint8Array.from([...SPKI_HEAD, ...bytesOf(x), ...bytesOf(y)]);
  return uidFromKeyHash(new Uint8Array(await crypto.subtle.digest('SHA-256', spki)));
}

/** The public members alone, in a form that parses as `PublicKeyJwk`. */
export async function publicJwkOf(key: CryptoKey): Promise<PublicKeyJwk> {
  const { x, y } = (await crypto.subtle.exportKey('jwk', key as never)) as { x?: string; y?: string };
  return { kty: 'EC', crv: 'P-256', x: x!, y: y! };
}

/** SubjectPublicKeyInfo of an uncompressed P-256 point up to the point itself (RFC 5480), and the point's 0x04. */
const SPKI_HEAD = [
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
  0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

async function newKeyPair(name: 'ECDSA' | 'ECDH', usages: ('sign' | 'verify' | 'deriveBits')[]) {
  const pair = (await crypto.subtle.generateKey({ name, namedCurve: 'P-256' }, false, usages)) as {
    readonly privateKey: CryptoKey;
    readonly publicKey: CryptoKey;
  };
  return { privateKey: pair.privateKey, publicKey: await publicJwkOf(pair.publicKey) };
}

function bytesOf(base64url: string): Uint8Array {
  return Uint8Array.from(atob(base64url.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
}
