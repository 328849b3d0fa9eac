import { execFileSync } from 'node:child_process';
import { build } from 'esbuild';

const root = new URL('../..', import.meta.url).pathname;

/** Compiles the addon for a bundle in the guest. */
export function buildAddon(out: string): void {
  execFileSync(process.execPath, [`${root}src/v4l2camera/build.js`, '--out', out], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** One file per program: under emulation, loading a hundred small ones takes longer than the tests. */
export async function bundle(options: {
  entries: Record<string, string>;
  into: string;
  external?: string[];
}): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: options.entries,
    outdir: options.into,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: 'inline',
    external: options.external ?? [],
    logLevel: 'warning',
  });
}
