import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { AppError, errorText } from '#lib/error.ts';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { parseUid, type Uid, uidFromKeyHash } from '#protocol/uid.ts';
import type { FactoryData } from './factory-store.ts';

/** Factory data as they lie in a store: text of unknown worth, with the place of each for messages. */
export interface StoredFactoryData {
  readonly uid?: Stored;
  readonly privateKeyPem?: Stored;
  readonly certificatePem?: Stored;
  readonly setupCode?: Stored;
  readonly model?: Stored;
  readonly hardwareRevision?: Stored;
}

interface Stored {
  readonly text: string;
  /** `/factory/board.json, field "uid"` */
  readonly place: string;
}

/** Longest model name and hardware revision. */
export const MAX_BOARD_WORDS = 64;

/**
 * What a store holds, checked as a whole: the key is P-256, the UID follows from it, the certificate is made for it.
 * Throws an AppError (`factory.damaged`) that names the place. Undefined where nothing is stored.
 */
export function checkFactoryData(stored: StoredFactoryData): Partial<FactoryData> | undefined {
  const key = stored.privateKeyPem && readKey(stored.privateKeyPem);
  const uid = key && uidOf(key);
  if (stored.uid) checkUid(stored.uid, uid);
  if (stored.certificatePem) checkCertificate(stored.certificatePem, key, uid);
  const data = {
    ...(key && { uid, privateKeyPem: stored.privateKeyPem!.text }),
    ...(stored.certificatePem && { certificatePem: stored.certificatePem.text }),
    ...(stored.setupCode && { setupCode: readSetupCode(stored.setupCode) }),
    ...(stored.model && { model: readWords(stored.model) }),
    ...(stored.hardwareRevision && { hardwareRevision: readWords(stored.hardwareRevision) }),
  };
  return Object.keys(data).length === 0 ? undefined : data;
}

/** Whether nothing is missing. */
export function isComplete(data: Partial<FactoryData> | undefined): data is FactoryData {
  return Boolean(
    data?.uid && data.privateKeyPem && data.certificatePem && data.setupCode && data.model && data.hardwareRevision,
  );
}

/** The UID of a P-256 key, private or public. */
export function uidOf(key: KeyObject): Uid {
  // As JWK and put together here: OpenSSL 3 takes ten times as long to encode a key as DER.
  const { x, y } = key.export({ format: 'jwk' });
  const spki = Buffer.concat([P256_SPKI_HEAD, Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')]);
  return uidFromKeyHash(createHash('sha256').update(spki).digest());
}

/** SubjectPublicKeyInfo of an uncompressed point on P-256 (RFC 5480), up to the point's coordinates. */
const P256_SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

/** Model names and revisions go onto labels, into logs and file systems: printable ASCII, 1 to 64 characters. */
export function areBoardWords(text: string): boolean {
  return text.length <= MAX_BOARD_WORDS && /^[!-~]([ -~]*[!-~])?$/.test(text);
}

function readKey({ text, place }: Stored): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch (error) {
    throw damaged(place, `is not a private key (${errorText(error)})`);
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw damaged(place, 'is not a P-256 key');
  return key;
}

function checkUid({ text, place }: Stored, uid: Uid | undefined): void {
  const written = parseUid(text);
  if (!written) throw damaged(place, 'is not a UID');
  if (!uid) throw damaged(place, 'names a UID, but the private key is missing');
  if (written !== uid) throw damaged(place, `is ${written}, but the private key there gives ${uid}`);
}

function readSetupCode({ text, place }: Stored): SetupCode {
  const code = parseSetupCode(text);
  if (!code) throw damaged(place, 'is not a setup code');
  return code;
}

function readWords({ text, place }: Stored): string {
  if (!areBoardWords(text)) throw damaged(place, `is not 1 to ${MAX_BOARD_WORDS} printable ASCII characters`);
  return text;
}

/** Throws an AppError (`factory.damaged`) unless a chain (PEM) begins with a certificate for this key and its UID. */
export function checkCertificate({ text, place }: Stored, key: KeyObject | undefined, uid: Uid | undefined): void {
  if (!key) throw damaged(place, 'is a certificate, but the private key is missing');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw damaged(place, 'holds no PEM certificate');
  let chain: X509Certificate[];
  try {
    chain = blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw damaged(place, `holds a certificate that cannot be read (${errorText(error)})`);
  }
  const device = chain[0]!;
  if (!device.checkPrivateKey(key)) throw damaged(place, "is not made for this board's private key");
  const name = device.subject.trim();
  if (name !== `CN=${uid}`) throw damaged(place, `is for "${name}", but the key's UID is ${uid}`);
}

function damaged(place: string, problem: string): AppError {
  return new AppError(
    'factory.damaged',
    `the factory data of this board are damaged: ${place} ${problem}. The board does not start with them, because it ` +
      'could not prove who it is: restore them, or provision the board anew with peercam-factory (it becomes another camera)',
  );
}
