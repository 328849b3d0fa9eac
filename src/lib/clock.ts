/** Time as its users need it, so that tests can turn the hands. */
export interface Clock {
  /** Milliseconds, monotonic, with a fraction. */
  now(): number;
  /** Runs `run` once after `ms`; the returned function cancels it. The timer never keeps the process alive. */
  after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** CLOCK_MONOTONIC now, µs: the clock of V4L2 capture timestamps. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
