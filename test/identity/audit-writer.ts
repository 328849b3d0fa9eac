/** Takes down one event after the other, for ever, and says the number of the last one that is on the disk. */
import { AuditLog } from '#identity/audit-log.ts';
import { systemClock } from '#lib/clock.ts';
import { silentLogger } from '#lib/logger.ts';

const [stateDir = ''] = process.argv.slice(2);
// Gathers for 2 ms instead of 100: many writes in a short life.
const clock = { now: systemClock.now, after: (ms: number, run: () => void) => systemClock.after(ms / 50, run) };
const log = await AuditLog.open({ stateDir, now: Date.now, log: silentLogger, clock });
for (;;) {
  log.append('renamed', { by: 'test', name: 'x'.repeat(150) });
  const [newest] = await log.read({ limit: 1 });
  process.send!({ n: newest!.n });
}
