import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createPlainServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TlsOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { openBrokerStream, readAuthorities } from '#identity/server-trust.ts';
import { TrustedTime } from '#identity/trusted-time.ts';
import { AppError } from '#lib/error.ts';
import { silentLogger } from '#lib/logger.ts';
import { TestChild } from '../support/child.ts';
import { rejection } from '../support/rejection.ts';
import { until } from '../support/wait.ts';
import {
  CLIENT_AUTH,
  extension,
  makeCertificate,
  SERVER_AUTH,
  type TestCertificate,
  type Wish,
} from './certificates.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HELLO = 'CONNECT';
const folder = mkdtempSync(join(tmpdir(), 'peercam-trust-'));
const root = await makeCertificate({ name: 'Test Root', authority: true });
const device = await makeCertificate({ name: 'device', issuer: root, purposes: [CLIENT_AUTH] });
const test = suite('trust in the server');

test.after(() => rmSync(folder, { recursive: true }));

/** What a server shows, and what both kinds of check must say of it: `undefined` is trust. */
interface Case {
  readonly what: string;
  readonly refused?: RegExp;
  show(): Promise<Shown>;
}
interface Shown {
  readonly leaf: TestCertificate;
  readonly above?: readonly TestCertificate[];
}

const good: Wish = { name: 'server', issuer: root, hosts: ['localhost'], purposes: [SERVER_AUTH] };
const leafOf = async (change: Partial<Wish>): Promise<Shown> => ({
  leaf: await makeCertificate({ ...good, ...change }),
});
const through = async (middle: Partial<Wish>, change: Partial<Wish> = {}): Promise<Shown> => {
  const above = await makeCertificate({ name: 'Middle', issuer: root, pathLength: 0, ...middle });
  return { leaf: await makeCertificate({ ...good, issuer: above, ...change }), above: [above] };
};

const cases: Case[] = [
  { what: 'a certificate by a trusted authority', show: () => leafOf({}) },
  { what: 'one without any purpose named', show: () => leafOf({ purposes: undefined }) },
  { what: 'an RSA one', show: () => leafOf({ rsaBits: 2048 }) },
  { what: 'one through an intermediate', show: () => through({}) },
  { what: 'an expired one', refused: /expired/, show: () => leafOf({ notAfter: new Date(Date.now() - 6 * HOUR_MS) }) },
  {
    what: 'one through an expired intermediate',
    refused: /expired/,
    show: () => through({ notAfter: new Date(Date.now() - 6 * HOUR_MS) }),
  },
  {
    what: 'one of a foreign authority',
    refused: /no authority trusted here/,
    show: async () => {
      const issuer = await makeCertificate({ name: 'Foreign Root', authority: true });
      return { leaf: await makeCertificate({ ...good, issuer }), above: [issuer] };
    },
  },
  {
    what: "one of a foreign authority with the trusted one's name",
    refused: /no authority trusted here|forged/,
    show: async () => {
      const impostor = await makeCertificate({ name: 'Test Root', authority: true });
      return { leaf: await makeCertificate({ ...good, issuer: impostor }), above: [impostor] };
    },
  },
  {
    what: "one with the trusted authority's name and another signature",
    refused: /no authority trusted here|forged/,
    show: async () => leafOf({ forgedBy: await makeCertificate({ name: 'Thief', authority: true }) }),
  },
  { what: 'one for another host', refused: /somebody else/, show: () => leafOf({ hosts: ['other.example'] }) },
  { what: 'one for an address only', refused: /somebody else/, show: () => leafOf({ hosts: ['127.0.0.1'] }) },
  {
    what: 'a self-signed one',
    refused: /itself|no authority trusted here/,
    show: () => leafOf({ issuer: undefined }),
  },
  {
    what: 'one by an intermediate that is no authority',
    refused: /no authority/,
    show: () => through({ pathLength: undefined }),
  },
  {
    what: 'one by another server of the same authority',
    refused: /no authority/,
    show: () => through({ pathLength: undefined, hosts: ['localhost'], purposes: [SERVER_AUTH] }),
  },
  {
    what: 'one by an authority too far down',
    refused: /so far down/,
    show: async () => {
      const first = await makeCertificate({ name: 'First', issuer: root, pathLength: 0 });
      const second = await makeCertificate({ name: 'Second', issuer: first, pathLength: 0 });
      return { leaf: await makeCertificate({ ...good, issuer: second }), above: [second, first] };
    },
  },
  {
    what: "a camera's, from the same factory",
    refused: /not one of a server/,
    show: () => leafOf({ purposes: [CLIENT_AUTH] }),
  },
];

for (const { what, refused, show } of cases) {
  for (const clock of ['right', '1970'] as const) {
    test(`clock ${clock}: ${what} is ${refused ? 'refused before a byte is sent' : 'trusted'}`, async () => {
      const { heard, outcome } = await meet(await show(), clock === '1970' ? 0 : Date.now());
      if (refused) {
        assert.ok(outcome instanceof AppError, 'it was trusted');
        assert.equal(outcome.code, 'server.untrusted');
        assert.match(outcome.message, refused);
        assert.equal(heard, '');
      } else {
        assert.equal(outcome, undefined);
        assert.equal(heard, HELLO);
      }
    });
  }
}

