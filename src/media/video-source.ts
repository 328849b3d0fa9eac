import type { AppError } from '#lib/error.ts';
import type { AccessUnit } from './access-unit.ts';

/** Where a source delivers. Calls never throw. */
export interface VideoSink {
  accessUnit(unit: AccessUnit): void;
  /**
   * The source died (unplugged, program ended, I/O error). Called at most once after `start` resolved, and the
   * source has already released everything: `start` may be called again.
   */
  failed(error: AppError): void;
}

/** What a running source is and can do. */
export interface VideoSourceInfo {
  /** Pixels; 0 when not known before the first SPS. */
  readonly width: number;
  readonly height: number;
  /** Frames per second; 0 when not known. */
  readonly frameRate: number;
  /** Whether `requestKeyFrame` brings an IDR within a frame or two. */
  readonly canForceKeyFrame: boolean;
  /** Whether `setBitrate` changes the running encoder. */
  readonly canSetBitrate: boolean;
  /** For people: driver and card, program, file. */
  readonly description: string;
}

/** One encoder. Constructors do nothing; `start` acquires, `stop` releases. */
export interface VideoSource {
  /** The configured specification, for logs: `v4l2:/dev/video0`, `pattern`, … */
  readonly spec: string;
  /** Resolves when frames are on their way; rejects with an AppError (nothing stays acquired). */
  start(sink: VideoSink): Promise<VideoSourceInfo>;
  /**
   * Resolves when everything is released; no sink call comes after it was called. Safe when not started; ends a start
   * that is under way, which then rejects soon.
   */
  stop(): Promise<void>;
  /** Asks for an IDR; does nothing where the source cannot. */
  requestKeyFrame(): void;
  /** Sets the live encoder's bitrate, bit/s; does nothing where the source cannot. */
  setBitrate(bitsPerSecond: number): void;
}
