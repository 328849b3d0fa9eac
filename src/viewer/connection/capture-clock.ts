const TICKS_PER_MS = 90;
const KEPT_READINGS = 8;

interface Reading {
  readonly rtp: number;
  readonly atMs: number;
  readonly roundTripMs: number;
}

/**
 * The camera's media clock as seen from here. Each reading of it (`clock.read`) is wrong by at most half its round
 * trip, so of the last few the one with the shortest round trip is believed.
 */
export class CaptureClock {
  private readings: Reading[] = [];

  /** @param rtp the camera's answer; the times are those of asking and of hearing it, ms */
  add(rtp: number, askedMs: number, heardMs: number): void {
    this.readings.push({ rtp, atMs: (askedMs + heardMs) / 2, roundTripMs: heardMs - askedMs });
    if (this.readings.length > KEPT_READINGS) this.readings.shift();
  }

  /** How long before `atMs` the picture with this RTP timestamp was captured, ms; undefined before the first reading. */
  ageMs(rtp: number, atMs: number): number | undefined {
    const [first, ...others] = this.readings;
    if (!first) return undefined;
    const best = others.reduce((least, one) => (one.roundTripMs < least.roundTripMs ? one : least), first);
    // Both are 32-bit counters that wrap every 13 hours: the signed difference is the true one.
    const ticks = (best.rtp - rtp) | 0;
    return ticks / TICKS_PER_MS + (atMs - best.atMs);
  }
}
