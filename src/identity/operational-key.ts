import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { publicJwkOf, type SealingKey, thumbprintOf } from './keys.ts';

export const OPERATIONAL_KEY_FILE = 'operational-key.pem';

/**
 * The key that messages to this camera are sealed to (P-256, PKCS #8 PEM). Not the device key: that one only signs, as
 * one in a secure element can, and outlives every owner. This one is made on first use, and anew after a factory reset.
 */
export async function loadOperationalKey(stateDir: string): Promise<SealingKey> {
  const path = join(stateDir, OPERATIONAL_KEY_FILE);
  try {
    const pem = (await readIfThere(path)) ?? (await makeKey(path));
    return await sealingKeyFrom(createPrivateKey(pem));
  } catch (error) {
    throw new AppError(
      'identity.operational-key',
      `the camera's operational key ${path} cannot be used (${errorText(error)}). Give a writable state directory with ` +
        '--state; where the file is damaged, delete it: a new one is made, and viewers learn it by themselves',
      { cause: error },
    );
  }
}

async function makeKey(path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await writeAtomically(path, pem, { mode: 0o400 });
  return pem;
}

async function sealingKeyFrom(key: KeyObject): Promise<SealingKey> {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const algorithm = { name: 'ECDH', namedCurve: 'P-256' };
  // Extractable for a moment only: its public half is in there.
  const whole = await crypto.subtle.importKey('pkcs8', der, algorithm, true, ['deriveBits']);
  const publicKey = await publicJwkOf(whole);
  const privateKey = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['deriveBits']);
  return { privateKey, publicKey, kid: await thumbprintOf(publicKey) };
}
