import { AppError } from '#lib/error.ts';

/** What `v4l2:/dev/video0?width=1280&…` says. Wishes: the driver may grant something near. */
export interface V4l2Spec {
  /** Capture node. */
  readonly path: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second. */
  readonly fps: number;
  /** Bit/s at the start; the session's rate control changes it. */
  readonly bitrate: number;
  /** Frames between two IDRs. */
  readonly gop: number;
  /** Encoder node for a camera without H.264; searched for when left out. */
  readonly encoder: string | undefined;
}

const PREFIX = 'v4l2:';
const defaults = { width: 1280, height: 720, fps: 30, bitrate: 2_000_000, gop: 60 };
const limits = { width: 16384, height: 16384, fps: 1000, bitrate: 1_000_000_000, gop: 100_000 };
type NumberKey = keyof typeof defaults;

/** Reads a source specification; throws AppError `source.bad-spec`. */
export function parseV4l2Spec(spec: string): V4l2Spec {
  if (!spec.startsWith(PREFIX)) throw badSpec(spec, `it does not start with ${PREFIX}`);
  const [path = '', query = '', ...rest] = spec.slice(PREFIX.length).split('?');
  if (!path.startsWith('/') || rest.length > 0) throw badSpec(spec, 'the device must be a path such as /dev/video0');
  const numbers = { ...defaults };
  let encoder: string | undefined;
  for (const [key, value] of new URLSearchParams(query)) {
    if (isNumberKey(key)) numbers[key] = readNumber(spec, key, value);
    else if (key === 'encoder' && value.startsWith('/')) encoder = value;
    else throw badSpec(spec, `option ${key}=${value} is not one of width, height, fps, bitrate, gop, encoder=/dev/…`);
  }
  return { path, ...numbers, encoder };
}

function isNumberKey(key: string): key is NumberKey {
  return Object.hasOwn(defaults, key);
}

function readNumber(spec: string, key: NumberKey, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= limits[key]) return value;
  throw badSpec(spec, `${key} must be a whole number from 1 to ${limits[key]}`);
}

function badSpec(spec: string, why: string): AppError {
  return new AppError(
    'source.bad-spec',
    `The source "${spec}" cannot be used: ${why}. Example: v4l2:/dev/video0?width=1280&height=720&fps=30`,
  );
}
