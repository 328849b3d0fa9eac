import { AppError, toAppError } from '#lib/error.ts';
import type { AccessUnit } from './access-unit.ts';
import { NAL, nalType } from './annex-b.ts';
import { BitReader, rawPayload } from './bit-reader.ts';
import { readSliceStart } from './slice-header.ts';

/** What a sequence parameter set says of the picture (ITU-T H.264 clause 7.3.2.1.1, VUI: annex E). */
export interface Sps {
  readonly id: number;
  readonly profileIdc: number;
  readonly levelIdc: number;
  /** As SDP's `profile-level-id` (RFC 6184, 8.1): profile, constraint flags, level; six lower-case hex digits. */
  readonly profileLevelId: string;
  /** Pixels shown: cropping is applied. */
  readonly width: number;
  readonly height: number;
  /** Frames per second from the VUI's timing; 0 when it says nothing. */
  readonly frameRate: number;
}

/** Which sets a picture parameter set connects. */
export interface Pps {
  readonly id: number;
  readonly spsId: number;
}

/** Longest parameter set that is read or kept, bytes; a real SPS has 10 to 60, with all scaling lists some 600. */
export const MAX_PARAMETER_SET = 2048;

/** No picture may be wider or higher than the root of 8 times MaxFS (A.3.1). */
const MAX_SIDE_IN_MBS = 1055;

/** Profiles whose SPS carries chroma format and scaling lists (7.3.2.1.1). */
const HIGH_PROFILES: ReadonlySet<number> = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);

/** Reads an SPS; a damaged one is an AppError (`media.bad-h264`) that names the field. */
export function parseSps(nal: Uint8Array): Sps {
  const bits = reader(nal, NAL.sps, 'SPS');
  const profileIdc = bits.bits(8, 'profile_idc');
  const constraints = bits.bits(8, 'constraint_set_flags');
  const levelIdc = bits.bits(8, 'level_idc');
  const id = bits.unsigned('seq_parameter_set_id', 31);

  let chromaFormat = 1;
  let separatePlanes = false;
  if (HIGH_PROFILES.has(profileIdc)) {
    chromaFormat = bits.unsigned('chroma_format_idc', 3);
    if (chromaFormat === 3) separatePlanes = bits.flag('separate_colour_plane_flag');
    bits.unsigned('bit_depth_luma_minus8', 6);
    bits.unsigned('bit_depth_chroma_minus8', 6);
    bits.flag('qpprime_y_zero_transform_bypass_flag');
    if (bits.flag('seq_scaling_matrix_present_flag')) skipScalingLists(bits, chromaFormat === 3 ? 12 : 8);
  }

  bits.unsigned('log2_max_frame_num_minus4', 12);
  skipPictureOrderCount(bits);
  bits.unsigned('max_num_ref_frames', 16);
  bits.flag('gaps_in_frame_num_value_allowed_flag');
  const widthInMbs = bits.unsigned('pic_width_in_mbs_minus1', MAX_SIDE_IN_MBS - 1) + 1;
  const heightInMapUnits = bits.unsigned('pic_height_in_map_units_minus1', MAX_SIDE_IN_MBS - 1) + 1;
  const framesOnly = bits.flag('frame_mbs_only_flag');
  if (!framesOnly) bits.flag('mb_adaptive_frame_field_flag');
  bits.flag('direct_8x8_inference_flag');

  const chromaArrayType = separatePlanes ? 0 : chromaFormat;
  const unitX = chromaArrayType === 1 || chromaArrayType === 2 ? 2 : 1;
  const unitY = (chromaArrayType === 1 ? 2 : 1) * (framesOnly ? 1 : 2);
  let width = widthInMbs * 16;
  let height = heightInMapUnits * 16 * (framesOnly ? 1 : 2);
  if (bits.flag('frame_cropping_flag')) {
    const most = MAX_SIDE_IN_MBS * 16;
    const x = bits.unsigned('frame_crop_left_offset', most) + bits.unsigned('frame_crop_right_offset', most);
    const y = bits.unsigned('frame_crop_top_offset', most) + bits.unsigned('frame_crop_bottom_offset', most);
    width -= x * unitX;
    height -= y * unitY;
    if (width <= 0 || height <= 0) throw bits.bad('frame_cropping', 'leaves nothing of the picture');
  }

  const frameRate = bits.flag('vui_parameters_present_flag') ? frameRateOf(bits) : 0;
  return {
    id,
    profileIdc,
    levelIdc,
    profileLevelId: Buffer.from([profileIdc, constraints, levelIdc]).toString('hex'),
    width,
    height,
    frameRate,
  };
}

