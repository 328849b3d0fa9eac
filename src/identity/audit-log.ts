import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '#lib/atomic-file.ts';
import { type Clock, systemClock } from '#lib/clock.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { type ChainHead, chainLine, readChain, readLine } from './audit-chain.ts';
import { AuditDamper } from './audit-damper.ts';
import { type AuditEntry, type AuditEventName, type AuditEvents, DAMPED } from './audit-event.ts';

/** The newest entries, and those before them. */
export const AUDIT_FILE = 'audit.jsonl';
export const OLD_AUDIT_FILE = 'audit.1.jsonl';

export interface AuditLogOptions {
  readonly stateDir: string;
  /** ms since 1970. */
  now(): number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Where a new file is begun, bytes; the one before is kept. */
  readonly maxFileBytes?: number;
}

/** From an event to its entry on the disk, ms; what comes meanwhile shares the write. */
const GATHER_MS = 100;
const RETRY_MS = 10_000;
/** Entries that wait while the disk cannot be written. */
const MAX_PENDING = 500;
const MAX_FILE_BYTES = 1_000_000;
const MAX_TEXT = 200;
/** Places named in one entry about a chain that does not hold. */
const MAX_BREAKS = 20;

interface Pending {
  readonly at: number;
  readonly event: AuditEventName;
  readonly fields: object;
}

/**
 * What happened to the camera's trust, for its owner: JSON lines, each with the hash of the one before, so that a line
 * changed or taken out later shows. Floods are counted, not written; about 2 MB are kept.
 */
export class AuditLog {
  private readonly options: AuditLogOptions;
  private readonly clock: Clock;
  private readonly damper: AuditDamper;
  private head: ChainHead = { n: 0, hash: '' };
  private size = 0;
  private pending: Pending[] = [];
  private lost = 0;
  private failing = false;
  private broken = false;
  private cancelFlush: (() => void) | undefined;
  private flushing: Promise<void> = Promise.resolve();

  private constructor(options: AuditLogOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.damper = new AuditDamper({
      clock: this.clock,
      summariseMany: (repeated) => this.take('refused', { reason: 'many', repeated }),
    });
  }

  /**
   * Reads and checks what is there. A line that a power cut tore is cut off, a chain that does not hold is noted as an
   * entry. Never rejects: a camera whose log cannot be read works, and says so in its program log.
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const log = new AuditLog(options);
    try {
      await log.check();
    } catch (error) {
      log.complain(error);
    }
    return log;
  }

  /** Whether every line kept follows the one before it, as far as known. */
  get intact(): boolean {
    return !this.broken;
  }

  /** Takes an event down; it is on the disk 0.2 s later. Never throws. */
  append<E extends AuditEventName>(event: E, fields: AuditEvents[E]): void {
    try {
      if (DAMPED.has(event) && !this.passesDamper(event, fields)) return;
      this.take(event, fields);
    } catch (error) {
      this.complain(error);
    }
  }

  /** Entries with a number below `before`, newest first, at most `limit`. Rejects with an AppError where unreadable. */
  async read(options: { readonly before?: number; readonly limit: number }): Promise<readonly AuditEntry[]> {
    const { before = Number.POSITIVE_INFINITY, limit } = options;
    await this.flush();
    const entries = this.pending.length > 0 ? [] : await this.readBack();
    return entries
      .filter(({ n }) => n < before)
      .slice(-limit)
      .reverse();
  }

  /** Writes what waits and stops its timers. */
  async close(): Promise<void> {
    this.damper.stop();
    await this.flush();
    this.cancelFlush?.();
    this.cancelFlush = undefined;
  }

  private passesDamper<E extends AuditEventName>(event: E, fields: AuditEvents[E]): boolean {
    const { viewer = '', reason = '' } = fields as { viewer?: string; reason?: string };
    const call = event === 'call' || event === 'call.ended';
    const kind = call ? `${event} ${viewer}` : `${event} ${viewer} ${reason}`;
    return this.damper.passes(kind, !call, (repeated) => this.take(event, { ...fields, repeated }));
  }

  private take(event: AuditEventName, fields: object): void {
    if (this.pending.length >= MAX_PENDING) {
      this.lost++;
      return;
    }
    this.pending.push({ at: this.options.now(), event, fields: clipped(fields) });
    this.cancelFlush ??= this.clock.after(this.failing ? RETRY_MS : GATHER_MS, () => void this.flush());
  }

  private flush(): Promise<void> {
    this.cancelFlush?.();
    this.cancelFlush = undefined;
    this.flushing = this.flushing.then(() => this.write());
    return this.flushing;
  }

