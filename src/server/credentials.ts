import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { certificatesOf } from '#identity/device-certificate.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { RevocationList } from './revocation-list.ts';

export interface CredentialFiles {
  /** The server's certificate with its chain, and its key, PEM; both empty where it speaks no TLS. */
  readonly cert: string;
  readonly key: string;
  /** The factory CAs, PEM. */
  readonly ca: string;
  /** What the factory has revoked; empty for nothing. */
  readonly crl: string;
}

/** What the files hold, all of one moment. */
export interface Credentials {
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly leaf: X509Certificate } | undefined;
  readonly ca: Buffer;
  readonly authorities: readonly X509Certificate[];
  readonly revoked: RevocationList;
}

export interface CredentialStoreOptions {
  readonly files: CredentialFiles;
  readonly log: Logger;
  /** The files have changed, and what is in them now is good. */
  onChange(credentials: Credentials): void;
}

const LOOK_EVERY_MS = 2_000;

/** The server's own certificate and its trust in cameras: read at the start, and again when the files change. */
export class CredentialStore {
  private readonly options: CredentialStoreOptions;
  private credentials: Credentials | undefined;
  private stamp = '';
  private timer: NodeJS.Timeout | undefined;
  private looking = false;

  constructor(options: CredentialStoreOptions) {
    this.options = options;
  }

  get current(): Credentials {
    return this.credentials!;
  }

  /** Rejects with an AppError (`server.credentials`) that says which file is missing and how to make it. */
  async start(): Promise<void> {
    this.stamp = await stampOf(this.options.files);
    this.credentials = await load(this.options.files);
    this.timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Reads the files again; keeps what it has where one of them is no good, and says so. */
  async reload(): Promise<void> {
    const { files, log, onChange } = this.options;
    try {
      this.stamp = await stampOf(files);
      this.credentials = await load(files);
    } catch (error) {
      log.error({ cause: errorText(error) }, 'changed certificate files are not used: going on with the former ones');
      return;
    }
    log.info({ revoked: this.credentials.revoked.size }, 'certificates read again');
    onChange(this.credentials);
  }

  private async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      if ((await stampOf(this.options.files)) !== this.stamp) await this.reload();
    } finally {
      this.looking = false;
    }
  }
}

async function load({ cert, key, ca, crl }: CredentialFiles): Promise<Credentials> {
  if (ca === '')
    throw missing('--cameras-ca', 'the factory CA, by which it knows cameras', 'peercam-factory init-ca DIR');
  const caPem = await read(ca, '--cameras-ca');
  const authorities = await attempt(ca, '--cameras-ca', () => certificatesOf(caPem.toString()));
  if (authorities.length === 0) throw unusable(ca, '--cameras-ca', 'there is no certificate in it');
  const revoked = crl === '' ? new RevocationList() : await readRevoked(crl);
  return { tls: await loadTls(cert, key), ca: caPem, authorities, revoked };
}

async function loadTls(cert: string, key: string): Promise<Credentials['tls']> {
  if (cert === '' && key === '') return undefined;
  if (cert === '' || key === '') throw new AppError('server.credentials', '--tls-cert and --tls-key go together');
  const pair = { cert: await read(cert, '--tls-cert'), key: await read(key, '--tls-key') };
  return await attempt(`${cert} with ${key}`, '--tls-cert and --tls-key', () => {
    createSecureContext(pair);
    return { ...pair, leaf: new X509Certificate(pair.cert) };
  });
}

async function readRevoked(path: string): Promise<RevocationList> {
  const content = await read(path, '--cameras-crl');
  return await attempt(path, '--cameras-crl', () => RevocationList.parse(content));
}

/** An AppError that tells a newcomer how to get what is missing. */
export function missing(flag: string, what: string, command: string): AppError {
  return new AppError(
    'server.credentials',
    `the server needs ${what}: make it with \`${command}\` and name the file with ${flag}`,
  );
}

async function read(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw unusable(path, flag, errorText(error));
  }
}

async function attempt<T>(path: string, flag: string, make: () => T): Promise<T> {
  try {
    return make();
  } catch (error) {
    throw unusable(path, flag, errorText(error));
  }
}

function unusable(path: string, flag: string, why: string): AppError {
  return new AppError('server.credentials', `${path} (${flag}) cannot be used: ${why}`);
}

/** Changes when one of the files does, be it replaced under the same name. */
async function stampOf(files: CredentialFiles): Promise<string> {
  const paths = [files.cert, files.key, files.ca, files.crl].filter((path) => path !== '');
  const stamps = paths.map(async (path) => {
    const found = await stat(path).catch(() => undefined);
    return found ? `${found.ino} ${found.mtimeMs} ${found.size}` : 'missing';
  });
  return (await Promise.all(stamps)).join('\n');
}
