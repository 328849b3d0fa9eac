// time limit: 420 s
// Boots the VM and runs guest/ in it. The guest's own uvu report is this file's report.
import { join } from 'node:path';
import { conclude, runGuest } from './guest-run.ts';

const guest = join(import.meta.dirname, 'guest');
conclude(
  await runGuest({
    entries: { main: join(guest, 'main.ts'), worker: join(guest, 'worker.ts') },
    command: `export PEERCAM_GUEST_SUITES='${process.env.PEERCAM_GUEST_SUITES ?? ''}'
      exec node --expose-gc /run/vm/test/guest/main.mjs`,
    timeoutMs: 360_000,
  }),
);
