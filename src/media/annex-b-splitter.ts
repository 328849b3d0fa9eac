import { AppError } from '#lib/error.ts';
import type { AccessUnit } from './access-unit.ts';
import { accessUnitOf, isWanted, START_CODE, withoutTrailingZeros } from './annex-b.ts';
import { isParameterSet, MAX_PARAMETER_SET } from './parameter-sets.ts';
import { PictureBoundary } from './picture-boundary.ts';

export interface AnnexBSplitterOptions {
  onAccessUnit(unit: AccessUnit): void;
  /** Something in the stream had to be left out; AppError `media.…`. */
  onProblem(error: AppError): void;
  /** After `idle`, as soon as the stream goes on: whether it had really paused at the end of an access unit. */
  onIdleVerdict?(wasWhole: boolean): void;
  /** Longest access unit, bytes. */
  readonly maxBytes?: number;
}

/** An uncompressed 1080p picture has 3 MB: what is longer than this is no H.264 picture of a camera. */
const MAX_BYTES = 4 * 1024 * 1024;
/** NAL units of one access unit; encoders make 1 to some 70. */
const MAX_NALS = 1024;
/** Parameter sets kept from a picture that was lost. */
const MAX_SAVED = 32;
/** Pictures that arrive in one burst still get times of their own: equal RTP timestamps would make them one. */
const MIN_STEP_US = 1000;
/** Chunks are taken in pieces, so that a large one needs no large memory. */
const PIECE = 64 * 1024;

interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts a byte stream (ITU-T H.264 annex B) of any chunking into access units (7.4.1.2.3). An access unit ends where
 * the next one begins, so the newest is held back until the start of the next arrives, one frame interval later; an
 * access unit delimiter, which stands at the front, changes nothing about that. `idle` gives it out earlier.
 * Memory is bounded by the longest access unit; a longer one is left out, and the stream goes on with the next picture.
 */
export class AnnexBSplitter {
  private readonly options: AnnexBSplitterOptions;
  private readonly maxBytes: number;
  private readonly boundary = new PictureBoundary();

  private bytes: Buffer = Buffer.allocUnsafeSlow(2 * PIECE);
  private length = 0;
  /** How many bytes of the stream came before `bytes`. */
  private consumed = 0;
  /** Where the access unit being collected begins. */
  private base = 0;
  /** No start code begins before this. */
  private searched = 0;
  /** First byte of the NAL unit being collected; undefined while no start code has been found. */
  private nalStart: number | undefined;
  /** Whether it is settled which access unit that NAL unit belongs to. */
  private settled = false;
  private torn = false;
  /** The finished NAL units of the access unit being collected. */
  private nals: Range[] = [];
  private saved: Uint8Array[] = [];

  private nalTimestampUs = 0;
  private unitTimestampUs = 0;
  private lastTimestampUs = Number.NEGATIVE_INFINITY;
  private dropped = 0;
  private pause: { readonly position: number; readonly gaveOut: boolean; goesOnCleanly: boolean } | undefined;

  constructor(options: AnnexBSplitterOptions) {
    this.options = options;
    this.maxBytes = options.maxBytes ?? MAX_BYTES;
  }

  /**
   * Takes the next bytes; they are copied.
   * @param timestampUs when they arrived, CLOCK_MONOTONIC, µs: the time of the pictures that begin in them
   */
  push(chunk: Uint8Array, timestampUs: number): void {
    for (let at = 0; at < chunk.length; at += PIECE) {
      this.append(chunk.subarray(at, at + PIECE));
      this.search(timestampUs);
      this.consume();
    }
  }

  /** The stream has ended: gives out what is held. */
  end(): void {
    if (this.nalStart !== undefined) this.cut();
  }

  /**
   * The writer pauses. With `giveOut` the held access unit counts as complete; where that was wrong, the rest of its
   * last NAL unit is left out when it comes. Either way `onIdleVerdict` tells later whether it was complete.
   */
  idle(giveOut: boolean): void {
    if (this.nalStart === undefined || this.pause) return;
    if (!this.settled || this.torn || !this.boundary.hasPicture) return;
    // No NAL unit ends in a zero: there is more to come for certain.
    if (this.bytes[this.length - 1] === 0) return;
    this.pause = { position: this.consumed + this.length, gaveOut: giveOut, goesOnCleanly: false };
    if (giveOut) this.cut();
  }

  /** Takes what is there for complete. */
  private cut(): void {
    this.finishNal(this.length);
    this.giveOut(this.length);
    this.boundary.reset();
    this.nalStart = undefined;
    this.searched = this.length;
    this.consume();
  }

  private append(piece: Uint8Array): void {
    if (this.length + piece.length > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * (this.length + piece.length));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    this.bytes.set(piece, this.length);
    this.length += piece.length;
  }

