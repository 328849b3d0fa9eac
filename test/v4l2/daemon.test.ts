// time limit: 330 s
// The whole daemon on v4l2: in the VM, watched by a WebRTC peer; what the peer received is decoded here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { conclude, runGuest } from './guest-run.ts';

const dist = join(import.meta.dirname, '../../dist');
if (!existsSync(join(dist, 'peercamd.js'))) throw new Error('dist/peercamd.js is missing: run scripts/build first');

const run = await runGuest({
  entries: { daemon: join(import.meta.dirname, 'guest/daemon.ts') },
  command: `modprobe dummy numdummies=1
    ip=/run/busybox; $ip ip addr add 192.0.2.1/24 dev dummy0; $ip ip link set dummy0 up
    exec node /run/vm/test/guest/daemon.mjs`,
  timeoutMs: 280_000,
  furnish: (shared) => {
    cpSync(dist, join(shared, 'dist'), { recursive: true });
    cpSync(join(dist, 'node_datachannel.node'), join(shared, 'test/guest/node_datachannel.node'));
  },
});

const test = suite('what the WebRTC peer received');
for (const name of ['direct', 'encoded']) {
  test(`decodes (${name})`, () => {
    const stream = join(run.shared, `${name}.h264`);
    const { frames } = JSON.parse(readFileSync(join(run.shared, `${name}.json`), 'utf8')) as { frames: number };
    const strict = ['-v', 'error', '-xerror', '-err_detect', 'explode'];
    const ffmpeg = spawnSync('ffmpeg', [...strict, '-i', stream, '-f', 'framemd5', '-'], { encoding: 'utf8' });
    assert.equal(ffmpeg.error, undefined, 'package ffmpeg');
    assert.equal(ffmpeg.stderr, '');
    const pictures = ffmpeg.stdout.split('\n').filter((line) => /^0,/.test(line));
    assert.equal(pictures.length, frames);
    assert.equal(
      new Set(pictures.map((line) => line.split(',').at(-1))).size,
      frames,
      'every picture another: it moves',
    );
  });
}
process.once('exit', () => conclude({ ...run, ok: run.ok && process.exitCode !== 1 }));
test.run();
