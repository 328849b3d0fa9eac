import { nalType, splitNals } from '#media/annex-b.ts';

/** One frame of a clip as an encoder would deliver it. */
export interface ClipFrame {
  /** Annex B, with SPS and PPS where the clip has them. */
  readonly data: Uint8Array;
  /** Leading bytes of `data` that are SPS and PPS. */
  readonly headers: number;
  readonly keyframe: boolean;
}

/** Cuts a byte stream with one slice per picture into frames. */
export function clipFrames(stream: Uint8Array): ClipFrame[] {
  const frames: ClipFrame[] = [];
  let headers: Buffer[] = [];
  for (const nal of splitNals(stream)) {
    const coded = Buffer.concat([Buffer.from([0, 0, 0, 1]), nal]);
    const type = nalType(nal);
    if (type !== 1 && type !== 5) {
      headers.push(coded);
      continue;
    }
    const data = Buffer.concat([...headers, coded]);
    frames.push({ data, headers: data.length - coded.length, keyframe: type === 5 });
    headers = [];
  }
  return frames;
}

/** The file that the test driver replays; see driver/clip.c. */
export function clipFile(options: {
  frames: readonly ClipFrame[];
  width: number;
  height: number;
  fps: number;
}): Buffer {
  const { frames, width, height, fps } = options;
  const parts = [Buffer.from('PCLP'), words(width, height, fps, frames.length)];
  for (const frame of frames)
    parts.push(words(frame.headers, frame.data.length, Number(frame.keyframe)), Buffer.from(frame.data));
  return Buffer.concat(parts);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}
