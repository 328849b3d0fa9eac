import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** CPU seconds (user + system) the processes and all their descendants have used so far, dead children included (proc(5)). */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of withDescendants(pids)) {
    const fields = stat(pid);
    if (fields) ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident and proportional memory of the processes and all their descendants, MB (2^20 bytes). */
export function memory(pids: readonly number[]): { rss: number; pss: number } {
  let rss = 0;
  let pss = 0;
  for (const pid of withDescendants(pids)) {
    rss += kilobytes(`/proc/${pid}/status`, /^VmRSS:\s+(\d+)/m);
    pss += kilobytes(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+)/m);
  }
  return { rss: rss / 1024, pss: pss / 1024 };
}

function withDescendants(pids: readonly number[]): Set<number> {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = stat(Number(name));
    if (fields) parents.set(Number(name), Number(fields[1]));
  }
  const found = new Set(pids);
  for (let size = -1; size !== found.size; ) {
    size = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return found;
}

/** The fields of /proc/PID/stat from the third (state) on; the second may hold spaces. */
function stat(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  } catch {
    return undefined; // gone meanwhile
  }
}

function kilobytes(file: string, pattern: RegExp): number {
  try {
    return Number(readFileSync(file, 'utf8').match(pattern)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
