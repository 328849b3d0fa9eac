import type { EventEmitter } from 'node:events';

/** What a /dev/video node is. */
export interface DeviceInfo {
  readonly path: string;
  readonly driver: string;
  readonly card: string;
  readonly bus: string;
  /** Kernel version of the driver, `6.1.0`. */
  readonly version: string;
  /** `capture`: a camera; `m2m`: an encoder, decoder or scaler; `other`: metadata, radio, … */
  readonly kind: 'capture' | 'm2m' | 'output' | 'other';
  readonly multiplanar: boolean;
  /** Whether memory-mapped streaming, the only way used here, is there. */
  readonly streaming: boolean;
}

/** One entry of a format enumeration. */
export interface PixelFormat {
  /** Four characters, such as `H264`, `NV12`, `YUYV`. */
  readonly pixelFormat: string;
  readonly description: string;
  readonly compressed: boolean;
  /** Made by software (libv4l). */
  readonly emulated: boolean;
}

export interface DiscreteSize {
  readonly width: number;
  readonly height: number;
}

export interface SizeRange {
  readonly minWidth: number;
  readonly maxWidth: number;
  readonly stepWidth: number;
  readonly minHeight: number;
  readonly maxHeight: number;
  readonly stepHeight: number;
}

/** Seconds as a fraction: 1/30 is thirty frames per second. */
export interface Interval {
  readonly numerator: number;
  readonly denominator: number;
}

export interface IntervalRange {
  readonly min: Interval;
  readonly max: Interval;
  readonly step: Interval;
}

/** A picture format as granted by a driver. */
export interface PictureFormat {
  readonly pixelFormat: string;
  readonly width: number;
  readonly height: number;
  /** One entry per memory plane, bytes. */
  readonly planes: readonly { readonly bytesPerLine: number; readonly sizeImage: number }[];
}

/** A wish; what is left out stays as it is, and the driver may adjust everything. */
export interface PictureWish {
  readonly pixelFormat?: string;
  readonly width?: number;
  readonly height?: number;
  /** Buffer size for coded frames, bytes; the driver's own choice when left out. */
  readonly sizeImage?: number;
}

export type ControlType =
  | 'integer'
  | 'boolean'
  | 'menu'
  | 'button'
  | 'integer64'
  | 'class'
  | 'string'
  | 'bitmask'
  | 'integer-menu'
  | 'compound';

/** One control. Bounds are bigint for every type: 64-bit controls use all 64 bits. For strings they are lengths. */
export interface Control {
  readonly id: number;
  readonly name: string;
  readonly type: ControlType;
  readonly minimum: bigint;
  readonly maximum: bigint;
  readonly step: bigint;
  readonly default: bigint;
  readonly elements: number;
  readonly disabled: boolean;
  readonly grabbed: boolean;
  readonly readOnly: boolean;
  readonly inactive: boolean;
  readonly writeOnly: boolean;
  readonly volatile: boolean;
  /** Of menus only; indices may have holes. `name` in a menu, `value` in an integer menu. */
  readonly menu?: readonly { readonly index: number; readonly name?: string; readonly value?: bigint }[];
}

/** 64-bit controls are bigint, strings string, all else number. */
export type ControlValue = number | bigint | string;

export interface Frame {
  /** The first (for coded video: the only) plane. */
  readonly data: Uint8Array;
  readonly planes: readonly Uint8Array[];
  /** The driver's keyframe flag; UVC cameras never set it. */
  readonly keyframe: boolean;
  /** CLOCK_MONOTONIC, µs; out of an encoder: the timestamp of the picture that went in. */
  readonly timestampUs: number;
  readonly sequence: number;
  /** Frames lost or damaged since the last delivered one. */
  readonly dropped: number;
  /**
   * Gives a lent frame (`start({ lend: true })`) back to the driver; its arrays must not be used afterwards, and
   * become empty when streaming stops. Does nothing for copied frames, or when called again.
   */
  release(): void;
}

/** A V4L2 event that was subscribed to. */
export interface DeviceEvent {
  readonly type: number;
  readonly id: number;
  readonly sequence: number;
  readonly changes?: number;
  readonly value?: number | bigint;
}

/**
 * Errors, thrown and emitted: `ENODEV` unplugged, `EIO` fatal driver error (start again), `ESTALLED` nothing came for
 * `stallMs`, `EBUSY` in use by another program, `ENOENT`, `EACCES`, `ENOTTY` not a V4L2 node, `EBADF` not open,
 * `ADDON_MISSING` not compiled; others as the ioctl in `syscall` gave them.
 */
