/** `scripts/bench trust`: what identity and trust cost. Each measurement is a program of its own; see README.md. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    page: { type: 'string' },
    times: { type: 'string', default: '40' },
    boards: { type: 'string', default: '300' },
    cameras: { type: 'string', default: '5000' },
  },
});
const root = join(import.meta.dirname, '../..');

const sealing = lineOf('sealing.ts', '--times', values.times);
const boardsPerSecond = batch(Number(values.boards));
const registered = lineOf('registered.ts', values.cameras);

const page = `# What trust costs

Made by \`scripts/bench trust\` on ${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.version}.

| | bar | measured |
|---|---|---|
| sealing adds to the first frame of a returning viewer (median of ${sealing.times}, page load included, turn and turn about) | <= 15 ms | ${sealing.sealingAddsMs} ms (sealed ${sealing.sealedMs}, without ${sealing.plainMs}) |
| pairing, from entering the code to the picture (median of 5) | <= 1500 ms | ${sealing.pairingMs} ms |
| \`peercam-factory batch\`, software boards, each with its own TLS handshake | >= 20 boards/s | ${boardsPerSecond} boards/s |
| server memory for each of ${registered.cameras} registered cameras, idle, mutual TLS | <= 80 KB | ${registered.kbEach} KB |
| reconnects after a restart of the server | >= 100/s, none lost | ${registered.backPerSecond}/s (${registered.backSeconds} s for all), ${registered.lost} lost |
| the server's processor while they idle | | ${registered.idleCpuPercent} % of one core |
`;
process.stdout.write(page);
if (values.page) writeFileSync(values.page, page);

/** The line of numbers that one measurement prints. */
function lineOf(program: string, ...args: string[]): Record<string, number> {
  const run = spawnSync(process.execPath, ['--import', 'tsx', join(import.meta.dirname, program), ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (run.status !== 0) throw new Error(`${program} ended with ${run.status ?? run.signal}`);
  const line = run.stdout.trim().split('\n').at(-1)!;
  process.stderr.write(`\n${program}: ${line}\n`);
  return JSON.parse(line);
}

/** Boards a second, as the production line would measure it. */
function batch(count: number): number {
  const folder = mkdtempSync(join(tmpdir(), 'peercam-batch-'));
  const factory = (...args: string[]) => {
    const run = spawnSync(process.execPath, [join(root, 'dist/peercam-factory.js'), ...args], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(`peercam-factory ${args[0]}: ${run.stderr}`);
    return run.stdout;
  };
  try {
    factory('init-ca', join(folder, 'ca'));
    const line = ['--ca', join(folder, 'ca'), '--out', join(folder, 'out'), '--model', 'Bench', '--revision', 'A'];
    const said = factory('batch', '--count', `${count}`, '--boards', `sim:${join(folder, 'boards')}`, ...line);
    return Number(/([\d.]+) boards\/s/.exec(said)![1]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
