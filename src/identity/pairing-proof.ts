import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import { base64url } from './seal.ts';

/**
 * Proves knowledge of a code without telling it: HMAC-SHA-256 under HKDF(code) over everything the two sides have
 * agreed on so far. `step` keeps the proofs of the two messages apart.
 */
export async function pairingProof(options: PairingProof): Promise<string> {
  const key = await keyOf(options);
  return base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, textOf(options))));
}

/** Compares in constant time. @param proof base64url of unknown content */
export async function pairingProofFits(proof: string, options: PairingProof): Promise<boolean> {
  return crypto.subtle.verify('HMAC', await keyOf(options), bytesOf(proof), textOf(options));
}

export interface PairingProof {
  readonly step: 'hello' | 'pair';
  readonly code: SetupCode;
  readonly uid: Uid;
  /** The viewer's. */
  readonly thumbprint: string;
  /** What else is bound: base64url or UID characters only, so that their joint is unambiguous. */
  readonly transcript: readonly string[];
}

const utf8 = new TextEncoder();

/** 80 random bits need no slow hash: HKDF (RFC 5869) with the UID as salt. */
async function keyOf({ code, uid }: PairingProof) {
  const secret = await crypto.subtle.importKey('raw', utf8.encode(code), 'HKDF', false, ['deriveKey']);
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: utf8.encode(uid), info: utf8.encode('peercam pairing 1') };
  const hmac = { name: 'HMAC', hash: 'SHA-256', length: 256 };
  return crypto.subtle.deriveKey(hkdf, secret, hmac, false, ['sign', 'verify']);
}

function textOf({ step, uid, thumbprint, transcript }: PairingProof): Uint8Array<ArrayBuffer> {
  return utf8.encode(['peercam', step, uid, thumbprint, ...transcript].join('\n'));
}

function bytesOf(base64urlText: string): Uint8Array<ArrayBuffer> {
  try {
    const binary = atob(base64urlText.replaceAll('-', '+').replaceAll('_', '/'));
    return Uint8Array.from(binary, (char) => char.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
