import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the pattern's clip lies in the source tree. */
export const PATTERN_CLIP = fileURLToPath(new URL('../../src/device/sim/pattern.h264', import.meta.url));

/** A whole H.264 stream of a real encoder: 300 pictures of one slice, an IDR with SPS and PPS every 30. */
export function patternClip(): Buffer {
  return readFileSync(PATTERN_CLIP);
}
