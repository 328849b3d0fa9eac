import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';

const PROGRAM = fileURLToPath(new URL('../../dist/peercamd.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'peercam-config-'));
const test = suite('configuration of peercamd from outside');

test.after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs it until it ends by itself. */
function run(args: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    env: { PATH: process.env.PATH, ...env },
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

function file(content: unknown): string {
  const path = join(folder, 'camera.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

test('a wrong setting ends the program with status 2 and one line that names the field and the place', () => {
  const path = (content: unknown) => () => ['--config', file(content)];
  const cases: [readonly string[] | (() => readonly string[]), RegExp, Record<string, string>?][] = [
    [path({ colour: 'red' }), /"colour".*no such setting/],
    [path({ server: { host: 'x' } }), /"server\.host".*no such setting/],
    [path({ maxViewers: '10' }), /"maxViewers".*number/],
    [path({ whep: 80 }), /"whep".*object/],
    [path({ source: ['pattern'] }), /"source".*text/],
    [path('{"source":'), /not JSON/],
    [path('[]'), /one JSON object/],
    [['--config', join(folder, 'missing.json')], /missing\.json cannot be read/],
    [['--server', 'http://example.org'], /"server\.url" \(--server\)/],
    [['--server', 'example.org'], /"server\.url" \(--server\)/],
    [['--whep-port', '80x'], /"whep\.port" \(--whep-port\).*number/],
    [['--whep-port', '70000'], /"whep\.port"/],
    [['--name', ''], /"name"/],
    [['--name', 'x'.repeat(65)], /"name".*64/],
    [['--max-viewers', '0'], /"maxViewers".*1 to 100/],
    [['--stun', 'nowhere'], /"iceServers".*host:port/],
    [['--log-level', 'loud'], /"log\.level"/],
    [['--sauce', 'pattern'], /--sauce/],
    [['--source'], /--source needs a value/],
    [[], /"maxViewers" \(PEERCAM_MAX_VIEWERS\)/, { PEERCAM_MAX_VIEWERS: 'many' }],
  ];
  for (const [given, words, env] of cases) {
    const args = typeof given === 'function' ? given() : given;
    const { status, stdout, stderr } = run(args, env);
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, words);
    assert.match(stderr, /^peercamd: .*\n$/, 'one line, no stack');
    assert.equal(stdout, '');
  }
});

test('what only shows later ends it with status 1 and words', () => {
  const state = ['--state', join(folder, 'state')];
  const cases: [readonly string[], RegExp, Record<string, string>?][] = [
    [['--state', '/proc/nowhere', '--source', 'pattern'], /cannot be saved in \/proc\/nowhere.*--state/],
    [[...state, '--source', 'webcam'], /"webcam".*v4l2:/],
    [[...state, '--source', 'pattern', '--whep-port', '0'], /whep\.token is too short/],
    [[...state, '--source', 'pattern', '--whep-port', '0'], /whep\.token/, { PEERCAM_WHEP_TOKEN: 'canary-secret' }],
  ];
  for (const [args, words, env] of cases) {
    const { status, stderr } = run(args, env);
    assert.equal(status, 1, stderr);
    assert.match(stderr, words);
    assert.ok(!stderr.includes('canary-secret'));
  }
});

test('a key that was damaged is not silently replaced: the camera would become another one', () => {
  const state = join(folder, 'damaged');
  run(['--state', state, '--source', 'webcam']);
  writeFileSync(join(folder, 'device-key.pem'), 'not a key');
  const { status, stderr } = run(['--state', folder, '--source', 'pattern']);
  assert.equal(status, 1);
  assert.match(stderr, /device-key\.pem cannot be used.*another UID/);
});

test('--help explains every flag to a newcomer and mentions no secret flag', () => {
  const { status, stdout } = run(['--help']);
  assert.equal(status, 0);
  for (const flag of ['--server', '--state', '--source', '--name', '--whep-port', '--stun', '--config']) {
    assert.ok(stdout.includes(flag), flag);
  }
  assert.match(stdout, /v4l2:\/dev\/video0/);
  assert.ok(!stdout.includes('--whep-token'), 'a token on the command line is seen by every user of the machine');
});

test.run();
