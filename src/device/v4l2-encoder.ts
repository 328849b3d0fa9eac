import { type Camera, Encoder, listDevices } from 'v4l2camera';
import { AppError } from '#lib/error.ts';

/** Formats that differ only in how many memory planes they use; v4l2camera copies between them. */
const contiguous: Record<string, string> = { NM12: 'NV12', NM21: 'NV21', YM12: 'YU12', YM21: 'YV12' };

/** Raw formats, best first: 4:2:0 is what encoders work in, the rest costs them (or the camera's USB) a conversion. */
const preference = ['NV12', 'YU12', 'NV21', 'YV12', 'YUYV', 'UYVY'];

/** An open encoder and the raw formats in which it and the camera agree. */
export interface EncoderMatch {
  readonly encoder: Encoder;
  readonly cameraFormat: string;
  readonly encoderFormat: string;
}

/**
 * Opens the first H.264 encoder that takes one of the camera's raw formats; the one at `path` when given.
 * Throws AppError `source.no-encoder`, or what opening `path` throws.
 */
export function openEncoder({ camera, path }: { camera: Camera; path: string | undefined }): EncoderMatch {
  const offered = camera.formats().map((format) => format.pixelFormat);
  const candidates = path === undefined ? encoderPaths() : [path];
  for (const candidate of candidates) {
    const encoder = new Encoder(candidate).open();
    const match = matchFormats(encoder, offered);
    if (match) return { encoder, ...match };
    encoder.close();
  }
  throw new AppError(
    'source.no-encoder',
    `${camera.path} gives only ${offered.join(', ') || 'nothing'}, and ${candidates.join(', ') || 'no device'} here ` +
      'encodes any of it to H.264. Use a camera or board with an H.264 encoder, or a command: source with a ' +
      'software encoder.',
  );
}

function encoderPaths(): string[] {
  return listDevices()
    .filter((device) => device.kind === 'm2m' && device.streaming)
    .map((device) => device.path);
}

function matchFormats(encoder: Encoder, offered: readonly string[]) {
  if (encoder.info.kind !== 'm2m') return undefined;
  if (!encoder.outputFormats().some((format) => format.pixelFormat === 'H264')) return undefined;
  const taken = encoder.inputFormats().map((format) => format.pixelFormat);
  for (const layout of preference) {
    const cameraFormat = offered.find((format) => layoutOf(format) === layout);
    const encoderFormat = taken.find((format) => layoutOf(format) === layout);
    if (cameraFormat && encoderFormat) return { cameraFormat, encoderFormat };
  }
  return undefined;
}

function layoutOf(pixelFormat: string): string {
  return contiguous[pixelFormat] ?? pixelFormat;
}
