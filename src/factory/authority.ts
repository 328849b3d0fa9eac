import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as v from 'valibot';
import { readIfThere, syncDirectory, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { formatUid, type Uid } from '#protocol/uid.ts';
import {
  type Issuer,
  makeCrl,
  makeDeviceCertificate,
  makeIntermediate,
  makeRoot,
  newSerial,
  pemOf,
  readIssuer,
} from './certificates.ts';
import { serialText, timeText, uidText } from './fields.ts';
import { JsonLines } from './json-lines.ts';
import { readRequest } from './request.ts';

/** Where things lie in a factory CA's folder. */
export const PLACES = {
  rootKey: join('root', 'root.key'),
  rootCertificate: 'factory-ca.crt',
  rootCrl: join('line', 'root.crl'),
  lineKey: join('line', 'line.key'),
  lineCertificate: join('line', 'line.crt'),
  signed: join('line', 'signed.jsonl'),
  revoked: join('line', 'revoked.jsonl'),
  crl: 'revoked.crl',
} as const;

const KEY_MODE = 0o400;
const LIST_MODE = 0o600;
const PUBLIC_MODE = 0o644;

/** A certificate for one board. */
export interface Signed {
  readonly uid: Uid;
  /** The board's certificate and its issuer, PEM. */
  readonly certificatePem: string;
  /** Serial number, hex. */
  readonly serial: string;
}

const signedSchema = v.object({ uid: uidText, serial: serialText, at: timeText });

/**
 * Makes a factory's two authorities: the root, whose key is needed again only for another line and belongs in a safe,
 * and the line's own. The folder appears whole or not at all.
 * Throws an AppError (`factory.exists`) where there is anything already.
 */
export async function createAuthority(folder: string, options: { name: string }): Promise<void> {
  await refuseFullFolder(folder);
  const unfinished = `${resolve(folder)}.unfinished`;
  try {
    await rm(unfinished, { recursive: true, force: true });
    await fill(unfinished, options.name);
    await rename(unfinished, folder);
    await syncDirectory(dirname(resolve(folder)));
  } catch (error) {
    throw new AppError(
      'factory.not-written',
      `the CA cannot be made in ${folder} (${errorText(error)}): give a folder in a place that exists and that this user may write`,
      { cause: error },
    );
  }
}

/** The line's authority in use: signs boards, and lists those revoked. */
export class LineAuthority {
  /** What brokers trust, PEM. */
  readonly rootPem: string;
  /** The line's certificate, PEM: what a board sends along with its own. */
  readonly linePem: string;
  private readonly folder: string;
  private readonly issuer: Issuer;
  private readonly signed: JsonLines<typeof signedSchema>;
  private readonly serials: Map<Uid, string>;

  private constructor(parts: {
    folder: string;
    rootPem: string;
    linePem: string;
    issuer: Issuer;
    signed: JsonLines<typeof signedSchema>;
  }) {
    this.folder = parts.folder;
    this.rootPem = parts.rootPem;
    this.linePem = parts.linePem;
    this.issuer = parts.issuer;
    this.signed = parts.signed;
    this.serials = new Map(parts.signed.entries.map(({ uid, serial }) => [uid, serial]));
  }

  /** Throws an AppError where the folder holds no CA, or not this user's. */
  static async open(folder: string): Promise<LineAuthority> {
    const [rootPem, linePem, lineKey] = await Promise.all(
      [PLACES.rootCertificate, PLACES.lineCertificate, PLACES.lineKey].map((place) => readPart(folder, place)),
    );
    const issuer = await readIssuer(linePem!, lineKey!).catch((error: unknown) => {
      throw new AppError(
        'factory.ca-damaged',
        `the line's key or certificate in ${join(folder, 'line')} cannot be used (${errorText(error)}): restore it from its copy`,
        { cause: error },
      );
    });
    const signed = await JsonLines.open({
      path: join(folder, PLACES.signed),
      schema: signedSchema,
      name: 'list of signed boards',
      mode: LIST_MODE,
    });
    return new LineAuthority({ folder, rootPem: rootPem!, linePem: linePem!, issuer, signed });
  }

  /**
   * Signs a board's request. It is written down before the certificate leaves this function, so that no UID can be
   * signed twice, whatever happens next.
   * Throws an AppError (`factory.uid-taken`) for a UID that was ever signed here.
   */
  async sign(request: Uint8Array): Promise<Signed> {
    const { uid, publicKey } = await readRequest(request);
    if (this.serials.has(uid)) throw taken(uid);
    const serial = newSerial();
    this.serials.set(uid, serial);
    const certificate = await makeDeviceCertificate(this.issuer, { uid, publicKey, serial });
    await this.signed.append({ uid, serial, at: new Date().toISOString() });
    return { uid, serial, certificatePem: pemOf(certificate) + this.linePem };
  }

  /** Adds boards to the revocation list, and writes it anew: its path. Twice is once. */
  async revoke(uids: readonly Uid[]): Promise<string> {
    const revoked = await JsonLines.open({
      path: join(this.folder, PLACES.revoked),
      schema: signedSchema,
      name: 'list of revoked boards',
      mode: LIST_MODE,
    });
    try {
      const entries = [...revoked.entries];
      for (const uid of uids) {
        const serial = this.serialOf(uid);
        if (entries.some((entry) => entry.serial === serial)) continue;
        const entry = { uid, serial, at: new Date().toISOString() };
        await revoked.append(entry);
        entries.push(entry);
      }
      return await this.writeCrl(entries);
    } finally {
      await revoked.close();
    }
  }

  /** The serial number of what was signed for a UID, hex; undefined for strangers. */
  signedSerial(uid: Uid): string | undefined {
    return this.serials.get(uid);
  }

  close(): Promise<void> {
    return this.signed.close();
  }

  private serialOf(uid: Uid): string {
    const serial = this.serials.get(uid);
    if (serial !== undefined) return serial;
    throw new AppError(
      'factory.unknown-uid',
      `this CA never signed a board with the UID ${formatUid(uid)}: check it against the label, and that ${this.folder} is ` +
        'the CA that the board was made with',
    );
  }

  /** The root's list goes with the line's: OpenSSL, told to check the whole chain, wants one of every authority in it. */
  private async writeCrl(revoked: readonly { serial: string; at: string }[]): Promise<string> {
    const rootCrl = await readPart(this.folder, PLACES.rootCrl);
    const entries = revoked.map(({ serial, at }) => ({ serial, at: new Date(at) }));
    const path = join(this.folder, PLACES.crl);
    await writeAtomically(path, rootCrl + (await makeCrl(this.issuer, entries, revoked.length + 1)), {
      mode: PUBLIC_MODE,
    });
    return path;
  }
}

async function refuseFullFolder(folder: string): Promise<void> {
  const present = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [] as string[];
    throw new AppError('factory.not-written', `the CA cannot be made in ${folder} (${errorText(error)})`, {
      cause: error,
    });
  });
  if (present.length === 0) return;
  throw new AppError(
    'factory.exists',
    present.includes(PLACES.rootCertificate)
      ? `${folder} holds a factory CA already. It is never overwritten: the boards it signed would be strangers. Give another folder for another CA`
      : `${folder} is not empty. Give a new folder, so that nothing else lies beside the keys`,
  );
}

