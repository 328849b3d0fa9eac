import type { Logger } from './logger.ts';

const EVERY_MS = 60_000;
/** Senders remembered; a flood of invented names must not become a flood of memory. */
const MAX_SENDERS = 256;

interface Sender {
  until: number;
  silenced: number;
}

/** Warnings about what others send, at most one per sender and minute: nobody fills the log from outside. */
export class Complaints {
  private readonly log: Logger;
  private readonly now: () => number;
  private readonly senders = new Map<string, Sender>();

  /** @param options.now monotonic clock, ms */
  constructor(options: { log: Logger; now?: () => number }) {
    this.log = options.log;
    this.now = options.now ?? (() => performance.now());
  }

  /** Logs a warning about `sender`, or counts it and says so with the next one. */
  about(sender: string, fields: object, message: string): void {
    const now = this.now();
    const known = this.senders.get(sender);
    if (known && now < known.until) {
      known.silenced++;
      return;
    }
    const silenced = known?.silenced ?? 0;
    this.senders.delete(sender);
    if (this.senders.size >= MAX_SENDERS) this.senders.delete(this.senders.keys().next().value!);
    this.senders.set(sender, { until: now + EVERY_MS, silenced: 0 });
    this.log.warn({ from: sender, ...fields, ...(silenced > 0 && { silenced }) }, message);
  }
}
