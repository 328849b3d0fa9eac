import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A TypeScript program of the tree as a child process, with IPC, and all it says. */
export class TestChild {
  readonly process: ChildProcess;
  readonly messages: Record<string, unknown>[] = [];
  stdout = '';
  stderr = '';
  private readonly closed: Promise<unknown>;

  constructor(file: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.process.stdout!.on('data', (chunk) => {
      this.stdout += chunk;
    });
    this.process.stderr!.on('data', (chunk) => {
      this.stderr += chunk;
    });
    this.process.on('message', (message) => this.messages.push(message as Record<string, unknown>));
    // Not 'close': a child whose IPC channel was closed by us never says that.
    const ends = [once(this.process, 'exit'), once(this.process.stdout!, 'end'), once(this.process.stderr!, 'end')];
    this.closed = Promise.all(ends);
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resolves when it has ended by itself, or was told to. */
  async ended(): Promise<Ended> {
    await this.closed;
    const { exitCode: code, signalCode: signal } = this.process;
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }

  /** Ends it the hard way, where it has not ended. */
  async remove(): Promise<void> {
    if (this.running) this.process.kill('SIGKILL');
    await this.closed;
  }
}
