import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { parseAs } from '#protocol/parse.ts';
import { formatUid, parseUid } from '#protocol/uid.ts';
import { terminalQr } from './terminal-qr.ts';

/** How long a program may take to say that it is ready, ms: a slow board with a cold cache needs some seconds. */
const READY_LIMIT_MS = 60_000;
/** How long it may take to end when asked to, ms. */
const STOP_LIMIT_MS = 4_000;
const DEFAULT_PORT = 8080;

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const serverReady = v.object({ type: v.literal('ready'), httpUrl: v.string(), mqttUrl: v.string() });
const cameraReady = v.object({ type: v.literal('ready'), uid: v.string(), whepUrl: v.string() });

const options = readOptions();
const say = options.json ? (text: string) => process.stderr.write(text) : (text: string) => process.stdout.write(text);
const children: ChildProcess[] = [];
const temporary = options.state === undefined ? mkdtempSync(join(tmpdir(), 'peercam-demo-')) : undefined;
let ending = false;

process.on('exit', () => {
  // Whatever went wrong: nothing is left behind.
  for (const child of children) child.kill('SIGKILL');
  if (temporary) rmSync(temporary, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (ending) process.exit(1);
    say('\nStopping …\n');
    void end(0);
  });
}

try {
  await run();
} catch (error) {
  if (!ending) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
    await end(1);
  }
}

async function run(): Promise<void> {
  const port = await webPort();
  const server = start('peercam-server.js', ['--http-port', `${port}`, '--mqtt-host', '127.0.0.1', '--mqtt-port', '0']);
  const { httpUrl, mqttUrl } = parseAs(serverReady, await ready('the server', server), 'the server');

  const whepToken = randomBytes(24).toString('base64url');
  const camera = start(
    'peercamd.js',
    [
      ...['--server', mqttUrl, '--state', options.state ?? temporary!, '--source', options.source],
      ...['--whep-port', '0', '--name', 'Demo camera'],
    ],
    { PEERCAM_WHEP_TOKEN: whepToken },
  );
  const { uid, whepUrl } = parseAs(cameraReady, await ready('the camera', camera), 'the camera');
  if (ending) return;

  const label = formatUid(parseUid(uid)!);
  const address = (host: string) => `http://${host}:${new URL(httpUrl).port}/#${label}`;
  const viewerUrl = address('localhost');
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ viewerUrl, uid, whepUrl, whepToken, server: httpUrl, pid: camera.pid })}\n`,
    );
  } else {
    welcome(viewerUrl, lanHost() && address(lanHost()!));
  }
}

function welcome(viewerUrl: string, lanUrl: string | undefined): void {
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  const lines = [
    '',
    'peercam: a camera and a server are running on this machine.',
    '',
    `  Watch here          ${viewerUrl}`,
    ...(lanUrl ? [`  In your network     ${lanUrl}   (or scan the code with a phone)`] : []),
    '',
    terminalQr(lanUrl ?? viewerUrl, { colour }),
    '',
    'Ctrl-C stops everything.',
    '',
  ];
  say(lines.join('\n'));
}

/** A program of dist/ as a child of its own process group: Ctrl-C reaches us, and we stop them in order. */
function start(program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = fork(join(dist, program), [...args, '--log-level', 'warn'], {
    env: { ...process.env, ...env },
    execArgv: [],
    stdio: ['ignore', process.stderr, process.stderr, 'ipc'],
    detached: true,
  });
  children.push(child);
  child.once('exit', (code, signal) => {
    if (ending) return;
    process.stderr.write(`demo: ${program} ended (${signal ?? `exit code ${code}`}), so the demo ends too\n`);
    void end(1);
  });
  return child;
}

/** The program's message that it is ready; the demo ends by itself when it dies before. */
async function ready(what: string, child: ChildProcess): Promise<unknown> {
  const limit = AbortSignal.timeout(READY_LIMIT_MS);
  try {
    const [message] = (await once(child, 'message', { signal: limit })) as [unknown];
    return message;
  } catch (error) {
    if (limit.aborted) throw new Error(`${what} was not ready after ${READY_LIMIT_MS / 1000} s`);
    throw error;
  }
}

/** The camera first, so that it can say goodbye at the server. */
async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  for (const child of [...children].reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const limit = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(limit);
  }
  process.exit(code);
}

async function webPort(): Promise<number> {
  if (options.httpPort !== undefined) return options.httpPort;
  const probe = createServer().listen(DEFAULT_PORT);
  try {
    await once(probe, 'listening');
  } catch {
    say(`Port ${DEFAULT_PORT} is taken by another program: using another one.\n`);
    return 0;
  }
  probe.close();
  await once(probe, 'close');
  return DEFAULT_PORT;
}

/** This machine's first IPv4 address that is not loopback. */
function lanHost(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

function readOptions(): { source: string; httpPort?: number; state?: string; json: boolean } {
  try {
    const { values } = parseArgs({
      options: {
        source: { type: 'string', default: 'pattern' },
        'http-port': { type: 'string' },
        state: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const port = values['http-port'];
    if (port !== undefined && !/^\d{1,5}$/.test(port)) throw new Error(`--http-port needs a number, not "${port}"`);
    return {
      source: values.source,
      httpPort: port === undefined ? undefined : Number(port),
      state: values.state === undefined ? undefined : resolve(values.state),
      json: values.json,
    };
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message}\n\`scripts/demo --help\` lists the options.\n`);
    process.exit(2);
  }
}
