import type { Clock } from '#lib/clock.ts';

export interface PacerOptions {
  readonly clock: Clock;
  /** Bytes that may leave at once. */
  readonly burstBytes: number;
  /** Bytes a second beyond that. */
  readonly bytesPerSecond: number;
  /** Called when everything that waited has left. */
  onDrained(): void;
}

const TICK_MS = 4;

/**
 * A token bucket before the network: an ordinary picture passes straight through, a large IDR leaves in small
 * portions, so that it does not overrun the queue of a thin uplink. Jobs leave in order.
 */
export class Pacer {
  private readonly options: PacerOptions;
  private tokens: number;
  private refilledAt: number;
  private readonly waiting: { bytes: number; send: () => void }[] = [];
  private cancelTick: (() => void) | undefined;

  constructor(options: PacerOptions) {
    this.options = options;
    this.tokens = options.burstBytes;
    this.refilledAt = options.clock.now();
  }

  get backlog(): number {
    return this.waiting.length;
  }

  /** Sends now when the bucket allows and nothing waits, else when its turn comes. */
  push(bytes: number, send: () => void): void {
    if (this.waiting.length === 0 && this.tokens >= bytes) {
      this.tokens -= bytes;
      send();
      return;
    }
    this.waiting.push({ bytes, send });
    this.schedule();
  }

  /** Takes the bytes of a whole picture at once; false when something waits or the bucket has less. */
  take(bytes: number): boolean {
    if (this.waiting.length > 0 || this.tokens < bytes) return false;
    this.tokens -= bytes;
    return true;
  }

  /** Refills the bucket; once before each picture is enough. */
  refill(): void {
    const now = this.options.clock.now();
    const earned = ((now - this.refilledAt) / 1000) * this.options.bytesPerSecond;
    this.tokens = Math.min(this.options.burstBytes, this.tokens + earned);
    this.refilledAt = now;
  }

  /** Forgets what waits. */
  clear(): void {
    this.waiting.length = 0;
    this.cancelTick?.();
    this.cancelTick = undefined;
  }

  private schedule(): void {
    this.cancelTick ??= this.options.clock.after(TICK_MS, () => {
      this.cancelTick = undefined;
      this.release();
    });
  }

  private release(): void {
    this.refill();
    let sent = 0;
    while (sent < this.waiting.length && this.tokens >= this.waiting[sent]!.bytes) {
      const { bytes, send } = this.waiting[sent++]!;
      this.tokens -= bytes;
      send();
    }
    this.waiting.splice(0, sent);
    if (this.waiting.length > 0) this.schedule();
    else this.options.onDrained();
  }
}
