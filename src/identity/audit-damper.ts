import type { Clock } from '#lib/clock.ts';

const EVERY_MS = 60_000;
/** Different floods told apart at once; more are one. */
const MAX_KINDS = 256;
/** Entries strangers may cause at once, and how long one more takes: two megabytes then last for weeks of a flood. */
const BURST = 100;
const REFILL_MS = 30 * 60_000;
const SUMMARY_MS = 60 * 60_000;

interface Flood {
  counted: number;
  readonly summarise: (counted: number) => void;
  readonly cancel: () => void;
}

/**
 * Keeps floods out of the audit log: the first of equal events passes at once, the others of that minute are counted
 * and become one entry at its end. What strangers cause is limited over all senders too, as names cost them nothing.
 */
export class AuditDamper {
  private readonly clock: Clock;
  private readonly floods = new Map<string, Flood>();
  private tokens = BURST;
  private filledAt: number;

  private readonly summariseMany: (counted: number) => void;

  /** @param options.summariseMany called with the count of what was too much to be told apart */
  constructor(options: { readonly clock: Clock; readonly summariseMany: (counted: number) => void }) {
    this.clock = options.clock;
    this.summariseMany = options.summariseMany;
    this.filledAt = options.clock.now();
  }

  /**
   * True when the event passes; otherwise it is counted, and `summarise` of the first one is called with the count.
   * @param kind what makes two events equal
   * @param stranger caused by somebody who may be anybody
   */
  passes(kind: string, stranger: boolean, summarise: (counted: number) => void): boolean {
    const known = this.floods.get(kind);
    if (known) {
      known.counted++;
      return false;
    }
    if (!stranger || (this.floods.size < MAX_KINDS && this.takeToken())) {
      this.watch(kind, 0, summarise, EVERY_MS);
      return true;
    }
    const many = this.floods.get(MANY);
    if (many) many.counted++;
    else this.watch(MANY, 1, this.summariseMany, SUMMARY_MS);
    return false;
  }

  /** Summarises what is still only counted. */
  stop(): void {
    for (const [kind, { cancel }] of [...this.floods]) {
      cancel();
      this.finish(kind);
    }
  }

  private watch(kind: string, counted: number, summarise: (counted: number) => void, ms: number): void {
    const cancel = this.clock.after(ms, () => this.finish(kind));
    this.floods.set(kind, { counted, summarise, cancel });
  }

  private finish(kind: string): void {
    const flood = this.floods.get(kind);
    this.floods.delete(kind);
    if (flood && flood.counted > 0) flood.summarise(flood.counted);
  }

  private takeToken(): boolean {
    const now = this.clock.now();
    this.tokens = Math.min(BURST, this.tokens + (now - this.filledAt) / REFILL_MS);
    this.filledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

const MANY = '*';
