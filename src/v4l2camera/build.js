#!/usr/bin/env node
// Compiles the addon with the system's C compiler: `node build.js [--optional] [--out FILE]`.
// CC, CFLAGS and LDFLAGS are honoured (CC=aarch64-linux-gnu-gcc cross-compiles). Does nothing when the result is
// newer than the sources and was made by the same command. --optional: a failure is a warning (npm install).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const native = join(here, 'native');

const { values } = parseArgs({ options: { optional: { type: 'boolean' }, out: { type: 'string' } } });
const out = resolve(values.out ?? join(here, 'build', 'v4l2camera.node'));

try {
  const command = compileCommand();
  if (isFresh(command)) console.log(`v4l2camera: ${out} is up to date`);
  else compile(command);
} catch (error) {
  console.warn(`v4l2camera: ${error.message}`);
  if (!values.optional) process.exitCode = 1;
}

function sources() {
  return readdirSync(native).map((name) => join(native, name));
}

function compileCommand() {
  const words = (text) => (text ?? '').split(/\s+/).filter((word) => word !== '');
  const [compiler, ...before] = words(process.env.CC || 'cc');
  const flags = ['-shared', '-fPIC', '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Wshadow', '-fvisibility=hidden'];
  // Wide file offsets: mmap offsets of memory-to-memory queues pass 1 GiB on 32-bit boards.
  flags.push('-D_FILE_OFFSET_BITS=64', `-I${nodeApiHeaders()}`, ...before, ...words(process.env.CFLAGS));
  const inputs = sources().filter((file) => file.endsWith('.c'));
  return [compiler, ...flags, ...inputs, '-lm', ...words(process.env.LDFLAGS)];
}

function nodeApiHeaders() {
  try {
    const manifest = createRequire(import.meta.url).resolve('node-api-headers/package.json');
    return join(dirname(manifest), 'include');
  } catch {
    throw new Error('the npm package node-api-headers is missing: run `npm install` first');
  }
}

function isFresh(command) {
  const stamp = `${out}.command`;
  if (!existsSync(out) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== command.join(' ')) return false;
  const made = statSync(out).mtimeMs;
  return sources().every((file) => statSync(file).mtimeMs <= made);
}

function compile(command) {
  mkdirSync(dirname(out), { recursive: true });
  const started = performance.now();
  const temporary = `${out}.${process.pid}`; // so that nobody loads half a file
  const run = spawnSync(command[0], [...command.slice(1), '-o', temporary], { encoding: 'utf8' });
  if (run.error?.code === 'ENOENT') {
    throw new Error(
      `no C compiler \`${command[0]}\` found, so V4L2 cameras will not work; everything else will. ` +
        'Install one (Debian: apt-get install gcc libc6-dev) and run `npm rebuild v4l2camera`.',
    );
  }
  if (run.status !== 0) {
    const detail = run.error?.message ?? run.stderr;
    throw new Error(
      `compiling failed, so V4L2 cameras will not work; on Debian: apt-get install gcc libc6-dev\n${detail}`,
    );
  }
  if (run.stderr) console.warn(run.stderr);
  renameSync(temporary, out);
  writeFileSync(`${out}.command`, command.join(' '));
  console.log(`v4l2camera: compiled ${out} in ${Math.round(performance.now() - started)} ms`);
}
