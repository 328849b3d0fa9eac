import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Runs each test file of the named suites as a process of its own under a time limit (uvu has none), shows its
 * output, and ends with one line: `N passed, N failed`. A file that ends badly, runs out of time or reports no test at
 * all counts as one failure more. A skipped test is a failure: it proved nothing.
 */
const DEFAULT_LIMIT_S = 120;

interface Outcome {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly problem: string | undefined;
  readonly seconds: number;
}

const outcomes: Outcome[] = [];
for (const suite of process.argv.slice(2)) {
  const folder = join('test', suite);
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts'))
    .sort();
  if (files.length === 0) outcomes.push({ file: folder, passed: 0, failed: 1, problem: 'no test file', seconds: 0 });
  for (const name of files) outcomes.push(await run(join(folder, name)));
}

console.log('');
for (const { file, passed, failed, problem, seconds } of outcomes) {
  const verdict = failed === 0 ? 'ok  ' : 'FAIL';
  console.log(
    `${verdict} ${file}  ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s${problem ? `: ${problem}` : ''}`,
  );
}
const sum = (pick: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
const failures = sum(({ failed }) => failed);
console.log(`${sum(({ passed }) => passed)} passed, ${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

function run(file: string): Promise<Outcome> {
  const limit = Number(/^\/\/ time limit: (\d+) s/.exec(readFileSync(file, 'utf8'))?.[1] ?? DEFAULT_LIMIT_S);
  const startedAt = performance.now();
  console.log(`\n${file}`);
  // A group of its own, so that what a hanging test started ends with it.
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let timedOut = false;
  const show = (chunk: Buffer) => {
    output += chunk;
    process.stdout.write(chunk);
  };
  child.stdout.on('data', show);
  child.stderr.on('data', show);
  const killGroup = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // The group is gone already.
    }
  };
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup();
  }, limit * 1000);
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      killGroup();
      const counted = (word: string) =>
        [...output.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'gm'))].reduce(
          (total, match) => total + Number(match[1]),
          0,
        );
      const total = counted('Total');
      const passed = counted('Passed');
      const skipped = counted('Skipped');
      const problem = timedOut
        ? `took longer than ${limit} s and was ended`
        : total === 0
          ? `reported no test (exit ${code ?? signal})`
          : code !== 0 && passed === total
            ? `ended with ${code ?? signal} although its tests passed`
            : undefined;
      const failed = total - passed + skipped + (problem === undefined ? 0 : 1);
      resolve({ file, passed, failed, problem, seconds: (performance.now() - startedAt) / 1000 });
    });
  });
}
