import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { SETUP_CODE_BYTES, type SetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import { uidOf } from './factory-check.ts';

/** What a board makes itself, out of its own randomness. */
export interface NewIdentity {
  readonly uid: Uid;
  readonly privateKey: KeyObject;
  /** PKCS #8 PEM, P-256. */
  readonly privateKeyPem: string;
  readonly setupCode: SetupCode;
  /** A certificate request (PKCS #10, RFC 2986) for CN = UID, signed with the key: DER. */
  readonly request: Buffer;
}

/** A new key, the UID that follows from it, the request for its certificate, and a new setup code. */
export function newIdentity(): NewIdentity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const uid = uidOf(publicKey);
  return {
    uid,
    privateKey,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    setupCode: setupCodeFrom(randomBytes(SETUP_CODE_BYTES)),
    request: certificateRequest(uid, privateKey, publicKey),
  };
}

/** Written here by hand, since the board needs no other ASN.1. */
function certificateRequest(uid: Uid, privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const subject = sequence(tagged(SET, sequence(OID_COMMON_NAME, tagged(UTF8_STRING, Buffer.from(uid)))));
  const version = Buffer.from([0x02, 1, 0]);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const noAttributes = tagged(CONTEXT_0, Buffer.alloc(0));
  const info = sequence(version, subject, spki, noAttributes);
  const signature = sign('sha256', info, privateKey);
  return sequence(info, sequence(OID_ECDSA_SHA256), tagged(BIT_STRING, Buffer.from([0]), signature));
}

const SEQUENCE = 0x30;
const SET = 0x31;
const UTF8_STRING = 0x0c;
const BIT_STRING = 0x03;
const CONTEXT_0 = 0xa0;
/** 2.5.4.3 */
const OID_COMMON_NAME = Buffer.from('0603550403', 'hex');
/** 1.2.840.10045.4.3.2 */
const OID_ECDSA_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');

function sequence(...parts: Buffer[]): Buffer {
  return tagged(SEQUENCE, ...parts);
}

/** Tag, length (X.690, 8.1.3; up to 65535 bytes) and content. */
function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const lengthBytes = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...lengthBytes]), content]);
}
