import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type * as v from 'valibot';
import { syncDirectory } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';

const MAX_LINE = 4096;

export interface JsonLinesOptions<S extends v.GenericSchema> {
  readonly path: string;
  readonly schema: S;
  /** For messages: `ledger`. */
  readonly name: string;
  readonly mode: number;
}

/**
 * A file that only grows, one JSON object a line. A line is on the disk before `append` resolves. What a power cut
 * left without its line's end never counted as written, and is cut off when the file is opened.
 */
export class JsonLines<S extends v.GenericSchema> {
  /** What the file held when it was opened. */
  readonly entries: readonly v.InferOutput<S>[];
  private readonly options: JsonLinesOptions<S>;
  private readonly file: FileHandle;
  private last: Promise<unknown> = Promise.resolve();

  private constructor(options: JsonLinesOptions<S>, file: FileHandle, entries: readonly v.InferOutput<S>[]) {
    this.options = options;
    this.file = file;
    this.entries = entries;
  }

  /** Throws an AppError (`factory.list-damaged`) that names the line and the field. */
  static async open<S extends v.GenericSchema>(options: JsonLinesOptions<S>): Promise<JsonLines<S>> {
    let file: FileHandle;
    try {
      file = await open(options.path, 'a+', options.mode);
    } catch (error) {
      throw new AppError(
        'factory.list-unusable',
        `the ${options.name} ${options.path} cannot be opened (${errorText(error)}): give a folder that exists and that ` +
          'this user may write',
        { cause: error },
      );
    }
    try {
      const bytes = await file.readFile();
      const whole = bytes.lastIndexOf(0x0a) + 1;
      if (whole < bytes.length) await file.truncate(whole);
      await file.sync();
      await syncDirectory(dirname(options.path));
      return new JsonLines(options, file, parseLines(bytes.subarray(0, whole), options));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Lines are written one after the other, in the order of the calls. */
  append(entry: v.InferOutput<S>): Promise<void> {
    const written = this.last.then(() => this.write(`${JSON.stringify(entry)}\n`));
    this.last = written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    await this.last;
    await this.file.close();
  }

  private async write(line: string): Promise<void> {
    try {
      await this.file.appendFile(line);
      await this.file.datasync();
    } catch (error) {
      throw new AppError(
        'factory.list-unusable',
        `the ${this.options.name} ${this.options.path} cannot be written (${errorText(error)}): make room on the disk ` +
          'and run the same command again, it goes on where it stopped',
        { cause: error },
      );
    }
  }
}

function parseLines<S extends v.GenericSchema>(
  bytes: Uint8Array,
  { schema, name, path }: JsonLinesOptions<S>,
): v.InferOutput<S>[] {
  if (bytes.length === 0) return [];
  const lines = new TextDecoder().decode(bytes.subarray(0, -1)).split('\n');
  return lines.map((line, index) => {
    try {
      return parseJsonAs(schema, line, name, MAX_LINE);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw new AppError(
        'factory.list-damaged',
        `${path}, line ${index + 1}: ${error.message}. Somebody or something changed this file; nothing is written to ` +
          'it until it is restored from its copy, or that line is repaired by hand',
        { cause: error },
      );
    }
  });
}
