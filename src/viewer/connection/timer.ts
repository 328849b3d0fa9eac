/** Time as a connection needs it, so that tests can turn the hands. */
export interface Timer {
  /** Milliseconds, monotonic, on the scale of `performance.now()`. */
  now(): number;
  /** Runs `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

export const browserTimer: Timer = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
