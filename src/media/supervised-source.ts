import { Backoff } from '#lib/backoff.ts';
import type { Clock } from '#lib/clock.ts';
import { AppError, toAppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { AccessUnit } from './access-unit.ts';
import type { VideoSink, VideoSource, VideoSourceInfo } from './video-source.ts';

/**
 * `idle`: not wanted; `starting`: on its way for the first time; `live`: pictures come; `down`: it failed, `error` says
 * why, and it is tried again until it is live or no longer wanted.
 */
export type SourceCondition = 'idle' | 'starting' | 'live' | 'down';

export interface SupervisedSourceOptions {
  readonly source: VideoSource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Jitter of the delays, in [0, 1); Math.random unless a test says otherwise. */
  readonly random?: () => number;
}

/** Silence after which a source counts as stuck: so many frames, but never less than so many ms. */
const STALL_FRAMES = 10;
const STALL_MIN_MS = 2_000;
/** A source that was live this long was healthy: what ends it now is a new story. */
const HEALTHY_MS = 10_000;
/** Delays after a failure that may pass by itself. */
const QUICK = { firstMs: 500, maxMs: 15_000 };
/** Delays where trying again does not help until a person does something, such as plugging the camera in. */
const SLOW = { firstMs: 5_000, maxMs: 60_000 };

/** One start of the source. What comes from an older one is ignored. */
interface Run {
  lastFrameAt: number;
  sawFrame: boolean;
  liveSince: number | undefined;
}

/**
 * Keeps a source running while it is wanted: one that dies is started again after a growing delay, one that falls
 * silent is stopped and started again. Starting cannot fail: pictures come when they can, `state` says how it stands.
 */
export class SupervisedSource {
  private readonly source: VideoSource;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly quick: Backoff;
  private readonly slow: Backoff;
  private readonly listeners = new Set<() => void>();
  private condition: SourceCondition = 'idle';
  private lastError: AppError | undefined;
  private lastInfo: VideoSourceInfo | undefined;
  private deliver: ((unit: AccessUnit) => void) | undefined;
  private run: Run | undefined;
  private downSince: number | undefined;
  private cancelTimer: (() => void) | undefined;
  /** The source's starts and stops, one after the other. */
  private queue: Promise<void> = Promise.resolve();
  private startPending = false;

  constructor(options: SupervisedSourceOptions) {
    this.source = options.source;
    this.clock = options.clock;
    this.log = options.log;
    this.quick = new Backoff({ ...QUICK, random: options.random });
    this.slow = new Backoff({ ...SLOW, random: options.random });
  }

  get state(): SourceCondition {
    return this.condition;
  }

  /** Why the source is down; undefined in every other state. */
  get error(): AppError | undefined {
    return this.lastError;
  }

  /** What the source is and can do, as of its last successful start. */
  get info(): VideoSourceInfo | undefined {
    return this.lastInfo;
  }

  /** Whether an IDR follows `requestKeyFrame` within a frame or two; false while the source does not run. */
  get canForceKeyFrame(): boolean {
    return this.condition === 'live' && this.lastInfo?.canForceKeyFrame === true;
  }

  /** Calls `listener` after every change of `state` or `error`; the returned function ends it. */
  onState(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Wanted from now on: units go to `deliver` until `stop`. Does nothing when it is wanted already. */
  start(deliver: (unit: AccessUnit) => void): void {
    if (this.deliver) return;
    this.deliver = deliver;
    this.quick.reset();
    this.slow.reset();
    this.change('starting', undefined);
    this.begin();
  }

  /** Resolves when the source has released everything; no unit comes after it was called. */
  async stop(): Promise<void> {
    if (this.deliver) {
      this.deliver = undefined;
      this.abandonRun();
      this.downSince = undefined;
      this.change('idle', undefined);
    }
    return this.release();
  }

  /** Asks for an IDR; does nothing while the source does not run. */
  requestKeyFrame(): void {
    if (this.condition === 'live') this.source.requestKeyFrame();
  }

  private begin(): void {
    const run: Run = { lastFrameAt: this.clock.now(), sawFrame: false, liveSince: undefined };
    this.run = run;
    this.enqueue(async () => {
      // Stopped while it waited in the queue.
      if (this.run !== run) return;
      this.startPending = true;
      const outcome = await this.source.start(this.sinkOf(run)).catch((error: unknown) => {
        return toAppError(error, 'source.failed', { retry: true });
      });
      this.startPending = false;
      if (this.run !== run) return;
      if (outcome instanceof AppError) this.fail(outcome);
      else this.started(run, outcome);
    });
  }

  private sinkOf(run: Run): VideoSink {
    return {
      accessUnit: (unit) => {
        if (this.run !== run) return;
        run.lastFrameAt = this.clock.now();
        if (!run.sawFrame) {
          run.sawFrame = true;
          if (!this.startPending) this.goLive(run);
        }
        this.deliver?.(unit);
      },
      failed: (error) => {
        if (this.run === run) this.fail(error);
      },
    };
  }

  private started(run: Run, info: VideoSourceInfo): void {
    this.lastInfo = info;
    run.lastFrameAt = this.clock.now();
    this.watch(run, Math.max(STALL_MIN_MS, info.frameRate > 0 ? (STALL_FRAMES * 1000) / info.frameRate : 0));
    if (run.sawFrame) this.goLive(run);
  }

  private goLive(run: Run): void {
    run.liveSince = this.clock.now();
    const { description, width, height, frameRate } = this.lastInfo!;
    const size = width > 0 ? `, ${width}x${height}` : '';
    const rate = frameRate > 0 ? `, ${Number(frameRate.toFixed(2))} fps` : '';
    const again = this.downSince === undefined ? '' : ` again after ${seconds(run.liveSince - this.downSince)}`;
    this.downSince = undefined;
    this.log.info({ source: this.source.spec }, `the picture source is live${again}: ${description}${size}${rate}`);
    this.change('live', undefined);
  }

  /** Frame-age watchdog: one timer that looks when the next frame would be overdue, not one per frame. */
  private watch(run: Run, limitMs: number): void {
    const look = () => {
      const age = this.clock.now() - run.lastFrameAt;
      if (age < limitMs) {
        this.cancelTimer = this.clock.after(limitMs - age, look);
        return;
      }
      this.fail(
        new AppError(
          'source.stalled',
          `The source runs but has sent no picture for ${seconds(age)}: it hangs. It is stopped and started again.`,
          { retry: true },
        ),
      );
    };
    this.cancelTimer = this.clock.after(limitMs, look);
  }

  private fail(error: AppError): void {
    const { run } = this;
    const now = this.clock.now();
    if (run?.liveSince !== undefined && now - run.liveSince >= HEALTHY_MS) {
      this.quick.reset();
      this.slow.reset();
    }
    this.abandonRun();
    const delayMs = (error.retry ? this.quick : this.slow).next();
    this.report(error, delayMs);
    this.downSince ??= now;
    // Also after a failure that released everything by itself: stop is safe then, and nothing depends on it.
    void this.release();
    this.cancelTimer = this.clock.after(delayMs, () => this.begin());
    this.change('down', error);
  }

  private report(error: AppError, delayMs: number): void {
    const { spec } = this.source;
    const fields = { source: spec, code: error.code, retryInMs: Math.round(delayMs) };
    const text = `the picture source ${spec} is down: ${error.message} (next try in ${seconds(delayMs)})`;
    // A camera that stays unplugged is one line in the log, not one a minute.
    const known = this.lastError?.code === error.code && this.lastError.message === error.message;
    if (known) this.log.debug(fields, text);
    else this.log.warn(fields, text);
  }

  private abandonRun(): void {
    this.run = undefined;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
  }

  /** Stops the source: at once where a start is under way (which ends it), and again after whatever is queued. */
  private release(): Promise<void> {
    if (this.startPending) void this.stopSource();
    return this.enqueue(() => this.stopSource());
  }

  private async stopSource(): Promise<void> {
    try {
      await this.source.stop();
    } catch (error) {
      this.log.error({ err: error, source: this.source.spec }, 'the picture source did not stop cleanly');
    }
  }

  /** @param step never rejects */
  private enqueue(step: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(step);
    return this.queue;
  }

  private change(state: SourceCondition, error: AppError | undefined): void {
    if (this.condition === state && this.lastError === error) return;
    this.condition = state;
    this.lastError = error;
    for (const listener of [...this.listeners]) listener();
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
