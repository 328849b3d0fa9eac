/**
 * What registered cameras cost the server: `node --import tsx scripts/bench.d/registered.ts [count]` connects that
 * many (5,000) over mutual TLS to peercam-server with its own broker, leaves them idle, restarts the server and waits
 * until all are back. Prints one line of numbers. Each side opens a file per camera: `ulimit -n` must allow it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeIntermediate, makeRoot, makeServerCertificate, pemOf, readIssuer } from '#factory/certificates.ts';
import { Child } from './child.ts';
import { freePort } from './free-port.ts';
import type { FleetOrder, FleetReport } from './registered-fleet.ts';
import { cpuSeconds } from './usage.ts';

/** How long the fleet does nothing before the server is weighed, ms. */
const IDLE_MS = 30_000;
const LIMIT_MS = 300_000;
const root = join(import.meta.dirname, '../..');

const count = Number(process.argv[2] ?? 5_000);
const files = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));
if (files < count + 200) {
  console.error(`${count} cameras need \`ulimit -n\` of ${count + 200} or more, this shell has ${files}`);
  process.exit(2);
}

const folder = await mkdtemp(join(tmpdir(), 'peercam-registered-'));
let server: Child | undefined;
let fleet: Child | undefined;
let report: FleetReport | undefined;
try {
  const { args, order } = await prepare(folder);
  fleet = new Child(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'registered-fleet.ts')], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  fleet.process.on('message', (message) => {
    report = message as FleetReport;
  });
  fleet.process.send(order);
  await reached('certificates', () => report?.made === count);

  server = await started(args);
  await delay(3_000);
  const empty = residentKb(server.pid);
  const begun = performance.now();
  fleet.process.send('go');
  await reached('the first time online', () => report?.online === count);
  const first = performance.now() - begun;
  const cpu = cpuSeconds([server.pid]);
  await delay(IDLE_MS);
  const idle = ((cpuSeconds([server.pid]) - cpu) / IDLE_MS) * 1000 * 100;
  const full = residentKb(server.pid);
  const before = { ...report!.errors };

  await server.stop();
  await reached('all gone', () => report?.online === 0);
  const { connected } = report!;
  server = await started(args);
  const restarted = performance.now();
  await reached('all back', () => report?.online === count);
  const back = performance.now() - restarted;
  const backCpu = cpuSeconds([server.pid]);
  await delay(5_000);
  const figures = {
    cameras: count,
    kbEach: round((full - empty) / count),
    rssMb: round(full / 1024),
    firstPerSecond: round(count / (first / 1000)),
    idleCpuPercent: round(idle),
    backSeconds: round(back / 1000),
    backPerSecond: round(count / (back / 1000)),
    backConnections: report!.connected - connected,
    lost: count - report!.online,
    /** The server's, for each camera that came back. */
    backCpuMs: round((backCpu / count) * 1000),
    errors: JSON.stringify({ before, after: report!.errors }),
  };
  console.log(JSON.stringify(figures));
} finally {
  await fleet?.stop('SIGKILL');
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);

async function prepare(into: string): Promise<{ args: string[]; order: FleetOrder }> {
  const factory = await makeRoot({ name: 'Bench', pathLength: 1 });
  const rootPem = pemOf(factory.certificate);
  const line = await makeIntermediate(await readIssuer(rootPem, factory.keyPem), 'Bench line');
  const ca = await makeRoot({ name: 'Bench server CA', pathLength: 0 });
  const caPem = pemOf(ca.certificate);
  const own = await makeServerCertificate(await readIssuer(caPem, ca.keyPem), { hosts: ['127.0.0.1'], days: 2 });
  const write = async (name: string, content: string) => {
    await writeFile(join(into, name), content, { mode: 0o600 });
    return join(into, name);
  };
  const port = await freePort();
  const args = [
    ...['--tls-cert', await write('server.crt', pemOf(own.certificate))],
    ...['--tls-key', await write('server.key', own.keyPem)],
    ...['--cameras-ca', await write('factory.crt', rootPem)],
    ...['--mqtt-host', '127.0.0.1', '--mqtt-port', `${port}`],
    ...['--http-host', '127.0.0.1', '--http-port', '0', '--log-level', 'error'],
  ];
  const order = { count, port, serverCaPem: caPem, issuerPem: pemOf(line.certificate), issuerKeyPem: line.keyPem };
  return { args, order };
}

async function started(args: readonly string[]): Promise<Child> {
  const program = ['--import', 'tsx', 'src/server/main.ts', ...args];
  const child = new Child(process.execPath, program, { cwd: root, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await child.message();
  return child;
}

async function reached(what: string, holds: () => boolean): Promise<void> {
  console.error(`… ${what}`);
  const deadline = performance.now() + LIMIT_MS;
  while (!holds()) {
    if (fleet?.process.exitCode != null) throw new Error(`the fleet ended before: ${what}`);
    if (performance.now() > deadline)
      throw new Error(`waited ${LIMIT_MS / 1000} s in vain: ${what}, ${JSON.stringify(report)}`);
    await delay(20);
  }
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
