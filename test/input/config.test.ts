import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { TestFactory } from '../support/factory.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/peercamd.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'peercam-config-'));
const test = suite('configuration of peercamd from outside');

/** What the factory gave the board. */
const board = join(folder, 'factory');
let factory: TestFactory;

test.before(async () => {
  factory = await TestFactory.create();
  await factory.board(board);
});
test.after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await factory.remove();
});

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
    [['--button', 'event0'], /"button" \(--button\)/],
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

/** Settings with which it would start, but for what `over` says. */
function settings(over: readonly string[] = []): string[] {
  const own = ['--factory', `dir:${board}`, '--state', join(folder, 'state'), '--control', join(folder, 'c.sock')];
  return [...own, '--source', 'pattern', ...over];
}

test('what only shows later ends it with status 1 and words', () => {
  const nothing = join(folder, 'nothing');
  const empty = join(folder, 'empty.crt');
  writeFileSync(empty, 'no certificate');
  const cases: [readonly string[], RegExp, Record<string, string>?][] = [
    [['--state', '/proc/nowhere'], /state directory \/proc\/nowhere cannot be used.*--state/],
    [['--source', 'webcam'], /"webcam".*v4l2:/],
    [['--whep-port', '0'], /whep\.token is too short/],
    [['--whep-port', '0'], /whep\.token/, { PEERCAM_WHEP_TOKEN: 'canary-secret' }],
    [['--factory', `dir:${nothing}`], /no identity yet: .*nothing holds none.*peercam-factory provision.*--factory/],
    [['--factory', 'tape:/dev/st0'], /tape:\/dev\/st0/],
    [['--server-ca', nothing], /authority .*nothing cannot be used.*--server-ca/],
    [['--server-ca', empty], /empty\.crt.*no certificate.*--server-ca/],
  ];
  for (const [over, words, env] of cases) {
    const { status, stderr } = run(settings(over), env);
    assert.equal(status, 1, stderr);
    const said = stderr.split('\n').filter((line) => line.startsWith('peercamd: '));
    assert.equal(said.length, 1, stderr);
    assert.match(said[0]!, words);
    assert.ok(!stderr.includes('canary-secret'));
  }
});

test('factory data that were damaged are not silently replaced: the camera would become another one', () => {
  const other = join(folder, 'other');
  const damages: [name: string, content: string, words: RegExp][] = [
    ['device-key.pem', 'hunter2', /device-key\.pem/],
    ['device.crt', 'hunter2', /device\.crt/],
    ['setup-code', 'hunter2', /setup-code/],
    ['board.json', '{"uid":"hunter2"}', /board\.json, field "uid"/],
    ['board.json', '{', /board\.json/],
  ];
  for (const [name, content, words] of damages) {
    cpSync(board, other, { recursive: true });
    writeFileSync(join(other, name), content);
    const { status, stderr } = run(settings(['--factory', `dir:${other}`]));
    assert.equal(status, 1, stderr);
    assert.match(stderr, words);
    assert.match(stderr, /factory data of this board are damaged.*provision/);
    assert.ok(!stderr.includes('hunter2'), stderr);
    assert.equal(readFileSync(join(other, name), 'utf8'), content, 'nothing is mended behind one’s back');
    rmSync(other, { recursive: true });
  }
});

test('a damaged operational key ends it, and the words say that deleting it does no harm', () => {
  const state = join(folder, 'damaged');
  mkdirSync(state);
  writeFileSync(join(state, 'operational-key.pem'), 'not a key');
  const { status, stderr } = run(settings(['--state', state]));
  assert.equal(status, 1, stderr);
  assert.match(stderr, /operational-key\.pem cannot be used.*delete it/);
});

test('--help explains every flag to a newcomer and mentions no secret flag', () => {
  const { status, stdout } = run(['--help']);
  assert.equal(status, 0);
  for (const flag of [
    '--server',
    '--server-ca',
    '--factory',
    '--state',
    '--control',
    '--source',
    '--name',
    '--whep-port',
    '--button',
    '--config',
  ]) {
    assert.ok(stdout.includes(flag), flag);
  }
  assert.match(stdout, /v4l2:\/dev\/video0/);
  assert.ok(!stdout.includes('--whep-token'), 'a token on the command line is seen by every user of the machine');
});

test.run();
