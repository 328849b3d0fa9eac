import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.ts';
import type { Peer, RunningPeer, Workspace } from './peer.ts';
import type { Counts } from './receiver.ts';
import type { LoadSample, PeerResult } from './results.ts';
import { cpuSeconds, memory } from './usage.ts';

const LEAST_FRAMES_PER_SECOND = 29;
/** A camera sends for months: compilers and buffers of a fresh process are given time to settle, all peers' alike. */
const WARM_UP_MS = 12_000;
/** From the newest viewer's first packet to the measurement. */
const SETTLE_MS = 3_000;

/** One round: a fresh peer, viewers in another process, more and more of them, what the sender used meanwhile. Adds to `result`. */
export async function measureLoad(
  peer: Peer,
  space: Workspace,
  { round, viewerCounts, seconds }: { round: number; viewerCounts: readonly number[]; seconds: number },
  result: PeerResult,
  progress: (text: string) => void,
): Promise<void> {
  let label = `round ${round}, ${peer.name}`;
  try {
    const running = await peer.start(space);
    const args = ['--import', 'tsx', join(import.meta.dirname, 'receiver.ts'), JSON.stringify(running.endpoint)];
    const receiver = new Child(process.execPath, args, { cwd: space.root });
    try {
      for (const [index, viewers] of viewerCounts.entries()) {
        label = `round ${round}, ${viewers} viewer${viewers > 1 ? 's' : ''}, ${peer.name}`;
        receiver.process.stdin?.write(`viewers ${viewers}\n`);
        await receiver.line(/"connected"/, 10_000 + 6000 * viewers);
        await delay(index === 0 ? WARM_UP_MS : SETTLE_MS);
        const sample = { round, viewers, ...(await measure(running, receiver, viewers, seconds)) };
        progress(
          `${label}: ${sample.cpuPerViewerMinute.toFixed(3)} CPU s/viewer-minute, feeder ` +
            `${sample.feederCpuPerViewerMinute.toFixed(3)}, ${sample.rssMb.toFixed(0)} MB, ` +
            `${sample.framesPerSecond.toFixed(1)} fps, ${sample.lost} lost`,
        );
        if (sample.framesPerSecond >= LEAST_FRAMES_PER_SECOND) result.load.push(sample);
        else result.invalid.push(`${label}: a viewer got ${sample.framesPerSecond.toFixed(1)} frames per second`);
      }
    } finally {
      await receiver.stop();
      await running.stop();
    }
  } catch (error) {
    result.invalid.push(`${label}: ${(error as Error).message}`);
    progress(`${label}: INVALID: ${(error as Error).message}`);
  }
}

async function measure(
  { pids, feederPids }: RunningPeer,
  receiver: Child,
  viewers: number,
  seconds: number,
): Promise<Omit<LoadSample, 'round' | 'viewers'>> {
  const before = {
    counts: await counts(receiver),
    at: performance.now(),
    cpu: cpuSeconds(pids),
    feeder: cpuSeconds(feederPids),
  };
  await delay(seconds * 1000);
  const elapsed = (performance.now() - before.at) / 1000;
  const perViewerMinute = 60 / elapsed / viewers;
  const cpu = cpuSeconds(pids) - before.cpu;
  const feeder = cpuSeconds(feederPids) - before.feeder;
  const after = await counts(receiver);
  const { rss, pss } = memory(pids);
  const got = (field: keyof Counts) => after.map((count, index) => count[field] - before.counts[index]![field]);
  return {
    seconds: elapsed,
    cpuPerViewerMinute: cpu * perViewerMinute,
    feederCpuPerViewerMinute: feeder * perViewerMinute,
    rssMb: rss,
    pssMb: pss,
    framesPerSecond: Math.min(...got('frames')) / elapsed,
    lost: got('lost').reduce((sum, lost) => sum + lost),
  };
}

async function counts(receiver: Child): Promise<Counts[]> {
  receiver.process.stdin?.write('counts\n');
  const [line] = await receiver.line(/^{"type":"counts".*/);
  return (JSON.parse(line) as { viewers: Counts[] }).viewers;
}
