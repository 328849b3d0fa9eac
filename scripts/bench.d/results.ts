/** One CPU run: one peer, one number of viewers, one round. */
export interface LoadSample {
  readonly round: number;
  readonly viewers: number;
  readonly seconds: number;
  /** CPU seconds of the sender per minute and viewer. */
  readonly cpuPerViewerMinute: number;
  /** The same of its feeder, 0 without one. */
  readonly feederCpuPerViewerMinute: number;
  /** Sender only, MB. */
  readonly rssMb: number;
  readonly pssMb: number;
  /** The worst viewer's frames per second. */
  readonly framesPerSecond: number;
  readonly lost: number;
}

/** All that was measured of one peer. */
export interface PeerResult {
  readonly name: string;
  readonly title: string;
  readonly settings: string;
  /** Why it did not run, or undefined. */
  readonly missing: string | undefined;
  readonly load: LoadSample[];
  /** Offer posted at once, ms. */
  readonly firstFrameMs: number[];
  /** Offer posted with its first ICE candidate, ms. */
  readonly firstFrameWithCandidateMs: number[];
  /** p50 of each round, ms from the first packet on the wire to the frame presented. */
  readonly latencyMs: number[];
  /** Runs that failed or in which a viewer got too few frames; they count nowhere. */
  readonly invalid: string[];
}

export interface Results {
  readonly date: string;
  readonly machine: string;
  readonly options: { seconds: number; rounds: number; firstFrames: number; viewers: number[] };
  readonly peers: PeerResult[];
  /** dist/peercamd.js, or undefined when it is not built. */
  readonly bundleBytes: number | undefined;
  /** The daemon with no viewer, % of one core. */
  readonly idleCpuPercent: number | undefined;
}

/** The middle value (mean of the two middle ones), undefined of nothing. */
export function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
