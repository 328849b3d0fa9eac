import { join } from 'node:path';
import { Capture, type SentFrame } from './capture.ts';
import type { ChromiumViewer } from './chromium.ts';
import type { Peer, Workspace } from './peer.ts';
import { median, type PeerResult } from './results.ts';

/** After the first frame: the jitter buffer has settled. */
const SETTLE_SECONDS = 3;

/**
 * One viewer in Chromium: for every presented frame, the time since its first packet left the sender, matched by RTP timestamp.
 * Adds the p50 to `result`.
 */
export async function measureLatency(
  peer: Peer,
  space: Workspace,
  chromium: ChromiumViewer,
  seconds: number,
  result: PeerResult,
  progress: (text: string) => void,
): Promise<void> {
  if (process.getuid?.() !== 0) {
    result.invalid.push('send-to-presented: needs root, to read the send times off the loopback interface');
    return;
  }
  try {
    const running = await peer.start(space);
    try {
      const capture = await Capture.start(join(space.scratch, 'rtp.pcap'), running.feederPort);
      const presented = await chromium.presented(running.endpoint, SETTLE_SECONDS, seconds, true);
      const delays = sendToPresented(await capture.stop(), presented);
      const p50 = median(delays);
      progress(
        `send to presented, ${peer.name}: p50 ${p50?.toFixed(1)} ms of ${delays.length} frames, ` +
          `p95 ${[...delays].sort((a, b) => a - b)[Math.floor(delays.length * 0.95)]?.toFixed(1)} ms`,
      );
      if (p50 === undefined || delays.length < seconds * 15) {
        result.invalid.push(`send-to-presented: only ${delays.length} frames in ${seconds} s`);
        return;
      }
      result.latencyMs.push(p50);
    } finally {
      await running.stop();
    }
  } catch (error) {
    result.invalid.push(`send-to-presented: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** Milliseconds per presented frame; the viewer's stream is the one whose timestamps were presented most. */
function sendToPresented(sent: readonly SentFrame[], presented: readonly [number, number][]): number[] {
  const streams = new Map<number, Map<number, number>>();
  for (const { ssrc, rtpTimestamp, at } of sent) {
    if (!streams.has(ssrc)) streams.set(ssrc, new Map());
    streams.get(ssrc)?.set(rtpTimestamp, at);
  }
  let best: number[] = [];
  for (const times of streams.values()) {
    const delays = presented.flatMap(([timestamp, at]) => {
      const sentAt = times.get(timestamp);
      return sentAt === undefined ? [] : [at - sentAt];
    });
    if (delays.length > best.length) best = delays;
  }
  return best;
}
