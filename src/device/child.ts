import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { Clock } from '#lib/clock.ts';
import { withoutPasswords } from './redact.ts';

export interface ChildOptions {
  readonly argv: readonly string[];
  readonly clock: Clock;
  onOutput(chunk: Buffer): void;
  /** The program has ended by itself, or could not be started; called once, never after `stop`. */
  onEnd(end: ChildEnd): void;
}

export interface ChildEnd {
  /** The reason it could not be started. */
  readonly error?: NodeJS.ErrnoException;
  readonly code: number | null;
  readonly signal: string | null;
}

/** What a program may know of our environment: where things are, not what we know. */
const PASSED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|XDG_RUNTIME_DIR|LD_LIBRARY_PATH|(LIBCAMERA|GST|ALSA|PULSE)_\w+)$/;
/** From SIGTERM to SIGKILL, ms. */
const TERM_MS = 2_000;
/** How long what the program started may take to follow it, ms. */
const DRAIN_MS = 500;
const MAX_LINES = 4;
const MAX_LINE = 240;

/**
 * A program in a process group of its own, so that whatever it starts ends with it; standard output goes to `onOutput`,
 * the last lines of standard error are kept.
 */
export class Child {
  private readonly options: ChildOptions;
  private child: ChildProcessByStdio<null, Readable, Readable> | undefined;
  private lines: string[] = [];
  private line = '';
  private stopped = false;
  private ended: Promise<void> = Promise.resolve();
  private readonly killAtExit = () => this.signal('SIGKILL');

  constructor(options: ChildOptions) {
    this.options = options;
  }

  start(): void {
    const [program = '', ...args] = this.options.argv;
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => PASSED_ON.test(name)));
    const child = this.spawn(program, args, env);
    if (!child) return;
    this.child = child;
    // Whatever ends this program, the other one shall not stay behind.
    process.once('exit', this.killAtExit);
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.stopped) this.options.onOutput(chunk);
    });
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text: string) => this.hear(text));
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        // Also raised when a signal cannot be sent; only a program that never ran has no pid.
        if (child.pid === undefined) resolve(this.finish({ error, code: null, signal: null }));
      });
      child.once('exit', (code, signal) => this.drain(child).then(() => resolve(this.finish({ code, signal }))));
    });
  }

  /** What it said last on standard error, for people; empty when it said nothing. */
  get lastWords(): string {
    return withoutPasswords([...this.lines, this.line].filter((line) => line !== '').join(' / '));
  }

  /** Ends the program and all it started; resolves when it is gone. */
  async stop(): Promise<void> {
    this.stopped = true;
    const running = this.child?.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
    if (running) {
      this.signal('SIGTERM');
      const cancel = this.options.clock.after(TERM_MS, () => this.signal('SIGKILL'));
      await this.ended;
      cancel();
    } else {
      await this.ended;
    }
  }

  private spawn(program: string, args: string[], env: NodeJS.ProcessEnv) {
    try {
      return spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env });
    } catch (error) {
      // Most failures come as an event, some (no memory, too long) at once.
      queueMicrotask(() => this.finish({ error: error as NodeJS.ErrnoException, code: null, signal: null }));
      return undefined;
    }
  }

  /** After its end: ends what it left behind, and reads what is still in the pipes. */
  private async drain(child: ChildProcessByStdio<null, Readable, Readable>): Promise<void> {
    this.signal('SIGTERM');
    await new Promise<void>((resolve) => {
      const cancel = this.options.clock.after(DRAIN_MS, resolve);
      child.once('close', () => {
        cancel();
        resolve();
      });
    });
    this.signal('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
  }

  private finish(end: ChildEnd): void {
    process.removeListener('exit', this.killAtExit);
    if (this.stopped) return;
    this.stopped = true;
    this.options.onEnd(end);
  }

  private signal(signal: NodeJS.Signals): void {
    const pid = this.child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // Nobody is left in the group (ESRCH), or what is left is not ours to end (EPERM: it took other rights).
    }
  }

  private hear(text: string): void {
    // Progress displays end their lines with a carriage return.
    const parts = (this.line + text).split(/[\r\n]+/);
    this.line = printable(parts.pop()!).slice(-MAX_LINE);
    const lines = parts.map(printable).filter((line) => line !== '');
    this.lines = [...this.lines, ...lines.map((line) => line.slice(0, MAX_LINE))].slice(-MAX_LINES);
  }
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a log or a page
  return text.replace(/\u001b\[[0-9;]*m|[\u0000-\u001f\u007f]/g, '');
}
