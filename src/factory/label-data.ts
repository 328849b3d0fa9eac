import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { isLeftover, readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';
import type { Uid } from '#protocol/uid.ts';
import { boardWords, setupCodeText, uidText } from './fields.ts';

const FOLDER = 'labels';
const MODE = 0o600;
const MAX_BYTES = 4096;

/** What is printed on one label. The setup code in it is secret: who has it can own the camera first. */
export const labelSchema = v.object({
  uid: uidText,
  setupCode: setupCodeText,
  model: boardWords,
  revision: boardWords,
});

export type LabelData = v.InferOutput<typeof labelSchema>;

/** The labels that wait to be printed: `labels/<UID>.json`, one each, readable by their owner only. */
export class LabelFolder {
  private readonly folder: string;

  /** @param out the output folder of a station */
  constructor(out: string) {
    this.folder = join(out, FOLDER);
  }

  async write(label: LabelData): Promise<void> {
    await mkdir(this.folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await writeAtomically(this.pathOf(label.uid), `${JSON.stringify(label)}\n`, { mode: MODE });
  }

  /** Of one board; throws an AppError where there is none, or it is damaged. */
  async read(uid: Uid): Promise<LabelData> {
    const path = this.pathOf(uid);
    let text: string | undefined;
    try {
      text = await readIfThere(path);
    } catch (error) {
      throw new AppError('factory.label-unreadable', `${path} cannot be read (${errorText(error)})`, { cause: error });
    }
    if (text === undefined) {
      throw new AppError(
        'factory.no-label',
        `there are no label data ${path}: they were deleted after printing, or the board was made in another output folder`,
      );
    }
    return parseLabel(text, path, uid);
  }

  /** Of all boards, by UID. */
  async readAll(): Promise<LabelData[]> {
    const names = await readdir(this.folder).catch((error: NodeJS.ErrnoException): string[] => {
      if (error.code === 'ENOENT') return [];
      throw new AppError('factory.label-unreadable', `${this.folder} cannot be read (${errorText(error)})`, {
        cause: error,
      });
    });
    const uids = names
      .filter((name) => name.endsWith('.json') && !isLeftover(name))
      .map((name) => name.slice(0, -5) as Uid);
    return Promise.all(uids.sort().map((uid) => this.read(uid)));
  }

  private pathOf(uid: Uid): string {
    return join(this.folder, `${uid}.json`);
  }
}

function parseLabel(text: string, path: string, uid: Uid): LabelData {
  try {
    const label = parseJsonAs(labelSchema, text, path, MAX_BYTES);
    if (label.uid === uid) return label;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw damaged(error.message);
  }
  throw damaged(`${path}: field "uid": not the UID in the file's name`);
}

function damaged(problem: string): AppError {
  return new AppError(
    'factory.label-damaged',
    `${problem}. Nothing is printed, since a wrong label makes a camera nobody can use: read the board again ` +
      '(peercam-factory provision --replace), or delete the file to leave it out',
  );
}
