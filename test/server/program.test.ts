// time limit: 180 s
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { loadConfig } from '#config/load.ts';
import { schema, summary } from '#server/config.ts';
import { TestChild } from '../support/child.ts';
import { type ServerFiles, type TestBoard, TestFactory } from '../support/factory.ts';
import { closed } from '../support/mqtt-client.ts';
import { connectCamera, connectViewer } from '../support/server.ts';
import { canConnect, until } from '../support/wait.ts';

const PROGRAM = 'src/server/main.ts';
const LOOPBACK = ['--http-host', '127.0.0.1', '--mqtt-host', '127.0.0.1'];
/** Filled once the factory is there. */
const CERTIFICATES: string[] = [];
const anywhere = () => [...LOOPBACK, '--http-port', '0', '--mqtt-port', '0', ...CERTIFICATES];

const children: TestChild[] = [];
let folder: string;
let factory: TestFactory;
let certificate: ServerFiles;
let board: TestBoard;

const test = suite('the program peercam-server');

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peercam-server-'));
  factory = await TestFactory.create();
  certificate = await factory.serverCertificate();
  board = await factory.board(join(folder, 'board'));
  CERTIFICATES.push('--tls-cert', certificate.certFile, '--tls-key', certificate.keyFile);
  CERTIFICATES.push('--cameras-ca', factory.rootFile);
});
test.after(async () => {
  await factory.remove();
  await rm(folder, { recursive: true });
});
test.after.each(async () => {
  for (const child of children.splice(0)) await child.remove();
});

function run(args: string[], env: NodeJS.ProcessEnv = {}): TestChild {
  const child = new TestChild(PROGRAM, args, env);
  children.push(child);
  return child;
}

async function started(args = anywhere(), env: NodeJS.ProcessEnv = {}) {
  const child = run(args, env);
  const message = await until('ready', () => {
    if (!child.running) throw new Error(`it ended: ${child.stderr}`);
    return child.messages[0];
  });
  const { type, httpUrl, mqttUrl } = message as { type: string; httpUrl: string; mqttUrl: string };
  assert.equal(type, 'ready');
  return { child, httpUrl, mqttUrl };
}

test('help tells a newcomer what it is and how to use it', async () => {
  for (const flag of ['--help', '-h']) {
    const { code, stdout, stderr } = await run([flag]).ended();
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.match(stdout, /introduces viewers to cameras/);
    assert.match(stdout, /--http-port PORT\n[^-]*default: 8080;\s+environment:\s+PEERCAM_HTTP_PORT/);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 100, line);
  }
});

test('wrong settings are named, with where they came from; the exit code is 2', async () => {
  const file = async (content: string) => {
    const path = join(folder, `${Math.random()}.json`);
    await writeFile(path, content);
    return path;
  };
  const cases: [args: string[], env: NodeJS.ProcessEnv, message: RegExp][] = [
    [['--http-port', '80x'], {}, /field "http\.port" \(--http-port\): expected a number, got "80x"/],
    [['--http-port=99999'], {}, /field "http\.port" \(--http-port\): .*65535, got 99999/],
    [['--http-port'], {}, /--http-port needs a value/],
    [['--port', '80'], {}, /unknown argument "--port"/],
    [['80'], {}, /unknown argument "80"/],
    [['--log-level', 'loud'], {}, /field "log\.level".*fatal.*got "loud"/],
    [['--max-clients', '0'], {}, /field "limits\.clients".*at least 1/],
    [['--ice-servers', 'http://x'], {}, /field "viewer\.iceServers".*stun:host:port/],
    [['--turn', 'turn:x:1?transport=sctp'], {}, /field "turn\.urls".*turn:host:port/],
    [['--turn-ttl', '3600'], {}, /field "turn\.ttl".*60 to 600/],
    [['--turn-secret', 'x'], {}, /unknown argument "--turn-secret"/],
    [['--broker', 'http://x'], {}, /field "broker\.url".*mqtt:\/\/host:port/],
    [[], { PEERCAM_MQTT_PORT: 'many' }, /field "mqtt\.port" \(PEERCAM_MQTT_PORT\)/],
    [['--config', await file('{"http":{"prot":1}}')], {}, /field "http\.prot".*no such setting.*host, port/],
    [['--config', await file('{"http":{"port":"80"}}')], {}, /field "http\.port".*without quotes/],
    [['--config', await file('{"http":8080}')], {}, /field "http" .*expected an object/],
    [['--config', await file('{"http":')], {}, /is not JSON/],
    [['--config', '/nonexistent.json'], {}, /cannot be read/],
  ];
  for (const [argv, env, message] of cases) {
    const wrong = { name: 'AppError', code: 'config.invalid', message };
    assert.throws(() => loadConfig({ program: 'peercam-server', summary, schema, argv, env }), wrong);
  }
  const [argv, env, message] = cases[0]!;
  const { code, stderr } = await run(argv, env).ended();
  assert.equal(code, 2, stderr);
  assert.match(stderr, message);
  assert.equal(stderr.trim().split('\n').length, 1, stderr);
});

