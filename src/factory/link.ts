import type { Readable, Writable } from 'node:stream';

/** A way to talk to one board's `peercamctl enroll`. */
export interface Link {
  /** What comes from the board's console. */
  readonly input: Readable;
  readonly output: Writable;
  /** Rejects when the way is lost; never resolves. For messages that say why. */
  readonly lost: Promise<never>;
  /**
   * Typed onto the console when the board does not answer, since at a serial console a shell may be waiting; undefined
   * where the program was started with the link.
   */
  readonly startLine?: string;
  close(): Promise<void>;
}