/** Reads the ids of a PPS; a damaged one is an AppError (`media.bad-h264`) that names the field. */
export function parsePps(nal: Uint8Array): Pps {
  const bits = reader(nal, NAL.pps, 'PPS');
  return {
    id: bits.unsigned('pic_parameter_set_id', 255),
    spsId: bits.unsigned('seq_parameter_set_id', 31),
  };
}

/**
 * The latest SPS and PPS of a stream. Many encoders send them once, at the start: a viewer that joins later needs
 * them before its first IDR.
 */
export class ParameterSetCache {
  private readonly onBadSet: (error: AppError) => void;
  private readonly spsNals = new Map<number, Uint8Array>();
  private readonly ppsNals = new Map<number, { nal: Uint8Array; spsId: number }>();
  private latest: Sps | undefined;

  /** @param options.onBadSet hears of every damaged parameter set; it is not kept */
  constructor(options: { onBadSet?: (error: AppError) => void } = {}) {
    this.onBadSet = options.onBadSet ?? (() => {});
  }

  /** The latest SPS seen; undefined before the first. */
  get sps(): Sps | undefined {
    return this.latest;
  }

  /**
   * Takes the parameter sets out of a unit and gives it back; an IDR that lacks the sets it refers to is given back
   * with them in front. Undefined for an IDR whose sets nobody has seen: no decoder can start there.
   */
  complete(unit: AccessUnit): AccessUnit | undefined {
    for (const nal of unit.nals) this.keep(nal);
    return unit.keyframe ? this.completeIdr(unit) : unit;
  }

  /** Forgets everything: another stream begins. */
  clear(): void {
    this.spsNals.clear();
    this.ppsNals.clear();
    this.latest = undefined;
  }

  private keep(nal: Uint8Array): void {
    const type = nalType(nal);
    if (type !== NAL.sps && type !== NAL.pps) return;
    try {
      if (type === NAL.sps) this.keepSps(nal);
      else this.keepPps(nal);
    } catch (error) {
      this.onBadSet(toAppError(error, 'media.bad-h264'));
    }
  }

  private keepSps(nal: Uint8Array): void {
    const known = this.latest && this.spsNals.get(this.latest.id);
    // Most streams repeat the same SPS before every IDR: it is parsed once.
    if (known && Buffer.compare(known, nal) === 0) return;
    const sps = parseSps(nal);
    this.spsNals.set(sps.id, nal.slice());
    this.latest = sps;
  }

  private keepPps(nal: Uint8Array): void {
    const { id, spsId } = parsePps(nal);
    const known = this.ppsNals.get(id);
    if (known && Buffer.compare(known.nal, nal) === 0) return;
    this.ppsNals.set(id, { nal: nal.slice(), spsId });
  }

  private completeIdr(unit: AccessUnit): AccessUnit | undefined {
    const slice = readSliceStart(unit.nals.find((nal) => nalType(nal) === NAL.idr)!);
    const pps = slice && this.ppsNals.get(slice.ppsId);
    const sps = pps && this.spsNals.get(pps.spsId);
    if (!pps || !sps) return undefined;
    const missing = [...(holds(unit, NAL.sps, sps) ? [] : [sps]), ...(holds(unit, NAL.pps, pps.nal) ? [] : [pps.nal])];
    return missing.length > 0 ? withSets(unit, missing) : unit;
  }
}

