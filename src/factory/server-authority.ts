import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { type Issuer, makeRoot, makeServerCertificate, pemOf, readIssuer } from './certificates.ts';

const FOLDER = 'server-ca';
const KEY_MODE = 0o400;
const PUBLIC_MODE = 0o644;

/** Where a server's certificate and key lie, and that of the authority that vouches for it. */
export interface ServerFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

/**
 * Makes a TLS certificate for a server, by an authority of its own (made at the first call): a server's key is no
 * reason to be taken for a camera, nor the other way round. Called again for the same first host, it renews.
 * @param options.hosts names and addresses, checked by `isHost`; the first names the files
 */
export async function issueServerCertificate(
  folder: string,
  options: { hosts: readonly string[]; days: number },
): Promise<ServerFiles> {
  const inside = join(folder, FOLDER);
  const stem = join(inside, options.hosts[0]!.replace(/[^A-Za-z0-9.-]/g, '_'));
  const files = { certificate: `${stem}.crt`, key: `${stem}.key`, ca: join(inside, 'server-ca.crt') };
  try {
    await mkdir(folder, { mode: 0o700 }).catch(unlessPresent);
    await mkdir(inside, { mode: 0o700 }).catch(unlessPresent);
    const issuer = await openAuthority(join(inside, 'server-ca.key'), files.ca);
    const { certificate, keyPem } = await makeServerCertificate(issuer, options);
    await writeAtomically(files.key, keyPem, { mode: KEY_MODE });
    await writeAtomically(files.certificate, pemOf(certificate), { mode: PUBLIC_MODE });
    return files;
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(
      'factory.not-written',
      `the server certificate cannot be made in ${inside} (${errorText(error)}): give a folder that this user may write`,
      { cause: error },
    );
  }
}

/** A DNS name or an IP address, as a certificate may hold it. */
export function isHost(text: string): boolean {
  return (
    isIP(text) !== 0 ||
    (text.length <= 253 && /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?)+$/i.test(text) && !text.endsWith('.'))
  );
}

async function openAuthority(keyFile: string, certificateFile: string): Promise<Issuer> {
  const [keyPem, certificatePem] = await Promise.all([readIfThere(keyFile), readIfThere(certificateFile)]);
  if (keyPem !== undefined && certificatePem !== undefined) return readIssuer(certificatePem, keyPem);
  // The key is written first: a key alone is what a power cut left, and vouches for nothing yet.
  if (certificatePem !== undefined) {
    throw new AppError('factory.ca-damaged', `${keyFile} is missing: restore it from its copy`);
  }
  const made = await makeRoot({ name: 'peercam Server CA', pathLength: 0 });
  const pem = pemOf(made.certificate);
  await writeAtomically(keyFile, made.keyPem, { mode: KEY_MODE });
  await writeAtomically(certificateFile, pem, { mode: PUBLIC_MODE });
  return readIssuer(pem, made.keyPem);
}

function unlessPresent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}
