import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isLeftover, readIfThere, syncDirectory, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';
import { checkFactoryData } from './factory-check.ts';
import type { FactoryData, FactoryStore } from './factory-store.ts';

const KEY = 'device-key.pem';
const CERTIFICATE = 'device.crt';
const SETUP_CODE = 'setup-code';
const BOARD = 'board.json';
const MAX_BOARD = 4096;

const boardSchema = v.object({
  uid: v.string(),
  model: v.optional(v.string()),
  hardwareRevision: v.optional(v.string()),
});

/**
 * Factory data as files of one folder, usually the mount point of a partition that is read-only at run time:
 * `device-key.pem`, `device.crt` (with its chain), `setup-code`, `board.json`. All readable by their owner only.
 */
export class FactoryDirectory implements FactoryStore {
  readonly description: string;
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.description = folder;
  }

  async read(): Promise<Partial<FactoryData> | undefined> {
    const [key, certificate, code, board] = await Promise.all(
      [KEY, CERTIFICATE, SETUP_CODE, BOARD].map((name) => this.readText(name)),
    );
    const fields = board === undefined ? undefined : this.parseBoard(board);
    const stored = (text: string | undefined, name: string, field?: string) =>
      text === undefined
        ? undefined
        : { text, place: `${join(this.folder, name)}${field ? `, field "${field}",` : ''}` };
    return checkFactoryData({
      privateKeyPem: stored(key, KEY),
      certificatePem: stored(certificate, CERTIFICATE),
      setupCode: stored(code, SETUP_CODE),
      uid: stored(fields?.uid, BOARD, 'uid'),
      model: stored(fields?.model, BOARD, 'model'),
      hardwareRevision: stored(fields?.hardwareRevision, BOARD, 'hardwareRevision'),
    });
  }

  /**
   * Each file is replaced whole. A new key first removes what belongs to the old one, so that a power cut in between
   * leaves a board that is incomplete, never one with parts of two identities.
   */
  async write(data: Partial<FactoryData>): Promise<void> {
    try {
      await this.makeFolder();
      if (data.privateKeyPem !== undefined) await this.makeRoom(data.privateKeyPem);
      if (data.setupCode !== undefined) await this.writeText(SETUP_CODE, `${data.setupCode}\n`);
      if (data.privateKeyPem !== undefined) await this.writeText(KEY, data.privateKeyPem);
      if (data.certificatePem !== undefined) await this.writeText(CERTIFICATE, data.certificatePem);
      await this.writeBoard(data);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw notWritten(this.folder, error);
    }
  }

  private async readText(name: string): Promise<string | undefined> {
    const path = join(this.folder, name);
    try {
      return await readIfThere(path);
    } catch (error) {
      throw new AppError(
        'factory.unreadable',
        `the factory data in ${path} cannot be read (${errorText(error)}). They belong to one user only: run this ` +
          `as that user or as root`,
        { cause: error },
      );
    }
  }

  private parseBoard(text: string): v.InferOutput<typeof boardSchema> {
    try {
      return parseJsonAs(boardSchema, text, 'board', MAX_BOARD);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const field = error.field ? `, field "${error.field}",` : '';
      throw new AppError(
        'factory.damaged',
        `the factory data of this board are damaged: ${join(this.folder, BOARD)}${field} cannot be used ` +
          `(${error.message}). Restore it, or provision the board anew with peercam-factory`,
        { cause: error },
      );
    }
  }

  private async makeFolder(): Promise<void> {
    // Not recursive: a folder in the wrong place is a mistake, and Node loops for ever where /proc refuses one.
    await mkdir(this.folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    // What a power cut left half written may be a half of a key.
    for (const name of await readdir(this.folder)) {
      if (isLeftover(name)) await rm(join(this.folder, name), { force: true });
    }
  }

  private async makeRoom(privateKeyPem: string): Promise<void> {
    const old = await this.readText(KEY);
    if (old === undefined || old === privateKeyPem) return;
    for (const name of [BOARD, CERTIFICATE, SETUP_CODE]) await rm(join(this.folder, name), { force: true });
    await syncDirectory(this.folder);
  }

  private async writeBoard({ uid, model, hardwareRevision }: Partial<FactoryData>): Promise<void> {
    if (uid === undefined && model === undefined && hardwareRevision === undefined) return;
    const text = await this.readText(BOARD);
    const old = text === undefined ? undefined : this.parseBoard(text);
    const board = {
      uid: uid ?? old?.uid,
      model: model ?? old?.model,
      hardwareRevision: hardwareRevision ?? old?.hardwareRevision,
    };
    await this.writeText(BOARD, `${JSON.stringify(board, undefined, 2)}\n`);
  }

  private writeText(name: string, text: string): Promise<void> {
    return writeAtomically(join(this.folder, name), text, { mode: 0o400 });
  }
}

function notWritten(folder: string, error: unknown): AppError {
  const code = (error as NodeJS.ErrnoException).code;
  const advice =
    code === 'EROFS'
      ? 'The partition is read-only, as it must be at run time: remount it for writing (mount -o remount,rw), and back afterwards'
      : code === 'ENOENT'
        ? 'The folder it should lie in does not exist: make it, or mount the factory partition'
        : 'Give a folder that this user may write';
  return new AppError(
    'factory.not-written',
    `the factory data cannot be written to ${folder} (${errorText(error)}). ${advice}`,
    {
      cause: error,
    },
  );
}
