import { BitReader, rawPayload } from './bit-reader.ts';

/** The elements at the start of a slice header (ITU-T H.264 clause 7.3.3) that can be read without parameter sets. */
export interface SliceStart {
  /** Address of the slice's first macroblock; 0 in the slice that begins a picture. */
  readonly firstMb: number;
  readonly ppsId: number;
}

/** first_mb_in_slice, slice_type and pic_parameter_set_id take at most 35 + 7 + 17 bits. */
export const SLICE_START_BYTES = 8;

/** The largest picture of any level, macroblocks (MaxFS of level 6.2, table A-1). */
const MAX_PICTURE_IN_MBS = 139_264;

/** Reads the start of a slice NAL unit (types 1, 2 and 5); undefined when it is too damaged to tell. */
export function readSliceStart(nal: Uint8Array): SliceStart | undefined {
  try {
    const bits = new BitReader(rawPayload(nal, SLICE_START_BYTES), 'slice header');
    const firstMb = bits.unsigned('first_mb_in_slice', MAX_PICTURE_IN_MBS - 1);
    bits.unsigned('slice_type', 9);
    return { firstMb, ppsId: bits.unsigned('pic_parameter_set_id', 255) };
  } catch {
    return undefined;
  }
}
