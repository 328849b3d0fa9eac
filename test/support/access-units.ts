import type { AccessUnit } from '#media/access-unit.ts';

/** An access unit of one slice NAL, its bytes a pattern that tells units apart. */
export function slice(
  options: { idr?: boolean; timestampUs?: number; bytes?: number; mark?: number } = {},
): AccessUnit {
  const { idr = false, timestampUs = 0, bytes = 100, mark = 0 } = options;
  const nal = Buffer.alloc(bytes, mark & 0xff);
  nal[0] = idr ? 0x65 : 0x41;
  return { nals: [nal], keyframe: idr, timestampUs, byteLength: bytes, dropped: 0 };
}