test('clock 1970: conditions that are not understood, weak keys and weak signatures are refused', async () => {
  const unknown = extension('1.3.6.1.4.1.99999.1', true, new Uint8Array([5, 0]));
  // Excluded subtree: dNSName "elsewhere.example".
  const name = Buffer.from('elsewhere.example');
  const constraints = Buffer.concat([
    Buffer.from([0x30, name.length + 6, 0xa1, name.length + 4, 0x30, name.length + 2, 0x82, name.length]),
    name,
  ]);
  const constrained = extension('2.5.29.30', true, constraints);
  const bad: [Shown, RegExp][] = [
    [await leafOf({ extensions: [unknown] }), /critical extensions/],
    [await through({ extensions: [unknown] }), /not understood/],
    [await through({ extensions: [constrained] }), /not understood/],
    [await through({ purposes: [CLIENT_AUTH] }), /may not vouch for servers/],
    [await leafOf({ hash: 'SHA-1' }), /too weak/],
  ];
  for (const [shown, why] of bad) {
    const { outcome, heard } = await meet(shown, 0, { ciphers: 'DEFAULT@SECLEVEL=0' });
    assert.match(outcome?.message ?? 'trusted', why);
    assert.equal(heard, '');
  }
});

test('clock 1970: a certificate that begins after the floor moves the floor, one that ended before it stays expired', async () => {
  const floor = Date.UTC(2027, 0, 1);
  const time = await boardTime({ systemNow: () => 0, buildTime: floor });
  const later = new Date(Date.UTC(2028, 5, 1));
  const young = await leafOf({ notBefore: later, notAfter: new Date(later.getTime() + 90 * DAY_MS) });
  const oldRoot = await makeCertificate({
    name: 'Test Root 2',
    authority: true,
    notAfter: new Date(Date.UTC(2040, 0, 1)),
  });
  const inTime = {
    leaf: await makeCertificate({
      ...good,
      issuer: oldRoot,
      notBefore: later,
      notAfter: new Date(Date.UTC(2029, 0, 1)),
    }),
  };
  // The first one's root has ended by the time its leaf begins: they were never valid together.
  const refused = await meetWith(young, time);
  assert.match(refused.outcome?.message ?? 'trusted', /expired/);
  assert.ok(time.now() < later.getTime());

  const trusted = await meetWith(inTime, time, oldRoot.pem);
  assert.equal(trusted.outcome, undefined);
  assert.ok(time.now() >= later.getTime(), new Date(time.now()).toISOString());
  // What the server says of the time counts as far as its certificate reaches.
  time.authenticated(Date.UTC(2050, 0, 1));
  assert.equal(new Date(time.now()).getUTCFullYear(), 2029);

  const over = { leaf: await makeCertificate({ ...good, issuer: oldRoot, notAfter: new Date(Date.UTC(2028, 0, 1)) }) };
  const expired = await meetWith(over, time, oldRoot.pem);
  assert.match(expired.outcome?.message ?? 'trusted', /expired/);
});

test('a process that believes in 1970 (libfaketime) connects to the right server and to no other', async () => {
  const config = async (shown: Shown) => ({ ...tlsOptions(shown), port: 0 });
  const right = await listen(await config(await leafOf({})));
  const wrong = await listen(await config(await leafOf({ hosts: ['other.example'] })));
  const expired = await listen(await config(await leafOf({ notAfter: new Date(Date.now() - 20 * DAY_MS) })));
  const file = join(folder, 'board.json');
  writeFileSync(
    file,
    JSON.stringify({
      stateDir: folder,
      buildTime: Date.now() - 10 * DAY_MS,
      key: device.keyPem,
      certificate: device.pem,
      authorities: root.pem,
      ports: [right.port, wrong.port, expired.port],
    }),
  );
  const child = new TestChild(fileURLToPath(new URL('./board-in-1970.ts', import.meta.url)), [file], {
    LD_PRELOAD: libfaketime(),
    FAKETIME: '@1970-01-01 00:01:00',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  });
  const { code, stdout, stderr } = await child.ended();
  await Promise.all([right, wrong, expired].map(({ server }) => close(server)));
  assert.equal(code, 0, stderr);
  const { year, outcomes } = JSON.parse(stdout) as { year: number; outcomes: string[] };
  assert.equal(year, 1970);
  assert.equal(outcomes[0], 'trusted');
  assert.match(outcomes[1]!, /somebody else/);
  assert.match(outcomes[2]!, /expired/);
  assert.deepEqual([right.heard(), wrong.heard(), expired.heard()], [HELLO, '', '']);
});

