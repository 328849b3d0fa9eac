export interface BackoffOptions {
  /** First delay, ms. */
  readonly firstMs: number;
  /** Longest delay, ms. */
  readonly maxMs: number;
  /** Source of jitter in [0, 1); Math.random unless a test says otherwise. */
  readonly random?: () => number;
}

/**
 * Exponential backoff with "equal jitter": each delay lies between half and the whole of
 * `firstMs * 2^n`, capped at `maxMs`, so that a fleet does not come back in one wave.
 */
export class Backoff {
  private readonly options: BackoffOptions;
  private attempt = 0;

  constructor(options: BackoffOptions) {
    this.options = options;
  }

  /** The delay before the next try, ms. */
  next(): number {
    const { firstMs, maxMs, random = Math.random } = this.options;
    const full = Math.min(maxMs, firstMs * 2 ** this.attempt);
    this.attempt++;
    return full / 2 + (full / 2) * random();
  }

  /** Success: the next failure starts from `firstMs` again. */
  reset(): void {
    this.attempt = 0;
  }
}
