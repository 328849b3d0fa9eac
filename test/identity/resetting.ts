/** A factory reset that ends before its n-th change of the disk, as if the power failed there. */
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const [stateDir = '', stepText = ''] = process.argv.slice(2);
let steps = Number(stepText);
for (const name of ['open', 'rename', 'unlink', 'rmdir', 'rm'] as const) {
  const original = promises[name] as (...args: unknown[]) => Promise<unknown>;
  (promises as unknown as Record<string, unknown>)[name] = (...args: unknown[]) => {
    if (--steps === 0) process.exit(1);
    return original(...args);
  };
}
syncBuiltinESMExports();
const { decideReset, finishReset } = await import('#identity/factory-reset.ts');
await decideReset(stateDir, 'command');
await finishReset(stateDir);
process.exit(0);
