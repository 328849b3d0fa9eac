import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** A child process with what a bench needs of it: a line to wait for, a certain end. */
export class Child {
  readonly process: ChildProcess;
  readonly #name: string;
  readonly #waiting = new Set<() => void>();
  readonly #lines: string[] = [];
  readonly #killWithUs = () => this.process.kill('SIGKILL');
  #errors = '';
  #ended = false;

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.#name = `${command} ${args.slice(0, 2).join(' ')}`;
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    process.setMaxListeners(0);
    process.once('exit', this.#killWithUs); // an interrupted bench leaves nothing behind
    this.process.on('error', (error) => {
      this.#errors += error.message;
      this.#end();
    });
    this.process.on('exit', () => this.#end());
    this.process.stderr?.on('data', (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-4000);
    });
    if (!this.process.stdout) return;
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.#lines.push(line);
      if (this.#lines.length > 1000) this.#lines.shift();
      this.#wake();
    });
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Resolves with the next unread line that matches; rejects when the process ends or `timeoutMs` passed. */
  async line(pattern: RegExp, timeoutMs = 20_000): Promise<RegExpMatchArray> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
        const match = line.match(pattern);
        if (match) return match;
      }
      const left = deadline - performance.now();
      if (this.#ended || left <= 0) {
        throw new Error(`${this.#name}: ${this.#ended ? 'ended' : 'silent'} before ${pattern}: ${this.#errors.trim()}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** The child's first IPC message (spawned with an 'ipc' stdio); rejects when it ends first. */
  async message(): Promise<unknown> {
    const ended = once(this.process, 'exit').then(([code]) => {
      throw new Error(`${this.#name}: ended with ${code}: ${this.#errors.trim()}`);
    });
    const [message] = await Promise.race([once(this.process, 'message'), ended]);
    return message;
  }

  /** SIGTERM (or `signal`), SIGKILL after 3 s; resolves when it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#ended) return;
    const exit = once(this.process, 'exit');
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 3000);
    await exit;
    clearTimeout(timer);
  }

  #end(): void {
    this.#ended = true;
    process.off('exit', this.#killWithUs);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
