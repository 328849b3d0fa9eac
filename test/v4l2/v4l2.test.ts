// time limit: 420 s
// Boots the VM and runs guest/ in it. The guest's own uvu report is this file's report.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildModule, kernelComplaints, prepareVm, runInVm } from '../support/vm.ts';
import { clipFile, clipFrames } from './clip.ts';
import { buildAddon, bundle } from './guest-files.ts';

const here = new URL('.', import.meta.url).pathname;
const vm = prepareVm();
const driver = buildModule(vm, { sources: join(here, 'driver'), name: 'peercam_replay' });
const shared = mkdtempSync(join(tmpdir(), 'peercam-v4l2-'));

copyFileSync(driver, join(shared, 'peercam_replay.ko'));
const stream = join(here, '../../src/device/sim/pattern.h264');
copyFileSync(stream, join(shared, 'pattern.h264'));
const frames = clipFrames(readFileSync(stream));
writeFileSync(join(shared, 'clip'), clipFile({ frames, width: 1280, height: 720, fps: 30 }));
buildAddon(join(shared, 'v4l2camera.node'));
await bundle({ entries: { guest: join(here, 'guest/main.ts'), worker: join(here, 'guest/worker.ts') }, into: shared });

const suites = process.env.PEERCAM_GUEST_SUITES ?? '';
const status = await runInVm(vm, {
  command: `export PEERCAM_GUEST_SUITES='${suites}'\nexec node --expose-gc /run/vm/guest.mjs`,
  shared,
  timeoutMs: 360_000,
});
const complaints = kernelComplaints(shared);
if (complaints.length > 0) console.error(`the guest's kernel complained:\n${complaints.join('\n')}`);
process.exitCode = status === 0 && complaints.length === 0 ? 0 : 1;
if (process.exitCode === 0) rmSync(shared, { recursive: true });
else console.error(`kernel log: ${join(shared, 'kernel.log')}`);
