import { readFile } from 'node:fs/promises';
import { AppError, errorText } from '#lib/error.ts';
import { formatUid, parseUid, type Uid } from '#protocol/uid.ts';
import { FactoryDirectory } from './factory-directory.ts';
import { FactoryNvmem } from './factory-nvmem.ts';
import type { FactoryData, FactoryStore } from './factory-store.ts';

const SERIAL_NUMBER = '/proc/device-tree/serial-number';

/**
 * The store that a setting names: `dir:/path` or a path alone for a folder, `nvmem:/path` for one memory device or file.
 * Where the board's serial number in the device tree is a UID, what the store holds must be of that board.
 * Throws an AppError (`factory.bad-spec`).
 * @param options.serialNumber where the serial number stands, if not where Linux puts it
 */
export function openFactoryStore(spec: string, options: { serialNumber?: string } = {}): FactoryStore {
  const [, kind = 'dir', path = ''] = /^(?:([a-z]+):)?(.*)$/s.exec(spec) ?? [];
  if (path === '' || path.includes('\0')) throw badSpec(spec);
  return new BurnedInUid(storeOf(kind, path, spec), options.serialNumber);
}

/**
 * The UID burned into a board as its serial number (U-Boot's `serial#`, fuses); undefined where there is no serial
 * number, or it is one of another kind.
 */
export async function uidFromDeviceTree(path = SERIAL_NUMBER): Promise<Uid | undefined> {
  try {
    const text = await readFile(path, 'latin1');
    return parseUid(text.replace(/[\0\s]+$/, ''));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new AppError('factory.unreadable', `the serial number ${path} cannot be read (${errorText(error)})`, {
      cause: error,
    });
  }
}

/** A store whose content must be of the board whose UID is burned in; most boards have none. */
class BurnedInUid implements FactoryStore {
  readonly description: string;
  private readonly store: FactoryStore;
  private readonly serialNumber: string | undefined;

  constructor(store: FactoryStore, serialNumber: string | undefined) {
    this.store = store;
    this.serialNumber = serialNumber;
    this.description = store.description;
  }

  async read(): Promise<Partial<FactoryData> | undefined> {
    const data = await this.store.read();
    await this.check(data?.uid);
    return data;
  }

  async write(data: Partial<FactoryData>): Promise<void> {
    await this.check(data.uid);
    await this.store.write(data);
  }

  private async check(uid: Uid | undefined): Promise<void> {
    if (uid === undefined) return;
    const burned = await uidFromDeviceTree(this.serialNumber);
    if (burned === undefined || burned === uid) return;
    throw new AppError(
      'factory.wrong-board',
      `the factory data in ${this.description} are those of ${formatUid(uid)}, but this board's serial number says it is ` +
        `${formatUid(burned)}. They were copied from another board: give this board its own ones back`,
    );
  }
}

function storeOf(kind: string, path: string, spec: string): FactoryStore {
  if (kind === 'dir') return new FactoryDirectory(path);
  if (kind === 'nvmem') return new FactoryNvmem(path);
  throw badSpec(spec);
}

function badSpec(spec: string): AppError {
  return new AppError(
    'factory.bad-spec',
    `"${spec.slice(0, 100)}" names no place for factory data: give a folder (/factory or dir:/factory) or a memory ` +
      '(nvmem:/sys/bus/nvmem/devices/…/nvmem)',
  );
}
