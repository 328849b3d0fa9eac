import { type Clock, monotonicUs } from '#lib/clock.ts';
import { AnnexBSplitter, type AnnexBSplitterOptions } from './annex-b-splitter.ts';

/** A pause of this length, ms, ends a picture: longer than a writer needs for the pieces of one, shorter than a frame. */
const PAUSE_MS = 5;
const MAX_PAUSE_MS = 20;
/** So many pauses in a row must have fallen between two pictures before one is trusted to. */
const PROOFS = 8;

export interface LiveSplitterOptions extends Omit<AnnexBSplitterOptions, 'onIdleVerdict'> {
  readonly clock: Clock;
  /** Arrival times, CLOCK_MONOTONIC, µs. */
  readonly nowUs?: () => number;
}

/**
 * An AnnexBSplitter for a stream that is written while it is watched. The end of a picture cannot be seen in the
 * bytes before the next one begins, a frame interval later (33 ms at 30 fps). Most programs write a whole picture at
 * once and then pause, so a pause gives the picture out: 5 ms of latency instead of 33. A program that leaves a rest
 * in its own buffer (rpicam-vid without --flush) would lose pictures that way. So a stream has to earn it: pauses are
 * only watched at first, and count from the ninth on if the eight before fell between pictures. A pause that did not
 * costs one damaged picture, and four times as many proofs until the next is trusted.
 */
export class LiveSplitter {
  private readonly splitter: AnnexBSplitter;
  private readonly clock: Clock;
  private readonly nowUs: () => number;
  private cancel: (() => void) | undefined;
  private pauseMs = PAUSE_MS;
  private needed = PROOFS;
  private proofs = 0;

  constructor(options: LiveSplitterOptions) {
    this.clock = options.clock;
    this.nowUs = options.nowUs ?? monotonicUs;
    this.splitter = new AnnexBSplitter({ ...options, onIdleVerdict: (wasWhole) => this.judge(wasWhole) });
  }

  /** Takes the next bytes. */
  push(chunk: Uint8Array): void {
    this.cancel?.();
    this.splitter.push(chunk, this.nowUs());
    // In two steps: when the event loop was late for the first, the bytes that wait in the pipe come before the second.
    this.cancel = this.clock.after(this.pauseMs - 1, () => {
      this.cancel = this.clock.after(1, () => {
        this.cancel = undefined;
        this.splitter.idle(this.trusted);
      });
    });
  }

  /** The stream has ended: gives out what is held. */
  end(): void {
    this.stop();
    this.splitter.end();
  }

  /** Nothing comes out any more. */
  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
  }

  private get trusted(): boolean {
    return this.proofs >= this.needed;
  }

  private judge(wasWhole: boolean): void {
    if (wasWhole) {
      this.proofs++;
      return;
    }
    if (this.trusted) {
      this.needed *= 4;
      this.pauseMs = Math.min(this.pauseMs * 2, MAX_PAUSE_MS);
    }
    this.proofs = 0;
  }
}
