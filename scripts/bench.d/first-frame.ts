import { setTimeout as delay } from 'node:timers/promises';
import type { ChromiumViewer } from './chromium.ts';
import type { Peer, RunningPeer, Workspace } from './peer.ts';
import type { PeerResult } from './results.ts';

/** A pause between two connections, prime-ish so that no peer meets the same phase of its clip every time. */
const PAUSE_MS = 137;

/** All peers up at once, one Chromium, connections in turn: peer after peer, both ways of posting the offer, `times` times. */
export async function measureFirstFrames(
  peers: readonly Peer[],
  space: Workspace,
  chromium: ChromiumViewer,
  times: number,
  resultOf: (peer: Peer) => PeerResult,
  progress: (text: string) => void,
): Promise<void> {
  const running = new Map<Peer, RunningPeer>();
  try {
    for (const peer of peers) {
      try {
        running.set(peer, await peer.start(space));
      } catch (error) {
        resultOf(peer).invalid.push(`first frame: ${(error as Error).message}`);
      }
    }
    for (let turn = 0; turn <= times; turn++) {
      for (const [peer, { endpoint }] of running) {
        const result = resultOf(peer);
        for (const waitForCandidate of endpoint.kind === 'whep' ? [false, true] : [false]) {
          try {
            const ms = await chromium.firstFrame(endpoint, waitForCandidate);
            if (turn === 0) continue; // decoder and code paths warm up
            (waitForCandidate ? result.firstFrameWithCandidateMs : result.firstFrameMs).push(ms);
          } catch (error) {
            result.invalid.push(`first frame: ${(error as Error).message.split('\n')[0]}`);
          }
          await delay(PAUSE_MS);
        }
      }
      progress(`first frame: turn ${turn} of ${times}`);
    }
  } finally {
    for (const peer of running.values()) await peer.stop();
  }
}