  private search(timestampUs: number): void {
    const held = this.bytes.subarray(0, this.length);
    for (;;) {
      const code = held.indexOf(START_CODE, this.searched);
      if (code < 0) break;
      this.finishNal(code);
      this.beginNal(code, timestampUs);
      if (this.nals.length >= MAX_NALS) this.lose(`has more than ${MAX_NALS} NAL units`, code);
    }
    this.settle(this.length);
    // The first two bytes of a start code may stand at the very end.
    this.searched = Math.max(this.searched, this.length - 2);
    if (this.nalStart === undefined && this.nals.length === 0) this.base = this.searched;
    if (this.length - this.base > this.maxBytes) {
      this.lose(`is longer than ${Math.round(this.maxBytes / 1024)} KiB`, this.searched);
      this.nalStart = undefined;
    }
  }

  private beginNal(code: number, timestampUs: number): void {
    this.nalStart = code + START_CODE.length;
    this.searched = this.nalStart;
    this.settled = false;
    this.nalTimestampUs = timestampUs;
    if (this.pause) {
      // The zero_byte of a 4-byte start code may come first.
      const gap = this.consumed + code - this.pause.position;
      this.pause.goesOnCleanly = gap === 0 || (gap === 1 && this.bytes[code - 1] === 0);
    }
  }

  /** The NAL unit being collected ends before `end`. */
  private finishNal(end: number): void {
    if (this.nalStart === undefined) return;
    const nalEnd = withoutTrailingZeros(this.bytes, this.nalStart, end);
    const range = { start: this.nalStart, end: nalEnd };
    if (range.end === range.start) return;
    this.settle(nalEnd, true);
    if (!this.torn && isWanted(this.bytes.subarray(range.start, range.end))) this.nals.push(range);
  }

  /** Decides, once enough of it is there, whether the NAL unit being collected begins another access unit. */
  private settle(end: number, whole = false): void {
    if (this.nalStart === undefined || this.settled) return;
    const start = this.bytes.subarray(this.nalStart, end);
    if (start.length < 2 && !whole) return;
    this.settled = true;
    const place = this.boundary.place(start);
    this.torn = place === 'torn';
    if (this.pause) this.judgePause(place === 'begins');
    if (place === 'begins') this.giveOut(this.nalStart);
    if (this.nals.length === 0) this.unitTimestampUs = this.nalTimestampUs;
  }

  private judgePause(begins: boolean): void {
    const { gaveOut, goesOnCleanly } = this.pause!;
    this.pause = undefined;
    // What was given out is no longer known to the boundary: any NAL unit but the rest of that picture goes on well.
    const wasWhole = goesOnCleanly && (gaveOut ? !this.torn : begins);
    if (gaveOut && !wasWhole) {
      this.dropped++;
      this.options.onProblem(new AppError('media.cut-short', 'A picture was cut short: it arrived in pieces.'));
    }
    this.options.onIdleVerdict?.(wasWhole);
  }

  /** Hands the collected access unit out; the next one begins at `next`. */
  private giveOut(next: number): void {
    const { nals } = this;
    const from = nals[0]?.start ?? 0;
    // A copy of its own: `bytes` is used again for the next.
    const copy = Buffer.from(this.bytes.subarray(from, nals.at(-1)?.end ?? 0));
    const views = nals.map(({ start, end }) => copy.subarray(start - from, end - from));
    const timestampUs = Math.max(this.unitTimestampUs, this.lastTimestampUs + MIN_STEP_US);
    const unit = accessUnitOf([...this.saved, ...views], timestampUs, this.dropped);
    this.nals = [];
    this.base = next;
    if (!unit) {
      this.save(views);
      return;
    }
    this.saved = [];
    this.dropped = 0;
    this.lastTimestampUs = timestampUs;
    this.options.onAccessUnit(unit);
  }

  /** Leaves the access unit being collected out; the stream goes on at `next`. */
  private lose(reason: string, next: number): void {
    this.save(this.nals.map(({ start, end }) => Buffer.from(this.bytes.subarray(start, end))));
    this.nals = [];
    this.base = next;
    this.dropped++;
    this.boundary.reset();
    this.pause = undefined;
    this.options.onProblem(
      new AppError(
        'media.picture-too-large',
        `A picture ${reason} and was left out; the stream goes on with the next.`,
      ),
    );
  }

  /** Keeps parameter sets for the next picture: they may not come again. */
  private save(nals: readonly Uint8Array[]): void {
    const sets = nals.filter((nal) => isParameterSet(nal) && nal.length <= MAX_PARAMETER_SET);
    this.saved = [...this.saved, ...sets].slice(-MAX_SAVED);
  }

  /** Forgets the bytes before the access unit being collected. */
  private consume(): void {
    const by = this.base;
    if (by === 0) return;
    this.bytes.copyWithin(0, by, this.length);
    this.consumed += by;
    this.length -= by;
    this.searched -= by;
    if (this.nalStart !== undefined) this.nalStart -= by;
    this.nals = this.nals.map(({ start, end }) => ({ start: start - by, end: end - by }));
    this.base = 0;
  }
}
