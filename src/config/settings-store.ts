import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';

export const SETTINGS_FILE = 'settings.json';

const settingsSchema = v.strictObject({
  v: v.literal(1),
  /** What the owner calls the camera. */
  name: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
});

/** What the camera's owner can change. */
export interface Settings {
  readonly name: string;
}

/** The owner's settings, over what the configuration says: saved as a whole at every change, erased by a factory reset. */
export class SettingsStore {
  private readonly stateDir: string;
  private readonly defaults: Settings;
  private readonly listeners = new Set<(settings: Settings) => void>();
  private own: Partial<Settings>;
  private saving: Promise<void> = Promise.resolve();

  private constructor(options: { stateDir: string; defaults: Settings }, own: Partial<Settings>) {
    this.stateDir = options.stateDir;
    this.defaults = options.defaults;
    this.own = own;
  }

  /** Reads what was changed. A damaged file is put aside as `settings.json.damaged`, and the defaults count. */
  static async open(options: { stateDir: string; defaults: Settings; log: Logger }): Promise<SettingsStore> {
    return new SettingsStore(options, await readSettings(options.stateDir, options.log));
  }

  get name(): string {
    return this.own.name ?? this.defaults.name;
  }

  /** On the disk when it resolves; rejects with an AppError where it cannot be saved, nothing is changed then. */
  change(change: Partial<Settings>): Promise<void> {
    const done = this.saving.then(async () => {
      const own = { ...this.own, ...change };
      try {
        const text = `${JSON.stringify({ v: 1, ...own })}\n`;
        await writeAtomically(join(this.stateDir, SETTINGS_FILE), text, { mode: 0o600 });
      } catch (error) {
        const message = `the change cannot be saved (${errorText(error)}): is the camera's disk full or read-only?`;
        throw new AppError('settings.not-saved', message, { cause: error, retry: true });
      }
      this.own = own;
      for (const listener of [...this.listeners]) listener({ name: this.name });
    });
    this.saving = done.catch(() => {});
    return done;
  }

  /** Called after every change; the returned function ends that. */
  onChange(listener: (settings: Settings) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

async function readSettings(stateDir: string, log: Logger): Promise<Partial<Settings>> {
  const path = join(stateDir, SETTINGS_FILE);
  try {
    const text = await readIfThere(path);
    if (text === undefined) return {};
    const { v: _version, ...own } = parseJsonAs(settingsSchema, text, SETTINGS_FILE, 64 * 1024);
    return own;
  } catch (error) {
    if (!(error instanceof ProtocolError)) {
      throw new AppError('settings.unreadable', `the settings ${path} cannot be read: ${errorText(error)}`, {
        cause: error,
      });
    }
    log.error({}, `${error.message}: the file is put aside as ${SETTINGS_FILE}.damaged, the defaults count`);
    await rename(path, `${path}.damaged`).catch(() => {});
    return {};
  }
}
