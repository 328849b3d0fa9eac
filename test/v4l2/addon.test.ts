// The addon where there is no camera: building it, missing it, and what it says then.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { Camera, listDevices } from 'v4l2camera';
import { V4l2Source } from '#device/v4l2-source.ts';
import { parseV4l2Spec } from '#device/v4l2-spec.ts';
import { CollectingSink } from '../support/collecting-sink.ts';
import { rejection } from '../support/rejection.ts';

const root = join(import.meta.dirname, '../..');
const packageFolder = join(root, 'src/v4l2camera');
/** e_machine of the ELF header. */
const MACHINE = { x64: 62, arm64: 183 };

const test = suite('v4l2camera without a camera');
let folder: string;

test.before.each(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-addon-'));
});
test.after.each(() => rm(folder, { recursive: true }));

test('is compiled by cc in seconds, and not again when nothing changed', () => {
  const out = join(folder, 'v4l2camera.node');
  const first = build(['--out', out]);
  assert.equal(first.status, 0, first.stderr);
  assert.equal(machineOf(out), MACHINE[process.arch as keyof typeof MACHINE]);
  const { mtimeMs } = statSync(out);
  assert.match(build(['--out', out]).stdout, /up to date/);
  assert.equal(statSync(out).mtimeMs, mtimeMs);
  assert.match(build(['--out', out], { CFLAGS: '-O1' }).stdout, /compiled/, 'other flags, another addon');
});

test('is cross-compiled for the camera board', () => {
  const out = join(folder, 'v4l2camera.node');
  const { status, stderr } = build(['--out', out], { CC: 'aarch64-linux-gnu-gcc' });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '', 'without a warning');
  assert.equal(machineOf(out), MACHINE.arm64);
});

test('a missing compiler fails the build with what to install, and the installation not at all', () => {
  const out = join(folder, 'v4l2camera.node');
  const failed = build(['--out', out], { CC: 'no-such-compiler' });
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /no-such-compiler.*apt-get install gcc libc6-dev/s);
  assert.equal(build(['--optional', '--out', out], { CC: 'no-such-compiler' }).status, 0);
  assert.equal(existsSync(out), false);
});

test('used without having been compiled, it says what to install; importing it is no error', () => {
  const copy = join(folder, 'v4l2camera');
  mkdirSync(copy);
  for (const name of ['index.js', 'lib', 'package.json']) {
    cpSync(join(packageFolder, name), join(copy, name), { recursive: true });
  }
  const program = `import { Camera, listDevices } from '${copy}/index.js';
    for (const use of [() => new Camera('/dev/video0').open(), listDevices])
      try { use(); } catch ({ code, message }) { console.log(code, message); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 2);
  for (const line of lines) assert.match(line, /^ADDON_MISSING .*apt-get install gcc libc6-dev/);
});

test('names what is wrong with a path', () => {
  const codes = { '/dev/null': 'ENOTTY', '/dev/video-none': 'ENOENT' };
  for (const [path, code] of Object.entries(codes)) {
    assert.throws(
      () => new Camera(path).open(),
      (error: NodeJS.ErrnoException) => {
        assert.equal(error.code, code);
        assert.ok(error.message.startsWith(`${path}: `) && error.syscall);
        return true;
      },
    );
  }
  assert.throws(() => new Camera('/dev/null').start(), { code: 'EBADF' });
  assert.throws(() => new Camera(5 as unknown as string).open(), TypeError);
  new Camera('/dev/null').close();
  assert.ok(Array.isArray(listDevices()));
});

test('a source without its device tells a person what to do', async () => {
  const error = await rejection(new V4l2Source({ spec: 'v4l2:/dev/video-none' }).start(new CollectingSink()));
  assert.match(error.message, /v4l2:\/dev\/video-none.*plug the camera in/);
});

test('a specification is read completely, or refused with a reason', () => {
  assert.deepEqual(parseV4l2Spec('v4l2:/dev/v4l/by-id/cam-0?width=640&height=480&fps=15&bitrate=900000&gop=30'), {
    path: '/dev/v4l/by-id/cam-0',
    width: 640,
    height: 480,
    fps: 15,
    bitrate: 900_000,
    gop: 30,
    encoder: undefined,
  });
  assert.equal(parseV4l2Spec('v4l2:/dev/video0?encoder=/dev/video11').encoder, '/dev/video11');
  const wrong = ['v4l2:', 'v4l2:/dev/video0?width=0', 'v4l2:/dev/video0?fps=29.97', 'v4l2:/dev/video0?colour=red'];
  for (const spec of [...wrong, 'v4l2:/dev/video0?a?b', 'v4l2:/dev/video0?encoder=video11', 'v4l2:/dev/video0?gop=']) {
    assert.throws(() => parseV4l2Spec(spec), { code: 'source.bad-spec' }, spec);
  }
});

function build(flags: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [join(packageFolder, 'build.js'), ...flags], {
    encoding: 'utf8',
    env: { ...process.env, CC: 'cc', CFLAGS: '', LDFLAGS: '', ...env },
  });
}

function machineOf(file: string): number {
  return readFileSync(file).readUInt16LE(18);
}

test.run();