test('flags win over the environment, the environment over the file', async () => {
  const config = join(folder, 'good.json');
  const settings = {
    http: { host: '127.0.0.1', port: 0 },
    mqtt: { host: '127.0.0.1', port: 1 },
    log: { level: 'debug' },
  };
  await writeFile(config, JSON.stringify({ ...settings, viewer: { iceServers: ['stun:file:1'] } }));
  const env = { PEERCAM_MQTT_PORT: '0', PEERCAM_ICE_SERVERS: 'stun:env:1' };
  const { httpUrl } = await started(
    [...CERTIFICATES, '--config', config, '--ice-servers', 'stun:one:1,stun:two:2'],
    env,
  );
  const answer = (await (await fetch(`${httpUrl}/config.json`)).json()) as { iceServers: unknown };
  assert.deepEqual(answer.iceServers, [{ urls: 'stun:one:1' }, { urls: 'stun:two:2' }]);
});

test('a port that is taken is named, with the way out', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const host = [...LOOPBACK, ...CERTIFICATES];
  for (const [web, mqtt, flag] of [
    [port, 0, '--http-port'],
    [0, port, '--mqtt-port'],
  ]) {
    const { code, stderr } = await run([...host, '--http-port', `${web}`, '--mqtt-port', `${mqtt}`]).ended();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`port ${port} is taken .*${flag}`));
  }
  squatter.close();
});

test('what it cannot do without is named, with the way to get it', async () => {
  const broken = join(folder, 'broken.pem');
  await writeFile(broken, 'x');
  const tls = CERTIFICATES.slice(0, 4);
  const cases: [args: string[], env: NodeJS.ProcessEnv, message: RegExp][] = [
    [[], {}, /factory CA.*peercam-factory init-ca.*--cameras-ca/],
    [['--cameras-ca', factory.rootFile], {}, /certificate of its own.*peercam-factory server-cert.*--tls-cert/],
    [['--cameras-ca', '/nonexistent', ...tls], {}, /\/nonexistent \(--cameras-ca\) cannot be used/],
    [['--cameras-ca', broken, ...tls], {}, /--cameras-ca\) cannot be used: there is no certificate/],
    [[...CERTIFICATES, '--cameras-crl', broken], {}, /--cameras-crl\) cannot be used/],
    [[...CERTIFICATES, '--tls-key', broken], {}, /--tls-key\) cannot be used/],
    [[...CERTIFICATES.slice(2), '--tls-cert', ''], {}, /go together/],
    [[...CERTIFICATES, '--turn', 'turn:x:3478'], {}, /turn\.secret/],
    [[...CERTIFICATES, '--state', join(folder, 'no', 'where')], {}, /--state/],
  ];
  for (const [args, env, message] of cases) {
    const { code, stderr } = await run([...LOOPBACK, '--http-port', '0', '--mqtt-port', '0', ...args], env).ended();
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

test('tokens outlive a restart where there is a folder for their key, which only its owner reads', async () => {
  const state = join(folder, 'state');
  const keys: unknown[] = [];
  for (let i = 0; i < 2; i++) {
    const { child, httpUrl } = await started([...anywhere(), '--state', state]);
    keys.push(await (await fetch(`${httpUrl}/.well-known/jwks.json`)).json());
    await child.remove();
  }
  assert.deepEqual(keys[0], keys[1]);
  assert.equal((await stat(join(state, 'token-key.pem'))).mode & 0o777, 0o600);
});

test('SIGHUP reads the certificates again, and ends nothing', async () => {
  const { child, mqttUrl } = await started();
  const camera = await connectCamera({ mqttUrl, certificate }, board.folder);
  child.process.kill('SIGHUP');
  await until('read', () => child.stderr.includes('certificates read again'));
  assert.equal(camera.connected, true);
  await camera.endAsync();
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends it within 2 s, whoever is connected; exit code 0`, async () => {
    const { child, httpUrl, mqttUrl } = await started();
    const [web, mqtt] = [Number(new URL(httpUrl).port), Number(new URL(mqttUrl).port)];
    const camera = await connectCamera({ mqttUrl, certificate }, board.folder);
    const { client: viewer } = await connectViewer({ httpUrl, webSocketUrl: `${httpUrl.replace('http', 'ws')}/mqtt` });
    const [idle, halfway] = [connect(web, '127.0.0.1'), connect(web, '127.0.0.1')];
    for (const socket of [idle, halfway]) socket.on('error', () => {});
    halfway.write('GET / HTTP/1.1\r\nHost:');
    const silent = connect(mqtt, '127.0.0.1').on('error', () => {});
    await Promise.all([idle, halfway, silent].map((socket) => once(socket, 'connect')));
    const gone = [closed(camera), closed(viewer), ...[idle, halfway, silent].map(ended)];
    const asked = performance.now();
    child.process.kill(signal);
    const { code } = await child.ended();
    assert.equal(code, 0);
    assert.ok(performance.now() - asked < 2_000);
    await Promise.all(gone);
    assert.equal(await canConnect(web), false);
    assert.equal(await canConnect(mqtt), false);
  });
}

test('it does not outlive the program that started it', async () => {
  const { child } = await started();
  child.process.disconnect();
  const { code } = await child.ended();
  assert.equal(code, 0);
});

test('the log of a start is one line of JSON with both addresses', async () => {
  const { child, httpUrl, mqttUrl } = await started([...anywhere(), '--viewer-folder', join('test', 'support')]);
  const lines = child.stderr.trim().split('\n');
  assert.equal(lines.length, 1, child.stderr);
  const line = JSON.parse(lines[0]!) as Record<string, unknown>;
  assert.equal(line.httpUrl, httpUrl);
  assert.equal(line.mqttUrl, mqttUrl);
  assert.equal(child.stdout, '');
});

/** Closed, with a reset or without. */
function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

test.run();
