import type { AccessUnit } from './access-unit.ts';

/** nal_unit_type, ITU-T H.264 table 7-1. */
export const NAL = {
  slice: 1,
  partitionA: 2,
  partitionC: 4,
  idr: 5,
  sei: 6,
  sps: 7,
  pps: 8,
  delimiter: 9,
  filler: 12,
} as const;

/** The first NAL unit type that H.264 leaves to others: RTP packets use 24 to 31 for their own purposes. */
const FIRST_UNSPECIFIED = 24;

/** nal_unit_type of a NAL unit without start code; 0 when it is empty. */
export function nalType(nal: Uint8Array): number {
  return (nal[0] ?? 0) & 31;
}

/** True for the NAL units that carry the picture itself (types 1 to 5). */
export function isVcl(type: number): boolean {
  return type >= NAL.slice && type <= NAL.idr;
}

/** start_code_prefix_one_3bytes; the zero_byte of a 4-byte start code falls to the trailing zeros before it. */
export const START_CODE = Buffer.from([0, 0, 1]);

/**
 * Splits a byte stream (ITU-T H.264 annex B) at its 3- and 4-byte start codes into views of the NAL units, without
 * start codes and trailing zeros. Bytes before the first start code are no NAL unit and are left out.
 */
export function splitNals(data: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  // Buffer's own search is native and some ten times as fast as a loop over the bytes.
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  let code = bytes.indexOf(START_CODE, 0);
  while (code >= 0) {
    const start = code + 3;
    code = bytes.indexOf(START_CODE, start);
    const end = withoutTrailingZeros(bytes, start, code < 0 ? bytes.length : code);
    if (end > start) nals.push(data.subarray(start, end));
  }
  return nals;
}

/** The end of the NAL unit that starts at `start`: its last byte is never zero (7.4.1). */
export function withoutTrailingZeros(bytes: Uint8Array, start: number, end: number): number {
  let last = end;
  while (last > start && bytes[last - 1] === 0) last--;
  return last;
}

/**
 * Whether a NAL unit travels on: not the access unit delimiters and filler that decoders have no use for, not what
 * is damaged (forbidden_zero_bit, a slice without a body), not the unspecified types that would be taken for
 * RTP's aggregates and fragments.
 */
export function isWanted(nal: Uint8Array): boolean {
  const header = nal[0] ?? 0x80;
  const type = header & 31;
  if (header & 0x80 || type === 0 || type >= FIRST_UNSPECIFIED) return false;
  if (type === NAL.delimiter || type === NAL.filler) return false;
  return nal.length > 1 || !isVcl(type);
}

/** An access unit of NAL units in decoding order; undefined when none of them belongs to a picture. */
export function accessUnitOf(
  nals: readonly Uint8Array[],
  timestampUs: number,
  dropped: number,
): AccessUnit | undefined {
  let keyframe = false;
  let picture = false;
  let byteLength = 0;
  for (const nal of nals) {
    const type = nalType(nal);
    if (isVcl(type)) picture = true;
    if (type === NAL.idr) keyframe = true;
    byteLength += nal.length;
  }
  return picture ? { nals, keyframe, timestampUs, byteLength, dropped } : undefined;
}

/**
 * The access unit in a buffer that holds one picture (annex B). Undefined when it holds none: from a device that may
 * deliver its parameter sets in a buffer of their own, read with an AccessUnitReader, or they are lost.
 * @param timestampUs capture time, CLOCK_MONOTONIC, µs
 * @param dropped pictures lost just before this one
 */
export function accessUnitFrom(data: Uint8Array, timestampUs: number, dropped: number): AccessUnit | undefined {
  return accessUnitOf(splitNals(data).filter(isWanted), timestampUs, dropped);
}

/** More than any device sends before a picture; what goes beyond is not worth keeping. */
const MAX_HELD_NALS = 32;
const MAX_HELD_BYTES = 64 * 1024;

/**
 * Reads a device's buffers, one picture each. What arrives in a buffer without a picture (some encoders send SPS and
 * PPS once, alone, at the start) is kept and put before the next picture.
 */
export class AccessUnitReader {
  private held: Uint8Array[] = [];
  private heldBytes = 0;
  private dropped = 0;

  /** As `accessUnitFrom`; `data` must stay unchanged as long as the access unit lives. */
  read(data: Uint8Array, timestampUs: number, dropped: number): AccessUnit | undefined {
    const nals = splitNals(data).filter(isWanted);
    this.dropped += dropped;
    const unit = accessUnitOf(this.held.length > 0 ? [...this.held, ...nals] : nals, timestampUs, this.dropped);
    if (unit) this.reset();
    else this.hold(nals);
    return unit;
  }

  /** Forgets what it holds: the device was stopped. */
  reset(): void {
    this.held = [];
    this.heldBytes = 0;
    this.dropped = 0;
  }

  private hold(nals: readonly Uint8Array[]): void {
    for (const nal of nals) {
      if (this.held.length >= MAX_HELD_NALS || this.heldBytes + nal.length > MAX_HELD_BYTES) return;
      this.held.push(nal);
      this.heldBytes += nal.length;
    }
  }
}
