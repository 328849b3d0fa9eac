/**
 * One coded picture (H.264 access unit, ITU-T H.264 clause 7.4.1.2.3) as the whole house passes it around.
 * The NAL units are views into the source's memory without start codes; they must not be written to.
 */
export interface AccessUnit {
  /** NAL units in decoding order, without start codes; access unit delimiters and filler are left out. */
  readonly nals: readonly Uint8Array[];
  /** True when the picture is an IDR: a decoder can start here. */
  readonly keyframe: boolean;
  /** Capture time on CLOCK_MONOTONIC, µs. Never goes back within one start of a source. */
  readonly timestampUs: number;
  /** Sum of the NAL units' lengths, bytes. */
  readonly byteLength: number;
  /** Frames the source lost just before this one (driver sequence gap), usually 0. */
  readonly dropped: number;
}
