import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Replaces a file as a whole: after a power cut at any moment it holds the old content or the new, never a mix. When
 * it resolves, the new content is on the disk. Rejects with the system's error; the old file then still stands.
 * @param options.mode of the new file, for example 0o400
 */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array,
  options: { readonly mode: number },
): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const file = await open(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, options.mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** The text of a file; undefined where there is none. Rejects with the system's error where it cannot be read. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Names made, changed or removed in a directory are on the disk when this resolves. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Whether a name is that of a file which a power cut kept from taking its place; it can be deleted. */
export function isLeftover(name: string): boolean {
  return /\.[0-9a-f]{12}\.new$/.test(name);
}
