import type { SealingKey, SigningKey } from '#identity/keys.ts';
import { thumbprintOf } from '#identity/keys.ts';
import type { Signed } from '#identity/seal.ts';
import { PROOF_TYPE } from '#protocol/token.ts';
import * as real from '../../src/identity/seal.ts';

/**
 * Stands in for src/identity/seal.ts where the bench asks what sealing costs: the same shapes, no cryptography. It is
 * built into the bench's own copies of camera and viewer, never into a program.
 */
export async function sign(type: string, payload: object, key: SigningKey): Promise<string> {
  // The server is the real one in both, and wants a real proof.
  if (type === PROOF_TYPE) return real.sign(type, payload, key);
  return [part({ typ: type, jwk: key.publicKey }), part(payload), 'unsigned'].join('.');
}

export async function verify(_type: string, jws: string): Promise<Signed> {
  const [header, payload] = jws.split('.');
  const { jwk } = read(header!) as { jwk: SigningKey['publicKey'] };
  return { key: jwk, thumbprint: await thumbprintOf(jwk), payload: read(payload!) };
}

export async function seal(text: string, to: Pick<SealingKey, 'kid'>): Promise<Uint8Array> {
  return utf8.encode([part({ kid: to.kid }), '', '', part(text), ''].join('.'));
}

export function isSealed(text: string): boolean {
  return text.split('.', 6).length === 5;
}

export function recipientOf(sealed: string): string {
  return (read(sealed.split('.')[0]!) as { kid: string }).kid;
}

export async function unseal(sealed: string): Promise<string> {
  return read(sealed.split('.')[3]!) as string;
}

/** Something both sides agree on and that differs between two messages: no hash, but of a hash's length. */
export async function hashOf(text: string): Promise<string> {
  return `${text.length}-${text.slice(200, 242)}`.replaceAll('.', '-').padEnd(43, '-').slice(0, 43);
}

export function base64url(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export function randomName(bytes: number): string {
  return base64url(crypto.getRandomValues(new Uint8Array(bytes)));
}

const utf8 = new TextEncoder();

function part(value: unknown): string {
  return base64url(utf8.encode(JSON.stringify(value)));
}

function read(text: string): unknown {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
}
