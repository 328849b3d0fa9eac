import { readdirSync, readFileSync } from 'node:fs';

/** What a process holds right now. */
export interface Usage {
  /** Resident memory, bytes. */
  readonly rss: number;
  readonly fds: number;
  readonly threads: number;
  readonly maps: number;
}

export function usageOf(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)![1]);
  return {
    rss: field('VmRSS') * 1024,
    threads: field('Threads'),
    fds: readdirSync(`/proc/${pid}/fd`).length,
    maps: readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').length - 1,
  };
}
