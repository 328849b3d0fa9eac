import type { Clock } from '#lib/clock.ts';
import type { VideoSource } from '#media/video-source.ts';
import { FileSource } from '../file-source.ts';

/**
 * A camera without a camera: a bay in the evening with a clock (mm:ss.frame) and, along the bottom edge, a barcode of
 * the frame number (see barcode.ts), 1280x720 at 30 fps, an IDR every second, over and over after 10 s.
 * @param options.clip where the clip lies (`pattern.h264`); made by scripts/make-pattern
 */
export function createPatternSource(options: { clip: string; clock: Clock }): VideoSource {
  const { clip, clock } = options;
  return new FileSource({ spec: 'pattern', path: clip, description: 'test pattern', clock });
}
