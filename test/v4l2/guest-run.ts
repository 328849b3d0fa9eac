import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { buildModule, kernelComplaints, prepareVm, runInVm } from '../support/vm.ts';
import { clipFile, clipFrames } from './clip.ts';

const here = new URL('.', import.meta.url).pathname;
const root = join(here, '../..');

export interface GuestRun {
  /** TypeScript programs by the name of their bundle, `NAME.mjs` in /run/vm/test/guest. */
  readonly entries: Record<string, string>;
  /** Shell command in the guest; its output, uvu's report above all, is this process's output. */
  readonly command: string;
  readonly timeoutMs: number;
  /** Puts more into the shared folder before the guest boots. */
  readonly furnish?: (shared: string) => void;
}

/**
 * Runs test programs in the VM, beside them in /run/vm: the test driver, its clip, the addon. Resolves with the shared
 * folder and whether all went well; the guest's kernel complaining of itself counts as failure.
 */
export async function runGuest({
  entries,
  command,
  timeoutMs,
  furnish,
}: GuestRun): Promise<{ shared: string; ok: boolean }> {
  const vm = prepareVm();
  const driver = buildModule(vm, { sources: join(here, 'driver'), name: 'peercam_replay' });
  const shared = mkdtempSync(join(tmpdir(), 'peercam-v4l2-'));
  const programs = join(shared, 'test/guest');
  mkdirSync(programs, { recursive: true });
  copyFileSync(driver, join(shared, 'peercam_replay.ko'));
  writeClip(shared);
  const addon = join(programs, 'v4l2camera.node');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'] as const };
  execFileSync(process.execPath, [join(root, 'src/v4l2camera/build.js'), '--out', addon], { stdio: [...quiet.stdio] });
  await bundle(entries, programs);
  furnish?.(shared);
  const status = await runInVm(vm, { command, shared, timeoutMs });
  const complaints = kernelComplaints(shared);
  if (complaints.length > 0) console.error(`the guest's kernel complained:\n${complaints.join('\n')}`);
  return { shared, ok: status === 0 && complaints.length === 0 };
}

/** Ends the process as the run went; what it left is kept for a look when it failed. */
export function conclude({ shared, ok }: { shared: string; ok: boolean }): void {
  process.exitCode = ok ? 0 : 1;
  if (ok) rmSync(shared, { recursive: true });
  else console.error(`kernel log: ${join(shared, 'kernel.log')}`);
}

function writeClip(shared: string): void {
  const stream = readFileSync(join(root, 'src/device/sim/pattern.h264'));
  writeFileSync(join(shared, 'pattern.h264'), stream);
  writeFileSync(join(shared, 'clip'), clipFile({ frames: clipFrames(stream), width: 1280, height: 720, fps: 30 }));
}

/** One file per program: under emulation, loading a hundred small ones takes longer than the tests. */
async function bundle(entries: Record<string, string>, into: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: into,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: 'inline',
    plugins: [webRtcBeside],
    logLevel: 'warning',
  });
}

/** The WebRTC addon from beside the bundle, as in dist/. */
const webRtcBeside: Plugin = {
  name: 'webrtc-beside',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node-datachannel$/ }, () => ({ path: 'node-datachannel', namespace: 'beside' }));
    onLoad({ filter: /.*/, namespace: 'beside' }, () => ({
      contents: `import { createRequire } from 'node:module';
        export const { PeerConnection, Video } = createRequire(import.meta.url)('./node_datachannel.node');`,
    }));
  },
};
