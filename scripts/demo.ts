import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { labelAddress } from '#protocol/label.ts';
import { parseAs } from '#protocol/parse.ts';
import { formatSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { formatUid, parseUid, type Uid } from '#protocol/uid.ts';
import { terminalQr } from './terminal-qr.ts';

/** How long a program may take to say that it is ready, ms: a slow board with a cold cache needs some seconds. */
const READY_LIMIT_MS = 60_000;
/** How long it may take to end when asked to, ms. */
const STOP_LIMIT_MS = 4_000;
const DEFAULT_PORT = 8080;

const dist = fileURLToPath(new URL('../dist', import.meta.url));
const serverReady = v.object({
  type: v.literal('ready'),
  httpUrl: v.string(),
  httpsUrl: v.string(),
  mqttUrl: v.string(),
});
const cameraReady = v.object({ type: v.literal('ready'), uid: v.string(), whepUrl: v.string() });

const options = readOptions();
const say = options.json ? (text: string) => process.stderr.write(text) : (text: string) => process.stdout.write(text);
const children: ChildProcess[] = [];
const temporary = options.state === undefined ? mkdtempSync(join(tmpdir(), 'peercam-demo-')) : undefined;
const home = options.state ?? temporary!;
/** What a factory, a board and an installer would keep in places of their own. */
const place = {
  ca: join(home, 'factory-ca'),
  line: join(home, 'line'),
  board: join(home, 'board'),
  camera: join(home, 'camera'),
};
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
  const lan = lanHost();
  const { code, model } = await makeCamera(lan);
  const servers = join(place.ca, 'server-ca');
  const server = start('peercam-server.js', [
    ...['--http-port', `${await webPort()}`, '--https-port', '0', '--mqtt-host', '127.0.0.1', '--mqtt-port', '0'],
    ...['--tls-cert', join(servers, 'localhost.crt'), '--tls-key', join(servers, 'localhost.key')],
    ...['--cameras-ca', join(place.ca, 'factory-ca.crt'), '--cameras-crl', join(place.ca, 'revoked.crl')],
  ]);
  const { httpUrl, httpsUrl, mqttUrl } = parseAs(serverReady, await ready('the server', server), 'the server');

  const whepToken = randomBytes(24).toString('base64url');
  const camera = start(
    'peercamd.js',
    [
      ...['--server', mqttUrl, '--server-ca', join(servers, 'server-ca.crt')],
      ...['--factory', `dir:${place.board}`, '--state', place.camera, '--control', join(home, 'control.sock')],
      ...['--source', options.source, '--whep-port', '0', '--name', 'Demo camera'],
    ],
    { PEERCAM_WHEP_TOKEN: whepToken },
  );
  const { uid, whepUrl } = parseAs(cameraReady, await ready('the camera', camera), 'the camera');
  if (ending) return;

  const label = { uid: parseUid(uid)!, code, model };
  const address = (base: string, host: string) => {
    const { protocol, port } = new URL(base);
    return labelAddress(`${protocol}//${host}:${port}/`, label.uid, code);
  };
  const viewerUrl = address(httpUrl, 'localhost');
  const lanUrl = lan && address(httpsUrl, lan);
  if (options.json) {
    const all = { viewerUrl, ...(lanUrl && { lanUrl }), uid, whepUrl, whepToken, server: httpUrl, pid: camera.pid };
    process.stdout.write(`${JSON.stringify(all)}\n`);
  } else {
    welcome(label, viewerUrl, lanUrl);
  }
}

/** A factory of its own, and a board that went through it: as on a production line, by the same program. */
async function makeCamera(lan: string | undefined): Promise<{ code: SetupCode; model: string }> {
  const store = new FactoryDirectory(place.board);
  let data = await store.read();
  if (!data) {
    mkdirSync(home, { recursive: true });
    await factory('init-ca', place.ca, '--name', 'peercam demo');
    const board = ['--board', `local:${place.board}`, '--model', 'Demo camera', '--revision', 'A'];
    await factory('provision', ...board, '--ca', place.ca, '--out', place.line);
    data = (await store.read())!;
  }
  // Every time: the machine's address in the network may be another one today.
  const hosts = ['localhost', '127.0.0.1', ...(lan === undefined ? [] : [lan])];
  await factory('server-cert', place.ca, ...hosts.flatMap((host) => ['--host', host]));
  return { code: data.setupCode!, model: data.model! };
}

/** Runs one command of peercam-factory; what it says is shown only when it fails. */
async function factory(...args: string[]): Promise<void> {
  const child = fork(join(dist, 'peercam-factory.js'), args, {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0 && !ending) throw new Error(`peercam-factory ${args[0]} failed:\n${output}`);
}

function welcome(
  label: { uid: Uid; code: SetupCode; model: string },
  viewerUrl: string,
  lanUrl: string | undefined,
): void {
  const colour = process.stdout.isTTY && !process.env.NO_COLOR;
  const lines = [
    '',
    'peercam: a camera, fresh from a factory of its own, and a server are running on this machine.',
    '',
    `  Watch here          ${viewerUrl}`,
    ...(lanUrl
      ? [
          `  In your network     ${lanUrl}`,
          "                      (or scan the label with a phone; it will warn of this demo's own certificate)",
        ]
      : []),
    '',
    "The first to open one of these becomes the camera's owner; everybody else needs an invitation.",
    '',
    'The label on the camera:',
    '',
    terminalQr(lanUrl ?? viewerUrl, { colour }),
    '',
    `    ${label.model}`,
    `    UID   ${formatUid(label.uid)}`,
    `    Code  ${formatSetupCode(label.code)}`,
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