test('a server that refuses the camera, closes at once or is silent is told apart', async () => {
  const other = await makeCertificate({ name: 'Other Factory', authority: true });
  const shown = await leafOf({});
  // Node's servers close without a word, OpenSSL's say why (TLS 1.3: after the client was through).
  const node = await listen({ ...tlsOptions(shown), requestCert: true, ca: [other.pem] });
  assert.equal((await refusalOf(node.port)).code, 'server.refuses-camera');
  await close(node.server);

  const openssl = await opensslServer({ shown, ca: other.pem });
  const refusal = await refusalOf(openssl.port);
  assert.equal(refusal.code, 'server.refuses-camera');
  assert.match(refusal.message, /unknown ca/i);
  openssl.stop();

  const rude = createPlainServer((socket) => socket.destroy());
  const rudePort = await portOf(rude);
  const closed = await rejection(connectTo(rudePort, await boardTime({})));
  assert.equal(closed.code, 'signalling.offline');
  rude.close();

  const silent = createPlainServer();
  const giveUp = new AbortController();
  const waiting = connectTo(await portOf(silent), await boardTime({}), root.pem, giveUp.signal);
  setTimeout(() => giveUp.abort(), 50);
  const given = await rejection(waiting);
  assert.match(given.message, /in time/);
  silent.close();
});

test('the file of authorities: none, a good one, one that is none', async () => {
  assert.equal(await readAuthorities(''), undefined);
  const path = join(folder, 'ca.pem');
  writeFileSync(path, root.pem);
  assert.equal(await readAuthorities(path), root.pem);
  writeFileSync(path, 'nothing');
  assert.match((await rejection(readAuthorities(path))).message, /no certificate.*--server-ca/);
  assert.match((await rejection(readAuthorities(`${path}.none`))).message, /ENOENT/);
});

test.run();

/** Debian puts it into a folder named after the architecture. */
function libfaketime(): string {
  const paths = readdirSync('/usr/lib').map((name) => `/usr/lib/${name}/faketime/libfaketime.so.1`);
  const found = paths.find((path) => existsSync(path));
  assert.ok(found, 'libfaketime is not installed');
  return found;
}

async function meet(shown: Shown, systemNow: number, extra: TlsOptions = {}) {
  const time = await boardTime({ systemNow: () => systemNow, buildTime: Date.now() - 3 * HOUR_MS });
  assert.equal(time.clockIsBehind, systemNow === 0);
  return meetWith(shown, time, root.pem, extra);
}

/** One connection to a server that shows this: how it ended, and what the server heard. */
async function meetWith(shown: Shown, time: TrustedTime, authorities = root.pem, extra: TlsOptions = {}) {
  const { server, port, heard } = await listen({ ...tlsOptions(shown), ...extra });
  let outcome: AppError | undefined;
  try {
    const stream = await connectTo(port, time, authorities);
    stream.end(HELLO);
    await until('the server heard', () => heard() === HELLO);
    stream.destroy();
  } catch (error) {
    outcome = error as AppError;
  }
  await close(server);
  return { outcome, heard: heard() };
}

function connectTo(port: number, time: TrustedTime, authorities = root.pem, signal = new AbortController().signal) {
  const url = `mqtts://localhost:${port}`;
  const options = { url, privateKeyPem: device.keyPem, certificatePem: device.pem, authorities, time };
  return openBrokerStream(options, signal);
}

/** How a connection ends that the server ends. */
async function refusalOf(port: number): Promise<AppError> {
  try {
    const stream = await connectTo(port, await boardTime({}));
    return await new Promise((resolve) => stream.once('error', (error) => resolve(error as AppError)));
  } catch (error) {
    return error as AppError;
  }
}

async function opensslServer({ shown, ca }: { shown: Shown; ca: string }) {
  const path = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const port = await freePort();
  const files = [
    '-key',
    path('s.key', shown.leaf.keyPem),
    '-cert',
    path('s.crt', shown.leaf.pem),
    '-CAfile',
    path('s.ca', ca),
  ];
  const child = spawn(
    'openssl',
    ['s_server', '-accept', `127.0.0.1:${port}`, ...files, '-Verify', '3', '-verify_return_error'],
    {
      stdio: ['pipe', 'pipe', 'ignore'],
    },
  );
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await until('openssl listens', () => said.includes('ACCEPT'));
  return { port, stop: () => child.kill() };
}

async function freePort(): Promise<number> {
  const server = createPlainServer();
  const port = await portOf(server);
  await close(server);
  return port;
}

function boardTime(options: { systemNow?: () => number; buildTime?: number }) {
  return TrustedTime.open({ stateDir: join(folder, 'none'), log: silentLogger, ...options });
}

function tlsOptions({ leaf, above = [] }: Shown): TlsOptions {
  return { key: leaf.keyPem, cert: [leaf, ...above].map(({ pem }) => pem).join('\n') };
}

async function listen(options: TlsOptions) {
  let heard = '';
  const server = createServer(options, (socket) => {
    socket.on('data', (chunk) => {
      heard += chunk;
    });
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  return { server, port: await portOf(server), heard: () => heard };
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, 'localhost', () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
