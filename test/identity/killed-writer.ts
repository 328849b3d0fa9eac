import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

/** One JavaScript file of a program of the tree, which starts many times faster. */
export function bundled(source: URL, outfile: string): string {
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";
  const entryPoints = [fileURLToPath(source)];
  buildSync({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', banner: { js: banner } });
  return outfile;
}

/**
 * Runs a program that writes numbers and says each one (`{n}`) once it is on the disk, until it has said two, then
 * kills it after so many ms more, wherever it is. Resolves with the last number said.
 */
export async function killedWriter(program: string, args: readonly string[], afterMs: number): Promise<number> {
  const child = fork(program, args, { execArgv: [] });
  let said = Number.NaN;
  let count = 0;
  child.on('message', ({ n }: { n: number }) => {
    said = n;
    if (++count === 2) setTimeout(() => child.kill('SIGKILL'), afterMs);
  });
  await once(child, 'close');
  return said;
}
