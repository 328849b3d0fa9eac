/**
 * Growing pauses between tries, ms: each lies between half and the whole of `firstMs * 2^n`, at most `maxMs`, so that
 * the viewers of a server that comes back do not arrive in one wave.
 */
export class RetryPause {
  private readonly firstMs: number;
  private readonly maxMs: number;
  private tries = 0;

  constructor(options: { readonly firstMs: number; readonly maxMs: number }) {
    this.firstMs = options.firstMs;
    this.maxMs = options.maxMs;
  }

  next(): number {
    const full = Math.min(this.maxMs, this.firstMs * 2 ** this.tries);
    this.tries++;
    return full / 2 + (full / 2) * Math.random();
  }

  reset(): void {
    this.tries = 0;
  }
}
