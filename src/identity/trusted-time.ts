import { join } from 'node:path';
import * as v from 'valibot';
import { readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { type Clock, systemClock } from '#lib/clock.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { parseJsonAs } from '#protocol/parse.ts';

export const TIME_FLOOR_FILE = 'time-floor.json';

/** When this program was built, ms since 1970; the build puts it in. From source: the year this was written. */
export const buildTime = Number(process.env.PEERCAM_BUILD_TIME ?? Date.UTC(2026, 0, 1));

export interface TrustedTimeOptions {
  readonly stateDir: string;
  readonly log: Logger;
  /** ms since 1970 as the system has it; Date.now unless a test says otherwise. */
  readonly systemNow?: () => number;
  /** Monotonic. */
  readonly clock?: Clock;
  /** ms since 1970. */
  readonly buildTime?: number;
}

const HOUR_MS = 3_600_000;
/** A system clock this far behind the floor is a wrong one; less is the ordinary difference between two clocks. */
const BEHIND_MS = 5 * 60_000;
/** No floor lies further behind the build than a device may live: a damaged file or a lying server says such things. */
const LIFETIME_MS = 30 * 365.25 * 24 * HOUR_MS;

const floorSchema = v.strictObject({ v: v.literal(1), floor: v.pipe(v.number(), v.integer(), v.minValue(0)) });

/**
 * The time, on a board that may have no clock of its own. It is never earlier than what is known for sure: the build,
 * what an earlier run knew, and what an authenticated server said, each moved on by the time passed since.
 */
export class TrustedTime {
  private readonly options: TrustedTimeOptions;
  private readonly clock: Clock;
  private readonly systemNow: () => number;
  private readonly latest: number;
  /** The floor at `floorAt` of the monotonic clock. */
  private floorBase: number;
  private floorAt: number;
  private ceiling = Number.POSITIVE_INFINITY;
  private saved: number;
  private cancelSave: (() => void) | undefined;
  private saving: Promise<void> = Promise.resolve();

  private constructor(options: TrustedTimeOptions, persisted: number) {
    const built = options.buildTime ?? buildTime;
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.systemNow = options.systemNow ?? Date.now;
    this.latest = built + LIFETIME_MS;
    this.saved = persisted <= this.latest ? persisted : 0;
    this.floorBase = Math.max(built, this.saved);
    this.floorAt = this.clock.now();
  }

  /** Reads what an earlier run knew; a damaged file counts as none. From here on it is saved once an hour. */
  static async open(options: TrustedTimeOptions): Promise<TrustedTime> {
    const time = new TrustedTime(options, await readFloor(options));
    time.saveLater();
    return time;
  }

  /** ms since 1970: the system's clock, or the floor where that is later. */
  now(): number {
    return Math.round(Math.max(this.systemNow(), this.floor));
  }

  /** ms since 1970: it is certainly not earlier than this. */
  get floor(): number {
    return this.floorBase + this.clock.now() - this.floorAt;
  }

  /** Whether the system's clock is wrong for sure: it stands before a time that is certainly over. */
  get clockIsBehind(): boolean {
    return this.systemNow() < this.floor - BEHIND_MS;
  }

  /**
   * A server whose certificate was verified says what time it is. It can only move the floor forwards, and not beyond
   * that certificate's own end: no server makes the camera distrust the next one for good.
   * @param ms since 1970
   */
  authenticated(ms: number): void {
    if (!Number.isFinite(ms)) return;
    this.raise(Math.min(ms, this.ceiling));
  }

  /**
   * A certificate chain was verified in every respect but its beginning: since it exists, it is not earlier than that.
   * @param validity ms since 1970: the latest notBefore and the earliest notAfter of the chain
   */
  certified(validity: { readonly notBefore: number; readonly notAfter: number }): void {
    this.ceiling = validity.notAfter;
    this.raise(validity.notBefore);
  }

  /** Saves the floor and stops its timer. */
  async stop(): Promise<void> {
    this.cancelSave?.();
    this.cancelSave = undefined;
    await this.save();
  }

  private raise(ms: number): void {
    if (ms > this.latest || ms <= this.floor) return;
    const wasBehind = this.clockIsBehind;
    this.floorBase = ms;
    this.floorAt = this.clock.now();
    if (wasBehind || !this.clockIsBehind) return;
    this.options.log.warn(
      { system: iso(this.systemNow()), floor: iso(ms) },
      "the system's clock is behind: this camera goes by the server's time",
    );
  }

  private saveLater(): void {
    this.cancelSave = this.clock.after(HOUR_MS, () => {
      this.saveLater();
      void this.save();
    });
  }

  private save(): Promise<void> {
    this.saving = this.saving.then(async () => {
      const floor = Math.floor(this.floor);
      if (floor <= this.saved) return;
      const path = join(this.options.stateDir, TIME_FLOOR_FILE);
      try {
        await writeAtomically(path, `${JSON.stringify({ v: 1, floor })}\n`, { mode: 0o600 });
        this.saved = floor;
      } catch (error) {
        this.options.log.warn({}, `the time cannot be saved for the next start (${errorText(error)})`);
      }
    });
    return this.saving;
  }
}

async function readFloor({ stateDir, log }: TrustedTimeOptions): Promise<number> {
  try {
    const text = await readIfThere(join(stateDir, TIME_FLOOR_FILE));
    return text === undefined ? 0 : parseJsonAs(floorSchema, text, TIME_FLOOR_FILE, 1024).floor;
  } catch (error) {
    log.warn({}, `the time of the last run is lost (${errorText(error)}): going by the time of the build`);
    return 0;
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
