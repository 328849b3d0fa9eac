import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A built program of ours, as its users run it. */
export interface Program {
  readonly pid: number;
  /** What it has logged: JSON lines. */
  log(): string;
  /** Asks it to end, as systemd does; rejects when it ends badly. */
  stop(): Promise<void>;
  /** Ends it without a word, as a power cut does. */
  kill(): Promise<void>;
}

export interface ServerProgram extends Program {
  readonly httpUrl: string;
  readonly mqttUrl: string;
}

export interface CameraProgram extends Program {
  readonly uid: string;
  readonly whepUrl: string | undefined;
}

const LOOPBACK = '127.0.0.1';
const READY_MS = 20_000;

/** `peercam-server` on loopback; port 0 takes any free one. */
export async function startServer(
  options: { http?: number; mqtt?: number; args?: readonly string[] } = {},
): Promise<ServerProgram> {
  const { http = 0, mqtt = 0, args = [] } = options;
  const ports = ['--http-host', LOOPBACK, '--http-port', `${http}`, '--mqtt-host', LOOPBACK, '--mqtt-port', `${mqtt}`];
  const { program, ready } = await start('peercam-server', [...ports, ...args]);
  return { ...program, httpUrl: String(ready.httpUrl), mqttUrl: String(ready.mqttUrl) };
}

export interface CameraOptions {
  /** `mqtt://…` */
  readonly server: string;
  /** Its state folder: the same folder gives the same camera. */
  readonly state: string;
  readonly source?: string;
  readonly name?: string;
  /** Given, the camera offers WHEP with this bearer token. */
  readonly whepToken?: string;
}

/** `peercamd`; resolves when viewers can find it. */
export async function startCamera(options: CameraOptions): Promise<CameraProgram> {
  const { server, state, source = 'pattern', name = 'Garden', whepToken } = options;
  const args = ['--server', server, '--state', state, '--source', source, '--name', name];
  const env: Record<string, string> = whepToken ? { PEERCAM_WHEP_TOKEN: whepToken } : {};
  const { program, ready } = await start('peercamd', whepToken ? [...args, '--whep-port', '0'] : args, env);
  return { ...program, uid: String(ready.uid), whepUrl: ready.whepUrl as string | undefined };
}

/** An empty folder that is gone when the test's process ends, and a function that removes it before. */
export async function temporaryFolder(purpose: string): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `peercam-${purpose}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

async function start(name: string, args: readonly string[], env: Record<string, string> = {}) {
  const file = fileURLToPath(new URL(`../../dist/${name}.js`, import.meta.url));
  if (!existsSync(file)) throw new Error(`dist/${name}.js is missing: run scripts/build first`);
  const child = fork(file, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: { ...process.env, ...env } });
  let output = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ready = await readyMessage(child, name, () => output);
  return { program: programOf(child, name, () => output), ready };
}

function readyMessage(child: ChildProcess, name: string, log: () => string): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`${name} ${what}; its log:\n${log()}`));
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`was not ready within ${READY_MS / 1000} s`);
    }, READY_MS);
    child.once('exit', (code, signal) => {
      clearTimeout(limit);
      fail(`ended with ${code ?? signal} before it was ready`);
    });
    child.on('message', (message: Record<string, unknown>) => {
      if (message.type !== 'ready') return;
      clearTimeout(limit);
      resolve(message);
    });
  });
}

function programOf(child: ChildProcess, name: string, log: () => string): Program {
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill(signal);
      await exit;
    }
    return child.exitCode;
  };
  return {
    pid: child.pid!,
    log,
    async stop() {
      const code = await end('SIGTERM');
      if (code !== 0) throw new Error(`${name} ended with ${code ?? child.signalCode}; its log:\n${log()}`);
    },
    async kill() {
      await end('SIGKILL');
    },
  };
}
