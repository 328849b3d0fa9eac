// time limit: 240 s
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TlsOptions } from 'node:tls';
import { suite } from 'uvu';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { formatSetupCode } from '#protocol/setup-code.ts';
import { formatUid } from '#protocol/uid.ts';
import { freePort, Mosquitto } from '../support/mosquitto.ts';
import { canConnect, until } from '../support/wait.ts';
import { TestLine, tool } from './line.ts';
import { crop, pageOf, readQr, svgPicture } from './picture.ts';

const VIEWER = 'https://view.example.com/';
const test = suite('peercam-factory');
let line: TestLine;

test.before(async () => {
  line = await TestLine.create();
  await line.good('init-ca', line.path('ca'), '--name', 'Acme "Cameras", Ltd + Co');
});
test.after(() => line.remove());

test('--help explains the program and every command, with an example each', async () => {
  const help = await line.good('--help');
  const commands = [...help.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map((match) => match[1]!);
  assert.deepEqual(commands, ['init-ca', 'server-cert', 'provision', 'batch', 'label', 'revoke']);
  for (const command of commands) {
    const text = await line.good(command, '--help');
    assert.match(text, new RegExp(`^Usage: peercam-factory ${command} `));
    assert.match(text, /\nExamples?\n {2}peercam-factory /);
  }
});

test('wrong command lines say what is wrong, and end with 2', async () => {
  const cases: [string[], RegExp][] = [
    [['provison'], /no command "provison".*init-ca/],
    [['init-ca'], /something is missing: init-ca DIR/],
    [['init-ca', 'a', 'b'], /"b" is one word too many/],
    [['provision', '--board', 'local:x'], /--ca DIR is missing/],
    [['provision', '--bord', 'x'], /--bord/],
    [['batch', '--count', 'many', '--boards', 'sim:x', ...line.station()], /--count: expected a whole number/],
    [['batch', '--boards', 'sim:x', ...line.station()], /--count N is missing/],
    [['label', 'x', '--viewer', 'http://view.example.com', '--pdf', 'x.pdf'], /begins with https:\/\//],
    [['label', 'x', '--viewer', 'https://view.example.com/#x', '--pdf', 'x.pdf'], /without #/],
    [['label', 'x', '--viewer', VIEWER, '--pdf', 'x.pdf', '--rows', '20'], /too small to be read/],
    [['label', 'x', '--viewer', VIEWER], /give --pdf FILE, --svg DIR, or both/],
    [['revoke', line.path('ca'), 'ABC'], /"ABC" is not a UID/],
    [['server-cert', line.path('ca'), '--host', 'a b'], /neither a host name nor an IP address/],
  ];
  for (const [args, expected] of cases) {
    const { code, stderr } = await line.run(...args);
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, expected);
    assert.match(stderr, /--help` explains/);
  }
});

test('a CA: keys for their owner only, no end, never overwritten', async () => {
  assert.equal((await stat(line.path('ca', 'root', 'root.key'))).mode & 0o777, 0o400);
  assert.equal((await stat(line.path('ca', 'line', 'line.key'))).mode & 0o777, 0o400);
  assert.equal((await stat(line.path('ca', 'root'))).mode & 0o777, 0o700);
  const root = (await tool('openssl', ['x509', '-in', line.path('ca', 'factory-ca.crt'), '-noout', '-text'])).output;
  assert.match(root, /CA:TRUE, pathlen:1/);
  assert.match(root, /NIST CURVE: P-256/);
  assert.match(root, /Not After : Dec 31 23:59:59 9999 GMT/);
  const lineText = (await tool('openssl', ['x509', '-in', line.path('ca', 'line', 'line.crt'), '-noout', '-text']))
    .output;
  assert.match(lineText, /CA:TRUE, pathlen:0/);

  const before = await readFile(line.path('ca', 'root', 'root.key'));
  const again = await line.run('init-ca', line.path('ca'));
  assert.equal(again.code, 1);
  assert.match(again.stderr, /never overwritten/);
  assert.deepEqual(await readFile(line.path('ca', 'root', 'root.key')), before);

  await mkdir(line.path('mine'));
  await writeFile(line.path('mine', 'thesis.txt'), 'x');
  assert.match((await line.run('init-ca', line.path('mine'))).stderr, /is not empty/);
});

test('a CA that a power cut kept from being finished is made anew', async () => {
  await mkdir(line.path('cut-ca.unfinished', 'root'), { recursive: true });
  await writeFile(line.path('cut-ca.unfinished', 'root', 'root.key'), 'half a k');
  await line.good('init-ca', line.path('cut-ca'));
  assert.deepEqual(
    (await readdir(line.path())).filter((name) => name.startsWith('cut-ca')),
    ['cut-ca'],
  );
});

test('the line needs no root key', async () => {
  await line.good('init-ca', line.path('other-ca'));
  await tool('rm', ['-r', line.path('other-ca', 'root')]);
  const where = ['--ca', line.path('other-ca'), '--out', line.path('other-out'), '--model', 'M', '--revision', '1'];
  await line.good('provision', '--board', `local:${line.path('other-board')}`, ...where);
  const { uid } = (await new FactoryDirectory(line.path('other-board')).read())!;
  await line.good('revoke', line.path('other-ca'), uid!);
});

test('a board: certified for life, stored, in the ledger, its label kept for printing', async () => {
  const stdout = await line.good('provision', '--board', `local:${line.path('board')}`, ...line.station());
  const data = (await new FactoryDirectory(line.path('board')).read())!;
  assert.match(stdout, new RegExp(`The board is ${formatUid(data.uid!)} now`));
  assert.equal(data.model, 'Cam 1');
  assert.equal(data.hardwareRevision, 'B2');
  for (const name of await readdir(line.path('board'))) {
    assert.equal((await stat(line.path('board', name))).mode & 0o777, 0o400, name);
  }

  const text = (await tool('openssl', ['x509', '-in', line.path('board', 'device.crt'), '-noout', '-text'])).output;
  assert.match(text, new RegExp(`Subject: CN = ${data.uid}\n`));
  assert.match(text, /Not After : Dec 31 23:59:59 9999 GMT/);
  assert.match(text, /X509v3 Basic Constraints: critical\s+CA:FALSE/);
  assert.match(text, /X509v3 Key Usage: critical\s+Digital Signature\n/);
  assert.match(text, /X509v3 Extended Key Usage:\s+TLS Web Client Authentication\n/);
  assert.match(text, /Serial Number:\s+(?:[0-9a-f]{2}:){15}[0-9a-f]{2}\n/);
  const asn1 = (await tool('openssl', ['asn1parse', '-in', line.path('board', 'device.crt')])).output;
  assert.match(asn1, /GENERALIZEDTIME\s+:99991231235959Z/);
  assert.equal((await verify('board')).code, 0);

  const ledger = (await readFile(line.path('out', 'ledger.jsonl'), 'utf8')).trimEnd().split('\n');
  assert.equal(ledger.length, 1);
  const entry = JSON.parse(ledger[0]!);
  const certificate = new X509Certificate(data.certificatePem!);
  assert.equal(entry.uid, data.uid);
  assert.equal(entry.serial, certificate.serialNumber.toLowerCase());
  assert.equal(entry.fingerprint, certificate.fingerprint256.replaceAll(':', '').toLowerCase());
  for (const text of [stdout, ledger[0]!, await readFile(line.path('ca', 'line', 'signed.jsonl'), 'utf8')]) {
    assert.ok(!text.includes(data.setupCode!) && !text.includes(formatSetupCode(data.setupCode!)), 'no secret in it');
  }
  const label = line.path('out', 'labels', `${data.uid}.json`);
  assert.equal((await stat(label)).mode & 0o777, 0o600);
  assert.equal(JSON.parse(await readFile(label, 'utf8')).setupCode, data.setupCode);
});

test('a second run on it refuses and changes nothing; --replace makes another camera', async () => {
  const args = ['provision', '--board', `local:${line.path('board')}`, ...line.station()];
  const before = (await new FactoryDirectory(line.path('board')).read())!;
  const refused = await line.run(...args);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /provisioned already.*--replace/s);
  assert.deepEqual(await new FactoryDirectory(line.path('board')).read(), before);

  const stdout = await line.good(...args, '--replace');
  const after = (await new FactoryDirectory(line.path('board')).read())!;
  assert.notEqual(after.uid, before.uid);
  assert.notEqual(after.setupCode, before.setupCode);
  assert.match(stdout, new RegExp(`It was ${formatUid(before.uid!)} before`));
});

test('a copy of a board does not become a second board of that UID', async () => {
  await tool('cp', ['-r', line.path('board'), line.path('copy')]);
  const { code, stderr } = await line.run('provision', '--board', `local:${line.path('copy')}`, ...line.station());
  assert.equal(code, 1);
  assert.match(stderr, /which was made at .*its storage is a copy/s);
});

test('a board of another CA is refused', async () => {
  const { code, stderr } = await line.run(
    'provision',
    '--board',
    `local:${line.path('other-board')}`,
    ...line.station(),
  );
  assert.equal(code, 1);
  assert.match(stderr, /not by this CA/);
});

test('revoked boards are refused by OpenSSL, by Node and by Mosquitto; others are not', async () => {
  await line.good('provision', '--board', `local:${line.path('good')}`, ...line.station());
  await line.good('provision', '--board', `local:${line.path('bad')}`, ...line.station());
  const good = (await new FactoryDirectory(line.path('good')).read())!;
  const bad = (await new FactoryDirectory(line.path('bad')).read())!;
  assert.equal((await verify('bad')).code, 0, 'the list of a new CA is empty, and accepted');

  await line.good('revoke', line.path('ca'), formatUid(bad.uid!).toLowerCase());
  assert.match((await verify('bad')).output, /certificate revoked/);
  assert.equal((await verify('good')).code, 0);
  await line.good('revoke', line.path('ca'), bad.uid!);
  const crl = (await tool('openssl', ['crl', '-in', line.path('ca', 'line', 'root.crl'), '-noout', '-text'])).output;
  assert.match(crl, /No Revoked Certificates/);

  const files = await serverFiles();
  const lists = (await readFile(line.path('ca', 'revoked.crl'), 'utf8')).match(
    /-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----/g,
  )!;
  assert.equal(lists.length, 2);
  const node = createServer({
    ...files,
    ca: await readFile(line.path('ca', 'factory-ca.crt')),
    crl: lists,
    requestCert: true,
    rejectUnauthorized: true,
  });
  node.on('secureConnection', (socket) => socket.end('welcome'));
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
  const nodePort = (node.address() as AddressInfo).port;
  assert.equal(await greeting(nodePort, good, files.caPem), 'welcome');
  assert.equal(await greeting(nodePort, bad, files.caPem), '');
  node.close();

  const port = await freePort();
  const mosquitto = await Mosquitto.create([
    `listener ${port} 127.0.0.1`,
    `cafile ${line.path('ca', 'factory-ca.crt')}`,
    `crlfile ${line.path('ca', 'revoked.crl')}`,
    `certfile ${files.certFile}`,
    `keyfile ${files.keyFile}`,
    'require_certificate true',
  ]);
  try {
    await until('the TLS listener', () => canConnect(port));
    // MQTT 3.1.1: CONNECT as "x", answered by CONNACK with return code 0.
    const connectPacket = Buffer.from([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 30, 0, 1, 0x78]);
    assert.equal(await greeting(port, good, files.caPem, connectPacket), '\x20\x02\x00\x00');
    assert.equal(await greeting(port, bad, files.caPem, connectPacket), '');
  } finally {
    await mosquitto.remove();
  }
});

test('an unknown UID cannot be revoked, and the message says where to look', async () => {
  const { code, stderr } = await line.run(
    'revoke',
    line.path('other-ca'),
    (await new FactoryDirectory(line.path('good')).read())!.uid!,
  );
  assert.equal(code, 1);
  assert.match(stderr, /never signed a board with the UID/);
});

test('server-cert: an authority of its own, names and addresses, renewed by the same command', async () => {
  const host = ['--host', 'cameras.lan', '--host', '192.0.2.7', '--host', '2001:db8::7'];
  await line.good('server-cert', line.path('ca'), ...host);
  const file = line.path('ca', 'server-ca', 'cameras.lan.crt');
  const first = new X509Certificate(await readFile(file));
  assert.ok(first.checkHost('cameras.lan') && first.checkIP('192.0.2.7') && first.checkIP('2001:db8::7'));
  const ca = line.path('ca', 'server-ca', 'server-ca.crt');
  assert.equal((await tool('openssl', ['verify', '-purpose', 'sslserver', '-CAfile', ca, file])).code, 0);
  const asCamera = await tool('openssl', ['verify', '-CAfile', line.path('ca', 'factory-ca.crt'), file]);
  assert.notEqual(asCamera.code, 0, 'a server is no camera');
  const authority = await readFile(ca);
  await line.good('server-cert', line.path('ca'), ...host);
  assert.deepEqual(await readFile(ca), authority);
  assert.notEqual(new X509Certificate(await readFile(file)).serialNumber, first.serialNumber);
});

test('labels: SVG and PDF say in print what the QR code says, and the code reads as the viewer expects', async () => {
  const names = ['good', 'bad'];
  const boards = await Promise.all(names.map(async (name) => (await new FactoryDirectory(line.path(name)).read())!));
  const uids = boards.map(({ uid }) => uid!);
  const made = [
    'label',
    line.path('out'),
    ...uids,
    '--viewer',
    VIEWER,
    '--pdf',
    line.path('l.pdf'),
    '--svg',
    line.path('svg'),
  ];
  await line.good(...made, '--rows', '8', '--columns', '3', '--margin', '10');
  assert.equal((await stat(line.path('l.pdf'))).mode & 0o777, 0o600);
  const page = await pageOf(line.path('l.pdf'), 1);
  const perMm = 200 / 25.4;
  const text = (await tool('pdftotext', ['-layout', line.path('l.pdf'), '-'])).output;
  for (const [index, { uid, setupCode }] of boards.entries()) {
    const address = `${VIEWER}#${uid}.${setupCode}`;
    const [x, y, width, height] = [10 + (index * 190) / 3, 10, 190 / 3, 277 / 8].map((mm) => Math.round(mm * perMm));
    assert.equal(readQr(crop(page, x!, y!, width!, height!)), address);
    const svg = line.path('svg', `${uid}.svg`);
    assert.equal(readQr(await svgPicture(svg)), address);
    for (const printed of [formatUid(uid!), formatSetupCode(setupCode!)]) {
      const groups = printed.split('-');
      for (const group of groups) {
        assert.ok(text.includes(group), `${group} is printed in the PDF`);
        assert.ok((await readFile(svg, 'utf8')).includes(group), `${group} is printed in the SVG`);
      }
    }
    assert.ok(text.includes('Cam 1'));
  }
});

test('labels of boards whose data are gone are not invented', async () => {
  const { code, stderr } = await line.run(
    'label',
    line.path('nowhere'),
    '--viewer',
    VIEWER,
    '--pdf',
    line.path('n.pdf'),
  );
  assert.equal(code, 1);
  assert.match(stderr, /holds no labels/);
});

test('two programs do not write to one ledger', async () => {
  const batch = line.start([
    'batch',
    '--count',
    '400',
    '--boards',
    `sim:${line.path('sims')}`,
    ...line.station('busy'),
  ]);
  await until(
    'the batch is at work',
    async () => (await readdir(line.path('sims')).catch(() => [])).length > 0,
    30_000,
  );
  const { code, stderr } = await line.run(
    'provision',
    '--board',
    `local:${line.path('late')}`,
    ...line.station('busy'),
  );
  await batch.kill();
  assert.equal(code, 1);
  assert.match(stderr, /another peercam-factory is at work/);
});

test.run();

function verify(board: string): Promise<{ code: number; output: string }> {
  const chain = line.path(board, 'device.crt');
  const trust = [
    '-CAfile',
    line.path('ca', 'factory-ca.crt'),
    '-crl_check_all',
    '-CRLfile',
    line.path('ca', 'revoked.crl'),
  ];
  return tool('openssl', ['verify', '-purpose', 'sslclient', ...trust, '-untrusted', chain, chain]);
}

async function serverFiles() {
  await line.good('server-cert', line.path('ca'), '--host', 'localhost', '--host', '127.0.0.1');
  const [certFile, keyFile] = ['crt', 'key'].map((kind) => line.path('ca', 'server-ca', `localhost.${kind}`));
  const caPem = await readFile(line.path('ca', 'server-ca', 'server-ca.crt'), 'utf8');
  const options: TlsOptions = { cert: await readFile(certFile!), key: await readFile(keyFile!) };
  return { ...options, certFile, keyFile, caPem };
}

/** What a TLS server says to a board; nothing where it does not want it. */
function greeting(
  port: number,
  board: { certificatePem?: string; privateKeyPem?: string },
  caPem: string,
  first?: Buffer,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca: caPem,
      cert: board.certificatePem,
      key: board.privateKeyPem,
    });
    let said = '';
    if (first) socket.write(first);
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
      socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(said));
  });
}
