import { mkdir, readdir, readFile, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isLeftover, syncDirectory, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ACCESS_FILE } from './access-file.ts';
import { CHAIN_START, chainLine } from './audit-chain.ts';
import { AUDIT_FILE } from './audit-log.ts';
import { OPERATIONAL_KEY_FILE } from './operational-key.ts';
import { buildTime, TIME_FLOOR_FILE } from './trusted-time.ts';

/** Its being there is the decision to reset; what follows is done until it is done, through power cuts. */
export const RESET_MARKER = 'reset-pending';

export type ResetBy = 'button' | 'command';

/** Not the owner's: what time it is at least; what the file system itself put there. */
const KEPT = new Set([RESET_MARKER, TIME_FLOOR_FILE, 'lost+found']);
/** One of these is in every state directory that was ever used. */
const OURS = [ACCESS_FILE, AUDIT_FILE, OPERATIONAL_KEY_FILE];

/**
 * Makes the state directory ready for use: makes it where there is none, finishes a reset that was decided, removes
 * what a power cut left half written. Must have run before anything else there is opened. Rejects with an AppError.
 */
export async function prepareState(stateDir: string): Promise<{ readonly wasReset: boolean }> {
  try {
    await makeDirectory(stateDir);
    const names = await readdir(stateDir);
    const wasReset = names.includes(RESET_MARKER);
    if (wasReset) await finishReset(stateDir);
    else for (const name of names.filter(isLeftover)) await unlink(join(stateDir, name));
    return { wasReset };
  } catch (error) {
    if (error instanceof AppError) throw error;
    const text = `the state directory ${stateDir} cannot be used (${errorText(error)}): give a writable one with --state`;
    throw new AppError('state.unusable', text, { cause: error });
  }
}

/**
 * Decides the reset: when this resolves, the camera is going to be reset, whatever happens. Nothing is erased yet.
 * Rejects with an AppError where the directory is none of a camera, or cannot be written.
 */
export async function decideReset(stateDir: string, by: ResetBy): Promise<void> {
  await checkState(stateDir);
  try {
    await writeAtomically(join(stateDir, RESET_MARKER), JSON.stringify({ by }), { mode: 0o600 });
  } catch (error) {
    throw failed(stateDir, error);
  }
}

/**
 * Erases all that belongs to the owner: who may use the camera, its operational key, settings, networks, recordings,
 * its log but for one entry that says so. The factory's data are elsewhere and stay. After a power cut it is run again
 * by `prepareState`. Nothing may have the directory open. Rejects with an AppError; the reset then stays decided.
 */
export async function finishReset(stateDir: string): Promise<void> {
  try {
    const by = await decidedBy(stateDir);
    for (const entry of await readdir(stateDir, { withFileTypes: true })) {
      if (!KEPT.has(entry.name)) await erase(join(stateDir, entry.name), entry.isDirectory());
    }
    await syncDirectory(stateDir);
    const start = { n: 0, hash: CHAIN_START };
    const at = Math.max(Date.now(), buildTime);
    const { line } = chainLine(start, { at, event: 'reset', fields: { by } });
    await writeAtomically(join(stateDir, AUDIT_FILE), `${line}\n`, { mode: 0o600 });
    await unlink(join(stateDir, RESET_MARKER));
    await syncDirectory(stateDir);
  } catch (error) {
    throw failed(stateDir, error);
  }
}

/** A wrong --state must not erase somebody's home. */
async function checkState(stateDir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(stateDir);
  } catch (error) {
    throw failed(stateDir, error);
  }
  if (names.length === 0 || names.some((name) => OURS.includes(name) || name === RESET_MARKER)) return;
  throw new AppError(
    'reset.not-a-state-directory',
    `${stateDir} is not the state directory of a camera: nothing was erased. Name the right one with --state`,
  );
}

async function decidedBy(stateDir: string): Promise<ResetBy> {
  const text = await readFile(join(stateDir, RESET_MARKER), 'utf8');
  return text.includes('button') ? 'button' : 'command';
}

/** Links are removed, not followed; of a mounted file system the content is removed. */
async function erase(path: string, directory: boolean): Promise<void> {
  if (!directory) {
    await unlink(path);
    return;
  }
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.name !== 'lost+found') await erase(join(path, entry.name), entry.isDirectory());
  }
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EBUSY' && error.code !== 'ENOTEMPTY') throw error;
  });
}

/** Not recursive: a state directory in the wrong place is a mistake, and Node loops for ever where /proc refuses one. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function failed(stateDir: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError(
    'reset.failed',
    `the camera could not be reset: ${stateDir} cannot be erased (${errorText(error)}). Try again as root; a reset that ` +
      'has begun goes on at the next start',
    { cause: error },
  );
}
