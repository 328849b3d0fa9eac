import type { Clock } from '#lib/clock.ts';
import type { Logger } from '#lib/logger.ts';
import type { AccessUnit } from './access-unit.ts';
import { Reader, type ReaderLimits, type ReaderOptions } from './reader.ts';

/** The encoder as the hub drives it: supervised, so that starting cannot fail and frames come when they can. */
export interface HubSource {
  /** Wanted from now on: units go to `deliver` until `stop`. */
  start(deliver: (unit: AccessUnit) => void): void;
  stop(): Promise<void>;
  requestKeyFrame(): void;
  /** Whether an IDR follows `requestKeyFrame` within a frame or two; false while it is not known. */
  readonly canForceKeyFrame: boolean;
}

/** Puts the newest SPS and PPS before an IDR that comes without. */
export interface ParameterSets {
  /**
   * Remembers the unit's parameter sets; gives the unit back, completed where it needs to be. Undefined for an IDR
   * whose sets nobody has seen.
   */
  complete(unit: AccessUnit): AccessUnit | undefined;
  /** Forgets all, for a new start of the encoder. */
  clear(): void;
}

export interface HubOptions {
  readonly source: HubSource;
  readonly parameterSets: ParameterSets;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long the encoder runs on after its last reader left, ms. */
  readonly lingerMs?: number;
}

const LINGER_MS = 5_000;
/** Two IDRs closer together than this would only cost bitrate. */
const KEY_FRAME_INTERVAL_MS = 500;
/** A newcomer gets the pictures since the last IDR at once, as long as they are not more than this. */
const REPLAY = { maxUnits: 150, maxBytes: 1_500_000 };
/** Where the encoder makes an IDR on request, replaying is only worth it while the last one is fresh. */
const FRESH_MS = 250;
/** A reader gets the same pictures again at most this often. */
const RECOVER_INTERVAL_MS = 1_000;

/** One encoder, any number of readers. The encoder runs only while somebody reads. */
export class Hub {
  private readonly options: HubOptions;
  private readonly readers = new Set<Reader>();
  private holds = 0;
  private running = false;
  private cancelLinger: (() => void) | undefined;
  private sinceKeyFrame: AccessUnit[] = [];
  private sinceKeyFrameBytes = 0;
  private keyFrameAt = Number.NEGATIVE_INFINITY;
  private cancelKeyFrame: (() => void) | undefined;
  private missingSetsSaid = false;

  constructor(options: HubOptions) {
    this.options = options;
  }

  get readerCount(): number {
    return this.readers.size;
  }

  /** Whether the encoder is wanted. */
  get active(): boolean {
    return this.running;
  }

  /**
   * A new reader. Where pictures since the last IDR are at hand it starts with those, so that its first picture needs
   * no waiting; else it starts with the next IDR, which is asked for.
   */
  attach(options: ReaderOptions): Reader {
    const reader = new Reader(options, {
      detach: (leaving) => this.detach(leaving),
      requestKeyFrame: () => this.requestKeyFrame(),
      recover: (lost) => this.recover(lost),
    });
    this.readers.add(reader);
    if (this.wake()) return reader;
    if (this.canReplay(options)) this.replay(reader);
    else this.requestKeyFrame();
    return reader;
  }

  /**
   * Keeps the encoder running without reading, so that pictures are at hand when a reader comes: an encoder takes its
   * time to start. The returned function ends it; call it once.
   */
  hold(): () => void {
    this.holds++;
    this.wake();
    return () => {
      this.holds--;
      this.rest();
    };
  }

  /** Asks for an IDR; requests that come close together become one. */
  requestKeyFrame(): void {
    if (!this.running || this.cancelKeyFrame) return;
    const wait = this.keyFrameAt + KEY_FRAME_INTERVAL_MS - this.options.clock.now();
    if (wait <= 0) {
      this.keyFrameAt = this.options.clock.now();
      this.options.source.requestKeyFrame();
      return;
    }
    this.cancelKeyFrame = this.options.clock.after(wait, () => {
      this.cancelKeyFrame = undefined;
      this.requestKeyFrame();
    });
  }