function holds(unit: AccessUnit, type: number, set: Uint8Array): boolean {
  return unit.nals.some((nal) => nalType(nal) === type && Buffer.compare(nal, set) === 0);
}

/** The parameter sets go first, SPS before PPS, whichever of them the unit brought itself. */
function withSets(unit: AccessUnit, missing: readonly Uint8Array[]): AccessUnit {
  const sets = [...missing, ...unit.nals.filter(isParameterSet)].sort((a, b) => nalType(a) - nalType(b));
  const nals = [...sets, ...unit.nals.filter((nal) => !isParameterSet(nal))];
  return { ...unit, nals, byteLength: nals.reduce((sum, nal) => sum + nal.length, 0) };
}

/** True for SPS and PPS. */
export function isParameterSet(nal: Uint8Array): boolean {
  const type = nalType(nal);
  return type === NAL.sps || type === NAL.pps;
}

function reader(nal: Uint8Array, type: number, what: string): BitReader {
  if (nalType(nal) !== type) throw new AppError('media.bad-h264', `${what}: the NAL unit has type ${nalType(nal)}`);
  if (nal.length > MAX_PARAMETER_SET) {
    throw new AppError(
      'media.bad-h264',
      `${what}: ${nal.length} bytes long, at most ${MAX_PARAMETER_SET} are read; the stream is damaged`,
    );
  }
  return new BitReader(rawPayload(nal, MAX_PARAMETER_SET), what);
}

/** scaling_list() of 7.3.2.1.1.1, for its length only. */
function skipScalingLists(bits: BitReader, lists: number): void {
  for (let list = 0; list < lists; list++) {
    if (!bits.flag('seq_scaling_list_present_flag')) continue;
    let next = 8;
    for (let i = 0; i < (list < 6 ? 16 : 64) && next !== 0; i++) {
      next = (next + bits.signed('delta_scale') + 256) & 255;
    }
  }
}

function skipPictureOrderCount(bits: BitReader): void {
  const type = bits.unsigned('pic_order_cnt_type', 2);
  if (type === 0) {
    bits.unsigned('log2_max_pic_order_cnt_lsb_minus4', 12);
  } else if (type === 1) {
    bits.flag('delta_pic_order_always_zero_flag');
    bits.signed('offset_for_non_ref_pic');
    bits.signed('offset_for_top_to_bottom_field');
    const count = bits.unsigned('num_ref_frames_in_pic_order_cnt_cycle', 255);
    for (let i = 0; i < count; i++) bits.signed('offset_for_ref_frame');
  }
}

/** A VUI that is cut short costs the frame rate, not the picture: decoders live without it, and some devices send it. */
function frameRateOf(bits: BitReader): number {
  try {
    return readTiming(bits);
  } catch {
    return 0;
  }
}

/** The timing of the VUI (E.1.1): two ticks are one frame; 0 when it is missing or makes no sense. */
function readTiming(bits: BitReader): number {
  if (bits.flag('aspect_ratio_info_present_flag')) {
    const EXTENDED_SAR = 255;
    if (bits.bits(8, 'aspect_ratio_idc') === EXTENDED_SAR) bits.bits(32, 'sar');
  }
  if (bits.flag('overscan_info_present_flag')) bits.flag('overscan_appropriate_flag');
  if (bits.flag('video_signal_type_present_flag')) {
    bits.bits(4, 'video_format');
    if (bits.flag('colour_description_present_flag')) bits.bits(24, 'colour_description');
  }
  if (bits.flag('chroma_loc_info_present_flag')) {
    bits.unsigned('chroma_sample_loc_type_top_field', 5);
    bits.unsigned('chroma_sample_loc_type_bottom_field', 5);
  }
  if (!bits.flag('timing_info_present_flag')) return 0;
  const unitsInTick = bits.bits(32, 'num_units_in_tick');
  const timeScale = bits.bits(32, 'time_scale');
  const rate = timeScale / (2 * unitsInTick);
  return rate >= 0.1 && rate <= 1000 ? rate : 0;
}
