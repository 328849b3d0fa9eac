import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canConnect, until } from './wait.ts';

const PROGRAM = '/usr/sbin/mosquitto';

/** A real Mosquitto on loopback with a configuration of its own. It can be stopped and started on the same port. */
export class Mosquitto {
  readonly port: number;
  private readonly folder: string;
  private child: ChildProcess | undefined;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.folder = folder;
  }

  /** Starts one on a free port. @param extra further lines for its configuration */
  static async create(extra: string[] = []): Promise<Mosquitto> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: apt-get install mosquitto`);
    const port = await freePort();
    const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false', 'user root', ...extra];
    return await Mosquitto.configured(`${lines.join('\n')}\n`, port);
  }

  /** Starts one with a whole configuration. @param port one that it opens then */
  static async configured(configuration: string, port: number): Promise<Mosquitto> {
    const folder = await mkdtemp(join(tmpdir(), 'peercam-mosquitto-'));
    await writeFile(join(folder, 'mosquitto.conf'), configuration);
    const mosquitto = new Mosquitto(port, folder);
    await mosquitto.start();
    return mosquitto;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const child = spawn(PROGRAM, ['-c', join(this.folder, 'mosquitto.conf')], { stdio: 'ignore' });
    this.child = child;
    await until('Mosquitto listens', () => {
      if (child.exitCode !== null) throw new Error(`mosquitto ended with exit code ${child.exitCode}`);
      return canConnect(this.port);
    });
  }

  async stop(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Stops it and removes its files. */
  async remove(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A TCP port of loopback that nothing listens at just now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}
