import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.ts';
import type { Peer, Workspace } from './peer.ts';
import type { Counts } from './receiver.ts';
import type { PeerResult } from './results.ts';
import { cpuSeconds, memory } from './usage.ts';

const LEAST_FRAMES_PER_SECOND = 29;
/** From the last viewer's first packet to the measurement: keyframe bursts and start-up are over. */
const SETTLE_MS = 2000;

/** One CPU run: a fresh peer, N viewers in another process, what the sender used meanwhile. Adds to `result`. */
export async function measureLoad(
  peer: Peer,
  space: Workspace,
  { round, viewers, seconds }: { round: number; viewers: number; seconds: number },
  result: PeerResult,
  progress: (text: string) => void,
): Promise<void> {
  const label = `round ${round}, ${viewers} viewer${viewers > 1 ? 's' : ''}, ${peer.name}`;
  try {
    const running = await peer.start(space);
    const receiverArgs = ['--import', 'tsx', join(import.meta.dirname, 'receiver.ts')];
    const job = JSON.stringify({ endpoint: running.endpoint, viewers });
    const receiver = new Child(process.execPath, [...receiverArgs, job], { cwd: space.root });
    try {
      await receiver.line(/"connected"/, 10_000 + 6000 * viewers);
      await delay(SETTLE_MS);
      const before = { cpu: cpuSeconds(running.pids), feeder: cpuSeconds(running.feederPids), at: performance.now() };
      const countsBefore = await counts(receiver);
      await delay(seconds * 1000);
      const elapsed = (performance.now() - before.at) / 1000;
      const perViewerMinute = 60 / elapsed / viewers;
      const cpu = (cpuSeconds(running.pids) - before.cpu) * perViewerMinute;
      const feeder = (cpuSeconds(running.feederPids) - before.feeder) * perViewerMinute;
      const countsAfter = await counts(receiver);
      const { rss, pss } = memory(running.pids);
      const frames = countsAfter.map((after, index) => after.frames - countsBefore[index]!.frames);
      const framesPerSecond = Math.min(...frames) / elapsed;
      const lost = countsAfter.reduce((sum, after, index) => sum + after.lost - countsBefore[index]!.lost, 0);
      progress(
        `${label}: ${cpu.toFixed(3)} CPU s/viewer-minute, feeder ${feeder.toFixed(3)}, ${rss.toFixed(0)} MB, ` +
          `${framesPerSecond.toFixed(1)} fps, ${lost} lost`,
      );
      if (framesPerSecond < LEAST_FRAMES_PER_SECOND) {
        result.invalid.push(`${label}: a viewer got ${framesPerSecond.toFixed(1)} frames per second`);
        return;
      }
      result.load.push({
        round,
        viewers,
        seconds: elapsed,
        cpuPerViewerMinute: cpu,
        feederCpuPerViewerMinute: feeder,
        rssMb: rss,
        pssMb: pss,
        framesPerSecond,
        lost,
      });
    } finally {
      await receiver.stop();
      await running.stop();
    }
  } catch (error) {
    result.invalid.push(`${label}: ${(error as Error).message}`);
    progress(`${label}: INVALID: ${(error as Error).message}`);
  }
}

async function counts(receiver: Child): Promise<Counts[]> {
  receiver.process.stdin?.write('\n');
  const [line] = await receiver.line(/^{"type":"counts".*/);
  return (JSON.parse(line) as { viewers: Counts[] }).viewers;
}
