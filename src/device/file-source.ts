import { readFile, stat } from 'node:fs/promises';
import { type Clock, monotonicUs } from '#lib/clock.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { AnnexBSplitter } from '#media/annex-b-splitter.ts';
import { ParameterSetCache, type Sps } from '#media/parameter-sets.ts';
import type { VideoSink, VideoSource, VideoSourceInfo } from '#media/video-source.ts';

export interface FileSourceOptions {
  readonly spec: string;
  /** An Annex-B H.264 stream. */
  readonly path: string;
  /** Frames per second; the stream's own rate when left out. */
  readonly fps?: number;
  /** For people; `file PATH` when left out. */
  readonly description?: string;
  readonly clock: Clock;
  /** CLOCK_MONOTONIC, µs. */
  readonly nowUs?: () => number;
}

/** The whole file is kept in memory: about four minutes at 2 Mbit/s. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** Where neither the stream nor the specification tells. */
const DEFAULT_RATE = 30;
/** A loop that is further behind than this (the machine slept) goes on from now instead of catching up. */
const MAX_LATE_MS = 500;

interface Clip {
  /** Size and time of the file it was read from. */
  readonly version: string;
  readonly units: readonly AccessUnit[];
  readonly sps: Sps;
}

/**
 * Plays an H.264 file over and over at its own pace. Each frame has its deadline counted from the start, so the rate
 * does not drift, and timestamps run on across the end of the file. It starts, and starts over, with an IDR.
 */
export class FileSource implements VideoSource {
  readonly spec: string;
  private readonly options: FileSourceOptions;
  private readonly nowUs: () => number;
  /** Kept from start to start: a viewer's first picture does not wait for the disk. */
  private clip: Clip | undefined;
  private playback: Playback | undefined;

  constructor(options: FileSourceOptions) {
    this.options = options;
    this.spec = options.spec;
    this.nowUs = options.nowUs ?? monotonicUs;
  }

  async start(sink: VideoSink): Promise<VideoSourceInfo> {
    if (this.playback) throw new Error('FileSource is already started');
    const { path, clock, description } = this.options;
    const playback = new Playback({ sink, clock, nowUs: this.nowUs });
    this.playback = playback;
    try {
      this.clip = await loadClip(path, this.clip);
    } catch (error) {
      this.forget(playback);
      throw error;
    }
    const { units, sps } = this.clip;
    const frameRate = this.options.fps ?? (sps.frameRate || DEFAULT_RATE);
    playback.begin(units, frameRate);
    return {
      width: sps.width,
      height: sps.height,
      frameRate,
      canForceKeyFrame: false,
      canSetBitrate: false,
      description: description ?? `file ${path}`,
    };
  }

  async stop(): Promise<void> {
    this.playback?.end();
    this.playback = undefined;
  }

  requestKeyFrame(): void {}

  setBitrate(): void {}

  private forget(playback: Playback): void {
    if (this.playback === playback) this.playback = undefined;
  }
}

/** One start of the source. */
class Playback {
  private readonly sink: VideoSink;
  private readonly clock: Clock;
  private readonly nowUs: () => number;
  private units: readonly AccessUnit[] = [];
  private frameMs = 0;
  private startMs = 0;
  private startUs = 0;
  private frame = 0;
  private cancel: (() => void) | undefined;
  private ended = false;

  constructor(options: { sink: VideoSink; clock: Clock; nowUs: () => number }) {
    this.sink = options.sink;
    this.clock = options.clock;
    this.nowUs = options.nowUs;
  }

  begin(units: readonly AccessUnit[], frameRate: number): void {
    if (this.ended) throw new AppError('source.stopped', 'The source was stopped while it started.', { retry: true });
    this.units = units;
    this.frameMs = 1000 / frameRate;
    this.startMs = this.clock.now();
    this.startUs = this.nowUs();
    this.cancel = this.clock.after(0, () => this.play());
  }

  end(): void {
    this.ended = true;
    this.cancel?.();
  }

  private play(): void {
    const late = this.clock.now() - this.deadline();
    if (late > MAX_LATE_MS) {
      this.startMs += late;
      this.startUs += Math.round(late * 1000);
    }
    while (!this.ended && this.deadline() <= this.clock.now()) {
      const timestampUs = this.startUs + Math.round(this.frame * this.frameMs * 1000);
      const unit = this.units[this.frame % this.units.length]!;
      this.frame++;
      this.sink.accessUnit({ ...unit, timestampUs });
    }
    if (this.ended) return;
    // Timers cut fractions off: rounded up, or every frame would wake twice.
    this.cancel = this.clock.after(Math.ceil(Math.max(0, this.deadline() - this.clock.now())), () => this.play());
  }

  private deadline(): number {
    return this.startMs + this.frame * this.frameMs;
  }
}

async function loadClip(path: string, known: Clip | undefined): Promise<Clip> {
  try {
    const { size, mtimeMs, dev, ino } = await statFile(path);
    const version = `${dev}:${ino}:${size}:${mtimeMs}`;
    if (known?.version === version) return known;
    return { version, ...parseClip(await readFile(path), path) };
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError(
      'source.file-unreadable',
      `The video file cannot be read: ${errorText(error)}. Check the path.`,
      {
        cause: error,
      },
    );
  }
}

async function statFile(path: string) {
  const stats = await stat(path);
  if (!stats.isFile()) {
    throw new AppError('source.file-unreadable', `${path} is not a file. Give the path of an Annex-B H.264 file.`);
  }
  if (stats.size > MAX_FILE_BYTES) {
    const mib = MAX_FILE_BYTES / 1024 / 1024;
    throw new AppError(
      'source.file-too-large',
      `${path} has ${Math.ceil(stats.size / 1024 / 1024)} MiB; a file source plays up to ${mib} MiB from memory. ` +
        `Cut it, or use command:ffmpeg -re -stream_loop -1 -i ${path} -c:v copy -an -f h264 -`,
    );
  }
  return stats;
}

/** The pictures from the first IDR on that a decoder can start with. */
function parseClip(data: Uint8Array, path: string): { units: AccessUnit[]; sps: Sps } {
  const sets = new ParameterSetCache();
  const units: AccessUnit[] = [];
  const splitter = new AnnexBSplitter({
    onAccessUnit(unit) {
      const complete = sets.complete(unit);
      if (complete && (complete.keyframe || units.length > 0)) units.push(complete);
    },
    onProblem() {},
  });
  splitter.push(data, 0);
  splitter.end();
  if (units.length > 0 && sets.sps) return { units, sps: sets.sps };
  throw new AppError(
    'source.not-h264',
    `${path} holds no H.264 picture to start with (Annex B: start codes, SPS, PPS, IDR). ` +
      'An MP4 or MKV file is converted with: ffmpeg -i IN -c:v copy -an -f h264 OUT.h264',
  );
}
