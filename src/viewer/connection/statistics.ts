import type { Path } from './path.ts';

/** What a peer measures of itself at one moment; counters count from the start of the call. */
export interface Measurement {
  readonly framesDecoded: number;
  readonly framesDropped: number;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly bytesReceived: number;
  readonly width: number;
  readonly height: number;
  readonly path: Path | undefined;
  /** For people: `host → srflx over udp`. */
  readonly route: string | undefined;
  readonly roundTripMs: number | undefined;
  readonly codec: string | undefined;
  readonly decoder: string | undefined;
  /** Sum over all frames of the time in the jitter buffer and in the decoder, seconds. */
  readonly bufferSeconds: number;
  readonly decodeSeconds: number;
}

/** What the live bar and the details show. */
export interface Statistics {
  readonly path: Path | undefined;
  readonly route: string | undefined;
  /** Capture to display, ms, when the camera's clock could be read. */
  readonly latencyMs: number | undefined;
  readonly roundTripMs: number | undefined;
  readonly bufferMs: number | undefined;
  readonly decodeMs: number | undefined;
  readonly bitsPerSecond: number | undefined;
  readonly framesPerSecond: number | undefined;
  readonly width: number;
  readonly height: number;
  readonly codec: string | undefined;
  readonly decoder: string | undefined;
  readonly packetsLost: number;
  readonly framesDropped: number;
}

/** Rates over the time between two measurements of one call; `elapsedMs` of 0 gives no rates. */
export function statisticsOf(
  earlier: Measurement,
  later: Measurement,
  elapsedMs: number,
  latencyMs: number | undefined,
): Statistics {
  const seconds = elapsedMs / 1000;
  const frames = later.framesDecoded - earlier.framesDecoded;
  const perFrameMs = (total: number) => (frames > 0 ? (total / frames) * 1000 : undefined);
  return {
    path: later.path,
    route: later.route,
    latencyMs,
    roundTripMs: later.roundTripMs,
    bufferMs: perFrameMs(later.bufferSeconds - earlier.bufferSeconds),
    decodeMs: perFrameMs(later.decodeSeconds - earlier.decodeSeconds),
    bitsPerSecond: seconds > 0 ? ((later.bytesReceived - earlier.bytesReceived) * 8) / seconds : undefined,
    framesPerSecond: seconds > 0 ? frames / seconds : undefined,
    width: later.width,
    height: later.height,
    codec: later.codec,
    decoder: later.decoder,
    packetsLost: later.packetsLost,
    framesDropped: later.framesDropped,
  };
}
