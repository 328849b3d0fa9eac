import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { labelAddress } from '#protocol/label.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import { type ServerFiles, TestFactory } from './factory.ts';

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
  /** Where it was asked for. */
  readonly httpsUrl: string | undefined;
  readonly mqttUrl: string;
}

export interface CameraProgram extends Program {
  readonly uid: Uid;
  readonly setupCode: SetupCode;
  readonly whepUrl: string | undefined;
  /** The socket of peercamctl. */
  readonly control: string;
  /** What the label's QR code holds, for a server's address. */
  labelUrl(httpUrl: string): string;
}

const LOOPBACK = '127.0.0.1';
/** Two mutual TLS handshakes and the start of Node take an emulated processor on a busy machine most of 20 s. */
const READY_MS = 60_000;

/** The factory and the server's certificate of this test process, made when first needed. */
export interface Trust {
  readonly factory: TestFactory;
  readonly files: ServerFiles;
}

let trusted: Promise<Trust> | undefined;

/** The same for all programs of this process, gone when it ends. */
export function trust(): Promise<Trust> {
  trusted ??= (async () => {
    const factory = await TestFactory.create();
    process.once('exit', () => rmSync(dirname(dirname(factory.rootFile)), { recursive: true, force: true }));
    return { factory, files: await factory.serverCertificate() };
  })();
  return trusted;
}

/** `peercam-server` on loopback; port 0 takes any free one. */
export async function startServer(
  options: { http?: number; mqtt?: number; https?: boolean; args?: readonly string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<ServerProgram> {
  const { http = 0, mqtt = 0, https = false, args = [], env } = options;
  const { factory, files } = await trust();
  const ports = ['--http-host', LOOPBACK, '--http-port', `${http}`, '--mqtt-host', LOOPBACK, '--mqtt-port', `${mqtt}`];
  const keys = ['--tls-cert', files.certFile, '--tls-key', files.keyFile, '--cameras-ca', factory.rootFile];
  const secure = https ? ['--https-host', LOOPBACK, '--https-port', '0'] : [];
  const { program, ready } = await start('peercam-server', [...ports, ...keys, ...secure, ...args], env);
  return {
    ...program,
    httpUrl: String(ready.httpUrl),
    httpsUrl: ready.httpsUrl as string | undefined,
    mqttUrl: String(ready.mqttUrl),
  };
}

export interface CameraOptions {
  /** `mqtts://…` */
  readonly server: string;
  /** Its folder, with what the factory gave it and its state: the same folder gives the same camera. */
  readonly folder: string;
  readonly source?: string;
  readonly name?: string;
  /** Given, the camera offers WHEP with this bearer token. */
  readonly whepToken?: string;
  readonly args?: readonly string[];
}

/** `peercamd` on a board that is provisioned where it was not yet; resolves when viewers can find it. */
export async function startCamera(options: CameraOptions): Promise<CameraProgram> {
  const { server, folder, source = 'pattern', name = 'Garden', whepToken, args: more = [] } = options;
  const { factory, files } = await trust();
  const store = join(folder, 'factory');
  if (!existsSync(store)) await factory.board(store);
  const { uid, setupCode } = (await new FactoryDirectory(store).read())!;
  const control = join(folder, 'control.sock');
  const args = [
    ...['--server', server, '--server-ca', files.caFile, '--factory', `dir:${store}`, '--state', join(folder, 'state')],
    ...['--control', control, '--source', source, '--name', name],
    ...(whepToken ? ['--whep-port', '0'] : []),
    ...more,
  ];
  const env: Record<string, string> = whepToken ? { PEERCAM_WHEP_TOKEN: whepToken } : {};
  const { program, ready } = await start('peercamd', args, env);
  return {
    ...program,
    uid: uid!,
    setupCode: setupCode!,
    control,
    whepUrl: ready.whepUrl as string | undefined,
    labelUrl: (httpUrl) => labelAddress(httpUrl, uid!, setupCode!),
  };
}

/** An empty folder that is gone when the test's process ends, and a function that removes it before. */
export async function temporaryFolder(purpose: string): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `peercam-${purpose}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

async function start(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
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
