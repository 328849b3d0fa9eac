import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Ended } from '../support/child.ts';

const here = dirname(fileURLToPath(import.meta.url));
const PROGRAM = join(here, '../../dist/peercam-factory.js');
const CONTROL = join(here, '../../src/ctl/main.ts');

/** A production line for a test: a folder, the program, and a PATH on which boards' programs can stand. */
export class TestLine {
  readonly folder: string;
  readonly bin: string;
  /** The program, for a shell. */
  readonly command = `'${process.execPath}' '${PROGRAM}'`;

  private constructor(folder: string) {
    this.folder = folder;
    this.bin = join(folder, 'bin');
  }

  static async create(): Promise<TestLine> {
    const line = new TestLine(await mkdtemp(join(tmpdir(), 'peercam-line-')));
    if (!existsSync(PROGRAM)) throw new Error('dist/peercam-factory.js is missing: run scripts/build first');
    await mkdir(line.bin);
    return line;
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  start(args: readonly string[]): Run {
    return new Run(args, { ...process.env, PATH: `${this.bin}:${process.env.PATH}` });
  }

  run(...args: string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  /** Runs it and throws with all it said unless it ends well; its standard output. */
  async good(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(`peercam-factory ${args.join(' ')} ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** The options of a station on this line, after `init-ca` into `ca`. */
  station(out = 'out'): string[] {
    return ['--ca', this.path('ca'), '--out', this.path(out), '--model', 'Cam 1', '--revision', 'B2'];
  }

  /** Puts an executable script onto the PATH. */
  async script(name: string, lines: readonly string[]): Promise<void> {
    await writeFile(join(this.bin, name), ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  }

  /** `peercamctl` on the PATH, which keeps this store. `before` runs first. */
  async peercamctl(store: string, before: readonly string[] = []): Promise<void> {
    const program = [process.execPath, '--import', import.meta.resolve('tsx'), CONTROL]
      .map((word) => `'${word}'`)
      .join(' ');
    await this.script('peercamctl', [...before, `exec ${program} "$@" --store '${store}'`]);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

/** One run of the program as it was built. */
class Run {
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';
  private readonly child;

  constructor(args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(process.execPath, [PROGRAM, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.on('data', (text) => {
      this.stdout += text;
    });
    this.child.stderr.on('data', (text) => {
      this.stderr += text;
    });
    this.ended = once(this.child, 'close').then(([code, signal]) => ({
      code,
      signal,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends it without a word, as a power cut does. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Runs a program and gives what it wrote to standard output and error, and how it ended. */
export async function tool(name: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(name, [...args], { maxBuffer: 64 << 20 });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}
