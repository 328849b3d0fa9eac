import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { AppError, errorText } from '#lib/error.ts';

/**
 * Keeps a second station from writing to the same folders on this machine. A lock is a name in Linux's abstract socket
 * space, not a file: it ends with the process, however that ends.
 * Throws an AppError (`factory.busy`) while another process holds one. Resolves with what releases them.
 */
export async function lockFolders(folders: readonly string[]): Promise<() => Promise<void>> {
  const paths = new Set(await Promise.all(folders.map(realFolder)));
  const releases: (() => Promise<void>)[] = [];
  const releaseAll = async () => {
    for (const release of releases) await release();
  };
  try {
    for (const path of paths) releases.push(await lock(path));
  } catch (error) {
    await releaseAll();
    throw error;
  }
  return releaseAll;
}

async function realFolder(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch (error) {
    throw new AppError(
      'factory.no-folder',
      `${folder} cannot be used (${errorText(error)}): give a folder that exists`,
      {
        cause: error,
      },
    );
  }
}

async function lock(path: string): Promise<() => Promise<void>> {
  const server = createServer((socket) => socket.destroy());
  server.listen(`\0peercam-factory-${createHash('sha256').update(path).digest('hex')}`);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new AppError(
      'factory.busy',
      `another peercam-factory is at work in ${path}: wait until it has finished, or let one \`peercam-factory batch\` ` +
        'handle all boards (--parallel)',
      { cause: error },
    );
  }
  // The lock alone is no reason to go on.
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}
