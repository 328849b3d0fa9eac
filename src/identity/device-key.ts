import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, errorText } from '#lib/error.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';

/** Who this camera is: a key made on the board, and the UID that follows from it. */
export interface DeviceKey {
  readonly uid: Uid;
  readonly publicKey: PublicKeyJwk;
  readonly privateKey: KeyObject;
}

const FILE = 'device-key.pem';

/** Reads the device key (P-256, PKCS #8 PEM) from the state directory; makes one on the very first start. */
export async function loadDeviceKey(stateDir: string): Promise<DeviceKey> {
  const path = join(stateDir, FILE);
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error);
    pem = await makeKey(stateDir, path);
  }
  try {
    return deviceKeyFrom(createPrivateKey(pem));
  } catch (error) {
    throw unusable(path, error);
  }
}

function deviceKeyFrom(privateKey: KeyObject): DeviceKey {
  const details = privateKey.asymmetricKeyDetails;
  if (details?.namedCurve !== 'prime256v1') throw new Error('it is not a P-256 key');
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { x, y } = publicKey.export({ format: 'jwk' });
  return {
    uid: uidFromKeyHash(createHash('sha256').update(spki).digest()),
    publicKey: { kty: 'EC', crv: 'P-256', x: x!, y: y! },
    privateKey,
  };
}

/** Written whole or not at all: a power cut on the first start must not leave half a key. */
async function makeKey(stateDir: string, path: string): Promise<string> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const fresh = `${path}.new`;
  try {
    // Not recursive: a state directory in the wrong place is a mistake, and Node loops for ever where /proc refuses one.
    await mkdir(stateDir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    const file = await open(fresh, 'w', 0o400);
    try {
      await file.writeFile(pem);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
    const directory = await open(stateDir, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    throw new AppError(
      'identity.not-saved',
      `the camera's key cannot be saved in ${stateDir} (${errorText(error)}): give a writable directory with --state`,
      { cause: error },
    );
  }
  return pem;
}

function unusable(path: string, error: unknown): AppError {
  return new AppError(
    'identity.unreadable',
    `the camera's key ${path} cannot be used (${errorText(error)}). Without it the camera would have another UID, ` +
      'so it does not start: restore the file, or delete it to become a new camera',
    { cause: error },
  );
}
