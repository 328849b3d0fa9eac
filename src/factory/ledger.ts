import { join } from 'node:path';
import * as v from 'valibot';
import { AppError } from '#lib/error.ts';
import { formatUid, type Uid } from '#protocol/uid.ts';
import { boardWords, serialText, timeText, uidText } from './fields.ts';
import { JsonLines } from './json-lines.ts';

const FILE = 'ledger.jsonl';
const MODE = 0o644;

/** One board that left the station finished. Nothing in it is secret. */
export const ledgerSchema = v.object({
  uid: uidText,
  /** Serial number of its certificate. */
  serial: serialText,
  /** SHA-256 of its certificate (DER), hex. */
  fingerprint: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 hex digits')),
  model: boardWords,
  revision: boardWords,
  at: timeText,
  /** Name of the station that made it. */
  station: v.pipe(v.string(), v.minLength(1), v.maxLength(100)),
  /** Where it was connected, as the operator wrote it: `serial:/dev/ttyUSB0`. */
  board: v.pipe(v.string(), v.minLength(1), v.maxLength(1000)),
});

export type LedgerEntry = v.InferOutput<typeof ledgerSchema>;

/** The record of all boards of an output folder, `ledger.jsonl`: one line each, only ever added to. */
export class Ledger {
  private readonly lines: JsonLines<typeof ledgerSchema>;
  private readonly byUid: Map<Uid, LedgerEntry>;

  private constructor(lines: JsonLines<typeof ledgerSchema>) {
    this.lines = lines;
    this.byUid = new Map(lines.entries.map((entry) => [entry.uid, entry]));
  }

  /** Throws an AppError that names the line where the file is damaged, or has a UID twice. */
  static async open(folder: string): Promise<Ledger> {
    const path = join(folder, FILE);
    const lines = await JsonLines.open({ path, schema: ledgerSchema, name: 'ledger', mode: MODE });
    const ledger = new Ledger(lines);
    if (ledger.byUid.size === lines.entries.length) return ledger;
    await lines.close();
    const seen = new Set<Uid>();
    const index = lines.entries.findIndex(({ uid }) => seen.size === seen.add(uid).size);
    throw new AppError(
      'factory.list-damaged',
      `${path}, line ${index + 1}: ${formatUid(lines.entries[index]!.uid)} stands there a second time. Find out which two boards have ` +
        'one UID before anything else is made, and set them aside',
    );
  }

  /** As they were when the file was opened. */
  get entries(): readonly LedgerEntry[] {
    return this.lines.entries;
  }

  get(uid: Uid): LedgerEntry | undefined {
    return this.byUid.get(uid);
  }

  /** On the disk when it resolves. Throws an AppError (`factory.uid-taken`) for a UID that stands there already. */
  async add(entry: LedgerEntry): Promise<void> {
    if (this.byUid.has(entry.uid)) {
      throw new AppError(
        'factory.uid-taken',
        `${formatUid(entry.uid)} stands in the ledger already, and no UID is given twice`,
      );
    }
    this.byUid.set(entry.uid, entry);
    await this.lines.append(entry);
  }

  close(): Promise<void> {
    return this.lines.close();
  }
}
