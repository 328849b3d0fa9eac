import { isVcl, NAL, nalType } from './annex-b.ts';

/** Where a NAL unit belongs: to a new access unit, to the one before it, or to a picture whose start is missing. */
export type Place = 'begins' | 'continues' | 'torn';

/**
 * Finds the first NAL unit of each access unit (ITU-T H.264 clause 7.4.1.2.3). Of the slices, the one that holds
 * macroblock 0 begins a picture: true wherever slices come in order, which the profiles of cameras and browsers
 * demand (arbitrary slice order exists in the plain Baseline and Extended profiles only).
 */
export class PictureBoundary {
  private picture = false;

  /** Whether the access unit has a slice by now. */
  get hasPicture(): boolean {
    return this.picture;
  }

  /** @param nal the NAL unit, or its first two bytes */
  place(nal: Uint8Array): Place {
    const type = nalType(nal);
    if (isVcl(type)) return this.placeSlice(nal, type);
    if (!this.picture || !startsAccessUnit(type)) return 'continues';
    this.picture = false;
    return 'begins';
  }

  /** The access unit is over, or lost: a slice that would continue it is torn. */
  reset(): void {
    this.picture = false;
  }

  private placeSlice(nal: Uint8Array, type: number): Place {
    const partitioned = type > NAL.partitionA && type <= NAL.partitionC;
    // first_mb_in_slice is the slice header's first element, and 0 is the one-bit code "1".
    const first = !partitioned && ((nal[1] ?? 0) & 0x80) !== 0;
    if (!first) return this.picture ? 'continues' : 'torn';
    const place = this.picture ? 'begins' : 'continues';
    this.picture = true;
    return place;
  }
}

/** SEI, parameter sets, delimiter and 14 to 18: they never follow a slice of their own access unit. */
function startsAccessUnit(type: number): boolean {
  return (type >= NAL.sei && type <= NAL.delimiter) || (type >= 14 && type <= 18);
}
