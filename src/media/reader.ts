import type { AccessUnit } from './access-unit.ts';

export interface ReaderLimits {
  /** Most access units that may wait. */
  readonly maxUnits: number;
  /** Most bytes that may wait. */
  readonly maxBytes: number;
}

export interface ReaderOptions extends ReaderLimits {
  /** For logs and statistics. */
  readonly name: string;
  /** A unit waits to be taken; called once for each that came. */
  onReadable(): void;
  /** The stream starts over: units that were taken but not used yet are of no use any more. */
  onRestart?(): void;
}

/** What a reader needs of its hub. */
interface ReaderHub {
  detach(reader: Reader): void;
  requestKeyFrame(): void;
  recover(reader: Reader): void;
}

/**
 * A bounded queue between the hub and one consumer. It opens with an IDR. When it overflows it is emptied as a whole
 * and waits for the next IDR: the consumer then misses a piece, but never sees a picture whose references are gone.
 */
export class Reader {
  /** How often the queue overflowed, and the units that were dropped by it. */
  readonly stats = { overflows: 0, droppedUnits: 0 };
  private readonly options: ReaderOptions;
  private readonly hub: ReaderHub;
  private queue: AccessUnit[] = [];
  private queuedBytes = 0;
  private waitingForKeyFrame = true;
  private restarted = Number.NEGATIVE_INFINITY;

  /** Made by `Hub.attach`. */
  constructor(options: ReaderOptions, hub: ReaderHub) {
    this.options = options;
    this.hub = hub;
  }

  get limits(): ReaderLimits {
    return this.options;
  }

  get name(): string {
    return this.options.name;
  }

  /** True until the IDR that opens the stream, or opens it again after an overflow. */
  get gated(): boolean {
    return this.waitingForKeyFrame;
  }

  /** The next access unit in order, if one waits. */
  take(): AccessUnit | undefined {
    const unit = this.queue.shift();
    if (unit !== undefined) this.queuedBytes -= unit.byteLength;
    return unit;
  }

  /** The consumer lost a picture and needs an IDR; many such requests at once become one. */
  recover(): void {
    this.hub.recover(this);
  }

  /** No unit comes after this. Safe to call twice. */
  detach(): void {
    this.hub.detach(this);
    this.empty();
  }

  /** When the hub last let the reader start over, on its clock. */
  get restartedAt(): number {
    return this.restarted;
  }

  /** The hub's side: forgets what waits and starts over with the next IDR offered. */
  restart(now: number): void {
    this.restarted = now;
    this.empty();
    this.waitingForKeyFrame = true;
    this.options.onRestart?.();
  }

  /** The hub's side: offers a unit. */
  offer(unit: AccessUnit): void {
    if (this.waitingForKeyFrame && !unit.keyframe) return;
    const overflows =
      this.queue.length >= this.options.maxUnits || this.queuedBytes + unit.byteLength > this.options.maxBytes;
    if (overflows && this.queue.length > 0) {
      this.stats.overflows++;
      this.stats.droppedUnits += this.queue.length;
      this.empty();
      if (!unit.keyframe) {
        this.stats.droppedUnits++;
        this.waitingForKeyFrame = true;
        this.hub.requestKeyFrame();
        return;
      }
    }
    this.waitingForKeyFrame = false;
    this.queue.push(unit);
    this.queuedBytes += unit.byteLength;
    this.options.onReadable();
  }

  private empty(): void {
    this.queue = [];
    this.queuedBytes = 0;
  }
}
