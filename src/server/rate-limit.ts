/** How much is allowed: on average, and at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Names remembered; who comes with more of them than this meets a full bucket, and so does whom he pushed out. */
const MAX_NAMES = 20_000;

/**
 * Token buckets by name (an address, a thumbprint, a UID), in bounded memory. A bucket may go into debt: then `take`
 * answers how long the taker should be kept waiting.
 */
export class RateLimit {
  private readonly rate: Rate;
  private readonly now: () => number;
  private readonly buckets = new Map<string, Bucket>();

  /** @param now monotonic clock, ms */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.rate = rate;
    this.now = now;
  }

  /** Takes one, whatever is left; answers the ms until the debt is paid, 0 where there is none. */
  take(name: string, count = 1): number {
    const bucket = this.bucket(name);
    // A debt has an end: who goes on while he is told to wait does not wait for hours afterwards.
    bucket.tokens = Math.max(bucket.tokens - count, -this.rate.burst);
    return bucket.tokens >= 0 ? 0 : (-bucket.tokens / this.rate.perSecond) * 1000;
  }

  /** Takes one where there is one; answers whether. */
  tryTake(name: string): boolean {
    const bucket = this.bucket(name);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** What is left of the burst, from 1 (all of it) to 0 (nothing, or in debt). */
  left(name: string): number {
    return Math.max(0, this.bucket(name).tokens / this.rate.burst);
  }

  private bucket(name: string): Bucket {
    const now = this.now();
    const known = this.buckets.get(name);
    if (known) {
      known.tokens = Math.min(this.rate.burst, known.tokens + ((now - known.at) / 1000) * this.rate.perSecond);
      known.at = now;
      return known;
    }
    if (this.buckets.size >= MAX_NAMES) this.forgetOldest(now);
    const bucket = { tokens: this.rate.burst, at: now };
    this.buckets.set(name, bucket);
    return bucket;
  }

  /** First those that are full again, which are as good as new; then whoever came first. */
  private forgetOldest(now: number): void {
    const { perSecond, burst } = this.rate;
    for (const [name, { tokens, at }] of this.buckets) {
      if (tokens + ((now - at) / 1000) * perSecond >= burst) this.buckets.delete(name);
    }
    while (this.buckets.size >= MAX_NAMES * 0.9) this.buckets.delete(this.buckets.keys().next().value!);
  }
}