  /** Stops the encoder at once; readers stay but get nothing more. */
  async stop(): Promise<void> {
    this.cancelLinger?.();
    this.cancelLinger = undefined;
    await this.stopSource();
  }

  /** One reader lost its picture. Where no IDR can be had on request, the pictures since the last one serve as well. */
  private recover(reader: Reader): void {
    // On a path that loses much it would do nothing else.
    const justDone = this.options.clock.now() - reader.restartedAt < RECOVER_INTERVAL_MS;
    if (this.options.source.canForceKeyFrame || justDone || !this.canReplay(reader.limits)) this.requestKeyFrame();
    else {
      reader.restart(this.options.clock.now());
      this.replay(reader);
    }
  }

  private replay(reader: Reader): void {
    for (const unit of this.sinceKeyFrame) reader.offer(unit);
  }

  private detach(reader: Reader): void {
    if (this.readers.delete(reader)) this.rest();
  }

  /** Starts the encoder; false when it runs already. */
  private wake(): boolean {
    this.cancelLinger?.();
    this.cancelLinger = undefined;
    if (this.running) return false;
    this.startSource();
    return true;
  }

  /** Stops the encoder after a while when nobody needs it. */
  private rest(): void {
    if (this.readers.size + this.holds > 0 || !this.running) return;
    this.cancelLinger?.();
    this.cancelLinger = this.options.clock.after(this.options.lingerMs ?? LINGER_MS, () => {
      this.cancelLinger = undefined;
      this.stopSource().catch((error: unknown) => {
        this.options.log.error({ err: error }, 'the picture source did not stop cleanly');
      });
    });
  }

  private startSource(): void {
    this.running = true;
    this.missingSetsSaid = false;
    this.options.parameterSets.clear();
    this.options.source.start((unit) => this.deliver(unit));
  }

  private async stopSource(): Promise<void> {
    if (!this.running) return;
    this.running = false;
    this.cancelKeyFrame?.();
    this.cancelKeyFrame = undefined;
    this.keyFrameAt = Number.NEGATIVE_INFINITY;
    this.forgetReplay();
    await this.options.source.stop();
  }

  private deliver(fresh: AccessUnit): void {
    if (!this.running) return;
    const unit = this.options.parameterSets.complete(fresh);
    if (unit === undefined) {
      this.missParameterSets();
      return;
    }
    this.remember(unit);
    for (const reader of this.readers) reader.offer(unit);
  }

  /** No decoder can start at such an IDR. Most encoders send the sets with the next one they are asked for. */
  private missParameterSets(): void {
    this.forgetReplay();
    if (!this.missingSetsSaid) this.options.log.warn({}, 'an IDR came without SPS and PPS: waiting for them');
    this.missingSetsSaid = true;
    this.requestKeyFrame();
  }

  private remember(unit: AccessUnit): void {
    if (unit.keyframe) {
      this.forgetReplay();
      this.keyFrameAt = this.options.clock.now();
    } else if (this.sinceKeyFrame.length === 0) return;
    this.sinceKeyFrame.push(unit);
    this.sinceKeyFrameBytes += unit.byteLength;
    // A piece of a GOP is of no use: past the limit the whole is forgotten until the next IDR.
    if (this.sinceKeyFrame.length > REPLAY.maxUnits || this.sinceKeyFrameBytes > REPLAY.maxBytes) this.forgetReplay();
  }

  private canReplay(reader: ReaderLimits): boolean {
    if (this.sinceKeyFrame.length === 0) return false;
    if (this.sinceKeyFrame.length > reader.maxUnits || this.sinceKeyFrameBytes > reader.maxBytes) return false;
    const fresh = this.options.clock.now() - this.keyFrameAt <= FRESH_MS;
    return fresh || !this.options.source.canForceKeyFrame;
  }

  private forgetReplay(): void {
    this.sinceKeyFrame = [];
    this.sinceKeyFrameBytes = 0;
  }
}
