import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Workspace } from './peer.ts';
import { peercam } from './peers/peercam.ts';
import { cpuSeconds } from './usage.ts';

/** With no reader the daemon stops its source within 10 s; idle begins after that. */
const UNTIL_IDLE_MS = 15_000;

/** Size of the daemon's bundle without native addons, bytes; undefined when it is not built. */
export function bundleBytes(root: string): number | undefined {
  const bundle = join(root, 'dist/peercamd.js');
  return existsSync(bundle) ? statSync(bundle).size : undefined;
}

/** CPU of the daemon with no viewer, % of one core over `seconds`. */
export async function idleCpu(space: Workspace, seconds: number): Promise<number> {
  const running = await peercam.start(space);
  try {
    await delay(UNTIL_IDLE_MS);
    const before = cpuSeconds(running.pids);
    const from = performance.now();
    await delay(seconds * 1000);
    return ((cpuSeconds(running.pids) - before) / (performance.now() - from)) * 1000 * 100;
  } finally {
    await running.stop();
  }
}
