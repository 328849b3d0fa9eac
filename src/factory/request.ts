import './reflect.ts';
import { createPublicKey } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { uidOf } from '#identity/factory-check.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Uid } from '#protocol/uid.ts';

/** A board's certificate request that holds what it must. */
export interface CheckedRequest {
  readonly uid: Uid;
  readonly publicKey: x509.PublicKey;
}

/**
 * Reads a PKCS #10 request (DER) that a board sent. Throws an AppError (`factory.bad-request`) unless it is signed with
 * the key it holds (the board has it), that key is P-256, and its CN is the UID that follows from the key.
 */
export async function readRequest(der: Uint8Array): Promise<CheckedRequest> {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(Buffer.from(der));
  } catch (error) {
    throw refused(`it is not a PKCS #10 request (${errorText(error)})`);
  }
  const key = p256Key(request.publicKey);
  if (!(await verifies(request))) throw refused('its signature is not by the key in it');
  const uid = uidOf(key);
  const names = request.subjectName.toJSON();
  const name = names.length === 1 ? names[0]!.CN : undefined;
  if (name?.length !== 1 || name[0] !== uid) throw refused(`its subject is not CN=${uid}, the UID of the key in it`);
  return { uid, publicKey: request.publicKey };
}

function p256Key(publicKey: x509.PublicKey) {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey.rawData), format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch (error) {
    throw refused(`the key in it cannot be read (${errorText(error)})`);
  }
  throw refused('the key in it is not a P-256 key');
}

async function verifies(request: x509.Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    return false;
  }
}

function refused(problem: string): AppError {
  return new AppError(
    'factory.bad-request',
    `the board's certificate request is refused: ${problem}. Either the board's program is not peercam's, or something ` +
      'on the way changed the request: start again with a freshly flashed board',
  );
}