export interface DeviceError extends Error {
  readonly code: string;
  readonly errno?: number;
  readonly syscall?: string;
}

export interface DeviceEvents {
  frame: [frame: Frame];
  /** Streaming has ended and its buffers are gone; `start` may be tried again. */
  error: [error: DeviceError];
  event: [event: DeviceEvent];
  /** Encoders: an input buffer is free again. */
  drain: [];
}

/** What capture nodes and encoders have in common. Constructors do nothing; methods throw DeviceError. */
declare class Device extends EventEmitter<DeviceEvents> {
  constructor(path: string);
  readonly path: string;
  readonly isOpen: boolean;
  /** Of the node as it was opened last. */
  readonly info: DeviceInfo;
  open(): this;
  /** Stops and releases everything; may be called again. */
  close(): void;
  sizes(pixelFormat: string): (DiscreteSize | SizeRange)[];
  intervals(pixelFormat: string, width: number, height: number): (Interval | IntervalRange)[];
  controls(): Control[];
  controlGet(id: number): ControlValue;
  /** Returns what the driver made of it. Compound controls: ENOTSUP. */
  controlSet(id: number, value: ControlValue): ControlValue;
  /** The control, if this driver has it and it can be set. */
  control(id: number): Control | undefined;
  subscribe(event: 'EOS' | 'CONTROL' | 'SOURCE_CHANGE', controlId?: number): void;
  readonly canForceKeyFrame: boolean;
  readonly canSetBitrate: boolean;
  /** Asks for an IDR; false when the driver cannot. */
  forceKeyFrame(): boolean;
  /** Bit/s, kept within the driver's bounds; what was granted, or undefined when the driver cannot. */
  setBitrate(bitsPerSecond: number): number | undefined;
  /** Frames between two IDRs; what was granted, or undefined. */
  setGopSize(frames: number): number | undefined;
  /** SPS and PPS before every IDR; false when the driver cannot. */
  setRepeatHeaders(repeat: boolean): boolean;
}

export interface CaptureOptions {
  /** Wanted number of buffers, 1 to 32; default 4. */
  readonly buffers?: number;
  /** Frames are views of the driver's buffers until released, instead of copies. For raw video. */
  readonly lend?: boolean;
  /** Silence after which `error` ESTALLED comes, ms; 0 (default): never. */
  readonly stallMs?: number;
}

/** A capture node, single- or multi-planar. */
export class Camera extends Device {
  formats(): PixelFormat[];
  configGet(): PictureFormat & { readonly interval: Interval | undefined };
  configSet(wish: PictureWish & { readonly interval?: Interval }): PictureFormat & {
    readonly interval: Interval | undefined;
  };
  /** Returns the number of buffers granted. */
  start(options?: CaptureOptions): number;
  stop(): void;
}

/** A memory-to-memory encoder. Controls belong to this open file: set them here, live. */
export class Encoder extends Device {
  inputFormats(): PixelFormat[];
  outputFormats(): PixelFormat[];
  configGet(): { readonly input: PictureFormat; readonly output: PictureFormat };
  configSet(wish: {
    readonly input: PictureWish & DiscreteSize;
    /** `H264` in the size of the input when left out. */
    readonly output?: PictureWish;
    readonly interval?: Interval;
  }): { readonly input: PictureFormat; readonly output: PictureFormat };
  /** `stallMs` (default 2000; 0: never): time without an answer after which `error` ESTALLED comes. */
  start(options?: { readonly buffers?: number; readonly stallMs?: number }): void;
  stop(): void;
  /**
   * Copies a picture, plane by plane to the encoder's strides, and queues it. `format` is the picture's own (a camera's
   * configGet); NV12 and NM12 and the like may be mixed. False: no input buffer free, the picture was not taken.
   */
  encode(
    picture: { readonly planes: readonly Uint8Array[]; readonly timestampUs: number },
    format?: PictureFormat,
  ): boolean;
}

/** Every /dev/video node that can be opened, in numerical order. */
export function listDevices(): DeviceInfo[];

/** Control numbers of codecs (V4L2_CID_MPEG_VIDEO_*): VIDEO_BITRATE, GOP_SIZE, FORCE_KEY_FRAME, … */
export function controlIds(): Readonly<Record<string, number>>;