async function fill(folder: string, name: string): Promise<void> {
  const root = await makeRoot({ name: `${name} Factory Root`, pathLength: 1 });
  const issuer = await readIssuer(pemOf(root.certificate), root.keyPem);
  const line = await makeIntermediate(issuer, `${name} Factory Line`);
  const lineIssuer = await readIssuer(pemOf(line.certificate), line.keyPem);
  const rootCrl = await makeCrl(issuer, [], 1);
  await mkdir(join(folder, 'root'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'line'), { mode: 0o700 });
  const write = (place: string, text: string, mode: number) => writeAtomically(join(folder, place), text, { mode });
  await write(PLACES.rootKey, root.keyPem, KEY_MODE);
  await write(PLACES.lineKey, line.keyPem, KEY_MODE);
  await write(PLACES.rootCertificate, pemOf(root.certificate), PUBLIC_MODE);
  await write(PLACES.lineCertificate, pemOf(line.certificate), PUBLIC_MODE);
  await write(PLACES.rootCrl, rootCrl, PUBLIC_MODE);
  await write(PLACES.crl, rootCrl + (await makeCrl(lineIssuer, [], 1)), PUBLIC_MODE);
}

async function readPart(folder: string, place: string): Promise<string> {
  const path = join(folder, place);
  let text: string | undefined;
  try {
    text = await readIfThere(path);
  } catch (error) {
    throw new AppError(
      'factory.ca-unreadable',
      `${path} cannot be read (${errorText(error)}): run this as the user who made the CA`,
      {
        cause: error,
      },
    );
  }
  if (text !== undefined) return text;
  throw new AppError(
    'factory.no-ca',
    `${folder} holds no factory CA (${place} is missing): make one with \`peercam-factory init-ca ${folder}\`, or give the folder of yours`,
  );
}

function taken(uid: Uid): AppError {
  return new AppError(
    'factory.uid-taken',
    `the board says it is ${formatUid(uid)}, and a board with that UID was signed before. A UID is never given twice: was this ` +
      "board's storage copied from another one? Flash it with the original image, then try again",
  );
}
