import { createPrivateKey } from 'node:crypto';
import { AppError, errorText } from '#lib/error.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import type { FactoryStore } from './factory-store.ts';
import { publicJwkOf, type SigningKey, thumbprintOf, uidOfKey } from './keys.ts';

/** Who this camera is, for life: what the factory burned in. */
export interface DeviceIdentity {
  readonly uid: Uid;
  readonly key: SigningKey;
  /** For TLS: PKCS #8 PEM, and the device certificate with its issuers. */
  readonly privateKeyPem: string;
  readonly certificatePem: string;
  readonly setupCode: SetupCode;
  readonly model: string;
  readonly hardwareRevision: string;
}

/** Reads what the factory gave this board. Throws an AppError where it was not provisioned, or not to the end. */
export async function loadDeviceIdentity(store: FactoryStore): Promise<DeviceIdentity> {
  const data = await store.read();
  const { uid, privateKeyPem, certificatePem, setupCode, model = '', hardwareRevision = '' } = data ?? {};
  if (!uid || !privateKeyPem || !certificatePem || !setupCode) {
    throw new AppError(
      'identity.not-provisioned',
      `this board has no identity yet: ${store.description} holds ${data ? 'only a part of one' : 'none'}. ` +
        'Give it one with `peercam-factory provision`, or name the right place with --factory',
    );
  }
  const key = await signingKeyFrom(privateKeyPem);
  if ((await uidOfKey(key.publicKey)) !== uid) {
    throw new AppError(
      'identity.mismatch',
      `the key in ${store.description} is not that of the UID beside it: the factory data are damaged or mixed up. ` +
        'Provision the board anew with `peercam-factory provision --replace`',
    );
  }
  return { uid, key, privateKeyPem, certificatePem, setupCode, model, hardwareRevision };
}

async function signingKeyFrom(pem: string): Promise<SigningKey> {
  try {
    const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const publicKey = await publicJwkOf(await crypto.subtle.importKey('pkcs8', der, algorithm, true, ['sign']));
    const privateKey = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
    return { privateKey, publicKey, thumbprint: await thumbprintOf(publicKey) };
  } catch (error) {
    throw new AppError('identity.unreadable', `the device key cannot be used: ${errorText(error)}`, { cause: error });
  }
}