  private async write(): Promise<void> {
    const batch = [...this.pending];
    if (batch.length === 0) return;
    const lost = this.lost;
    const entries: Pending[] =
      lost > 0 ? [{ at: this.options.now(), event: 'audit.lost', fields: { entries: lost } }, ...batch] : batch;
    let head = this.head;
    let text = '';
    for (const entry of entries) {
      const next = chainLine(head, entry);
      text += `${next.line}\n`;
      head = next.head;
    }
    try {
      await this.rotate();
      this.size = await this.put(text);
      this.head = head;
      this.pending = this.pending.slice(batch.length);
      this.lost -= lost;
      this.failing = false;
    } catch (error) {
      this.complain(error);
      this.cancelFlush ??= this.clock.after(RETRY_MS, () => void this.flush());
    }
  }

  /** Appends; on failure cuts off what was written of it. Resolves with the file's new size. */
  private async put(text: string): Promise<number> {
    const created = this.size === 0;
    const file = await this.openFile();
    try {
      const bytes = Buffer.from(text);
      // Whatever stands behind what we know is the rest of a write that failed.
      await file.truncate(this.size);
      await file.write(bytes, 0, bytes.length, this.size);
      await file.sync();
      if (created) await syncDirectory(this.options.stateDir);
      return this.size + bytes.length;
    } finally {
      await file.close();
    }
  }

  private async rotate(): Promise<void> {
    const { stateDir, maxFileBytes = MAX_FILE_BYTES } = this.options;
    if (this.size < maxFileBytes) return;
    await rename(join(stateDir, AUDIT_FILE), join(stateDir, OLD_AUDIT_FILE));
    this.size = 0;
  }

  private openFile(): Promise<FileHandle> {
    return open(join(this.options.stateDir, AUDIT_FILE), constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  private async check(): Promise<void> {
    const old = await this.linesOf(OLD_AUDIT_FILE);
    const current = await this.linesOf(AUDIT_FILE);
    let lostBytes = current.tail;
    let size = current.size - current.tail;
    // A write that a power cut tore in the middle may have left a line feed from a later block.
    while (current.lines.length > 0 && !readLine(current.lines.at(-1)!)) {
      const bytes = Buffer.byteLength(current.lines.pop()!) + 1;
      lostBytes += bytes;
      size -= bytes;
    }
    const { entries, breaks, head } = readChain([...old.lines, ...current.lines]);
    this.head = head;
    this.size = size;
    this.broken = breaks.length > 0;
    if (lostBytes > 0) this.take('audit.repaired', { lostBytes });
    const noted = new Set(entries.filter(({ event }) => event === 'audit.broken').flatMap(({ lines }) => lines));
    const lines = breaks.filter((line) => !noted.has(line)).slice(0, MAX_BREAKS);
    if (lines.length === 0) return;
    this.take('audit.broken', { lines });
    this.options.log.error({ lines }, 'the audit log does not hold: lines of it were changed or removed');
  }

  private async readBack(): Promise<readonly AuditEntry[]> {
    try {
      const old = await this.linesOf(OLD_AUDIT_FILE);
      const current = await this.linesOf(AUDIT_FILE);
      const { entries, breaks } = readChain([...old.lines, ...current.lines]);
      this.broken = breaks.length > 0;
      return entries;
    } catch (error) {
      throw new AppError('audit.unreadable', `the audit log cannot be read just now (${errorText(error)})`, {
        cause: error,
        retry: true,
      });
    }
  }

  /** Whole lines, and how many bytes stand behind the last of them. */
  private async linesOf(name: string): Promise<{ lines: string[]; tail: number; size: number }> {
    let bytes: Buffer;
    try {
      bytes = await readFile(join(this.options.stateDir, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { lines: [], tail: 0, size: 0 };
      throw error;
    }
    const end = bytes.lastIndexOf(10) + 1;
    const lines = bytes.subarray(0, end).toString().split('\n').slice(0, -1);
    return { lines, tail: bytes.length - end, size: bytes.length };
  }

  private complain(error: unknown): void {
    if (this.failing) return;
    this.failing = true;
    this.options.log.error(
      { code: 'audit.not-written' },
      `the audit log cannot be written (${errorText(error)}): is the disk full or read-only? Entries wait, up to ${MAX_PENDING}`,
    );
  }
}

/** Nobody's name or reason makes a line long. */
function clipped(fields: object): object {
  const entries = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' ? value.slice(0, MAX_TEXT) : value,
  ]);
  return Object.fromEntries(entries);
}
