import { Camera, controlIds, type Encoder, type Frame, type Interval } from 'v4l2camera';
import { AppError } from '#lib/error.ts';
import { AccessUnitReader } from '#media/annex-b.ts';
import type { VideoSink, VideoSource, VideoSourceInfo } from '#media/video-source.ts';
import { openEncoder } from './v4l2-encoder.ts';
import { v4l2Error } from './v4l2-error.ts';
import { parseV4l2Spec, type V4l2Spec } from './v4l2-spec.ts';

/** Silence after which a device counts as stuck: so many frames, but never less than so many ms. */
const STALL_FRAMES = 10;
const STALL_MIN_MS = 2000;

/**
 * A V4L2 camera: its own H.264, or its raw pictures through the board's M2M encoder.
 * Failures: AppError `source.…`, see v4l2-error.ts.
 */
export class V4l2Source implements VideoSource {
  readonly spec: string;
  private readonly wish: V4l2Spec;
  private pipeline: Pipeline | undefined;

  /** Throws AppError `source.bad-spec`. */
  constructor(options: { readonly spec: string }) {
    this.spec = options.spec;
    this.wish = parseV4l2Spec(options.spec);
  }

  async start(sink: VideoSink): Promise<VideoSourceInfo> {
    if (this.pipeline) throw new Error('V4l2Source is already started');
    const pipeline = new Pipeline({
      wish: this.wish,
      sink,
      failed: (error) => {
        if (this.pipeline !== pipeline) return;
        this.release();
        sink.failed(v4l2Error(this.spec, error));
      },
    });
    this.pipeline = pipeline;
    try {
      return pipeline.start();
    } catch (error) {
      this.release();
      throw v4l2Error(this.spec, error);
    }
  }

  async stop(): Promise<void> {
    this.release();
  }

  requestKeyFrame(): void {
    this.control((coder) => coder.forceKeyFrame());
  }

  setBitrate(bitsPerSecond: number): void {
    this.control((coder) => coder.setBitrate(bitsPerSecond));
  }

  /** An unplugged device refuses; its `error` event, which comes on its own, tells the sink. */
  private control(change: (coder: Camera | Encoder) => void): void {
    const coder = this.pipeline?.coder;
    if (!coder) return;
    try {
      change(coder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENODEV') throw error;
    }
  }

  private release(): void {
    const { pipeline } = this;
    this.pipeline = undefined;
    pipeline?.close();
  }
}

/** The open devices of one start. */
class Pipeline {
  /** The device whose controls steer the H.264 stream, while open. */
  coder: Camera | Encoder | undefined;
  private readonly wish: V4l2Spec;
  private readonly sink: VideoSink;
  private readonly failed: (error: unknown) => void;
  private readonly camera: Camera;
  private readonly reader = new AccessUnitReader();
  private encoder: Encoder | undefined;
  /** Pictures lost before the encoder since the last frame that came out of it. */
  private lostBeforeEncoder = 0;

  constructor(options: { wish: V4l2Spec; sink: VideoSink; failed: (error: unknown) => void }) {
    this.wish = options.wish;
    this.sink = options.sink;
    this.failed = options.failed;
    this.camera = new Camera(options.wish.path);
  }

  start(): VideoSourceInfo {
    const { camera } = this;
    camera.open();
    camera.on('error', this.failed);
    if (camera.info.kind !== 'capture' || !camera.info.streaming) throw notACamera(camera);
    const direct = camera.formats().some((format) => format.pixelFormat === 'H264');
    return direct ? this.startDirect() : this.startEncoded();
  }

  close(): void {
    this.coder = undefined;
    this.camera.removeAllListeners();
    this.encoder?.removeAllListeners();
    this.camera.close();
    this.encoder?.close();
  }

  private startDirect(): VideoSourceInfo {
    const { camera } = this;
    const granted = this.configureCamera('H264');
    this.configureCoder(camera);
    camera.on('frame', (frame) => this.deliver(frame, 0));
    camera.start({ stallMs: stallMs(granted.interval) });
    return this.info(camera, granted);
  }

  private startEncoded(): VideoSourceInfo {
    const { camera } = this;
    const { encoder, cameraFormat, encoderFormat } = openEncoder({ camera, path: this.wish.encoder });
    this.encoder = encoder;
    const granted = this.configureCamera(cameraFormat);
    const { width, height, interval } = granted;
    encoder.configSet({ input: { pixelFormat: encoderFormat, width, height }, ...(interval && { interval }) });
    this.configureCoder(encoder);
    encoder.on('error', this.failed);
    encoder.on('frame', (frame) => {
      this.deliver(frame, this.lostBeforeEncoder);
      this.lostBeforeEncoder = 0;
    });
    encoder.start({ stallMs: stallMs(interval) });
    camera.on('frame', (frame) => {
      this.lostBeforeEncoder += frame.dropped;
      if (!this.encode(encoder, frame, granted)) this.lostBeforeEncoder++;
      frame.release();
    });
    camera.start({ lend: true, stallMs: stallMs(interval) });
    return this.info(encoder, granted);
  }

  private configureCamera(pixelFormat: string) {
    const { width, height, fps } = this.wish;
    const granted = this.camera.configSet({
      pixelFormat,
      width,
      height,
      interval: { numerator: 1, denominator: fps },
    });
    if (granted.pixelFormat === pixelFormat) return granted;
    throw new AppError(
      'source.format-refused',
      `${this.camera.path} offers ${pixelFormat} but gives ${granted.pixelFormat}. Try another width and height.`,
    );
  }

  /** Codec controls belong to the open file, so they are set on the very device that streams. */
  private configureCoder(coder: Camera | Encoder): void {
    coder.setBitrate(this.wish.bitrate);
    coder.setGopSize(this.wish.gop);
    coder.setRepeatHeaders(true);
    const bFrames = coder.control(controlIds().B_FRAMES!);
    // A picture that waits for a later one is a picture shown late; RTP in decoding order also needs none.
    if (bFrames && bFrames.minimum <= 0n) coder.controlSet(bFrames.id, 0);
    this.coder = coder;
  }

  /** False when the picture was not taken. */
  private encode(encoder: Encoder, frame: Frame, format: ReturnType<Camera['configGet']>): boolean {
    try {
      return encoder.encode(frame, format);
    } catch (error) {
      this.failed(error);
      return true;
    }
  }

  private deliver(frame: Frame, lostBefore: number): void {
    const unit = this.reader.read(frame.data, frame.timestampUs, frame.dropped + lostBefore);
    if (unit) this.sink.accessUnit(unit);
  }

  private info(coder: Camera | Encoder, granted: ReturnType<Camera['configGet']>): VideoSourceInfo {
    const { card, driver } = this.camera.info;
    const through = this.encoder ? ` through ${this.encoder.info.card} (${this.encoder.info.driver})` : '';
    return {
      width: granted.width,
      height: granted.height,
      frameRate: granted.interval ? granted.interval.denominator / granted.interval.numerator : 0,
      canForceKeyFrame: coder.canForceKeyFrame,
      canSetBitrate: coder.canSetBitrate,
      description: `${card} (${driver})${through}`,
    };
  }
}

function stallMs(interval: Interval | undefined): number {
  const frameMs = interval ? (1000 * interval.numerator) / interval.denominator : 0;
  return Math.max(STALL_MIN_MS, STALL_FRAMES * frameMs);
}

function notACamera(camera: Camera): AppError {
  const { card, kind } = camera.info;
  return new AppError(
    'source.not-a-camera',
    `${camera.path} (${card}) is not a camera but a node of kind "${kind}". Set another one (\`ls /dev/video*\`).`,
  );
}
