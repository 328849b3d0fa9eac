import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { suite } from 'uvu';
import { serveEnrolment } from '#identity/enrolment.ts';
import { frameOf, jsonInLine } from '#identity/enrolment-frame.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { FactoryNvmem } from '#identity/factory-nvmem.ts';
import { openFactoryStore, uidFromDeviceTree } from '#identity/factory-spec.ts';
import type { FactoryData, FactoryStore } from '#identity/factory-store.ts';
import { AppError } from '#lib/error.ts';
import { TestFactory } from '../support/factory.ts';
import { temporaryFolder } from '../support/product.ts';

const test = suite('factory data');
let factory: TestFactory;
let folder: { path: string; remove: () => Promise<void> };
/** A provisioned board, and a second one. */
let whole: FactoryData;
let other: FactoryData;

test.before(async () => {
  factory = await TestFactory.create();
  folder = await temporaryFolder('damage');
  await factory.board(at('whole'));
  await factory.board(at('other'));
  whole = (await new FactoryDirectory(at('whole')).read()) as FactoryData;
  other = (await new FactoryDirectory(at('other')).read()) as FactoryData;
});
test.after(async () => {
  await folder.remove();
  await factory.remove();
});

test('a folder: every file damaged in turn is named, and its field', async () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
  const board = JSON.parse(await readFile(at('whole/board.json'), 'utf8'));
  const withBoard = (change: object) => JSON.stringify({ ...board, ...change });
  const corpus: [string, string | Buffer | undefined, RegExp][] = [
    ['device-key.pem', '', /device-key\.pem is not a private key/],
    ['device-key.pem', 'hello', /device-key\.pem is not a private key/],
    ['device-key.pem', Buffer.alloc(4096, 0xff), /device-key\.pem is not a private key/],
    ['device-key.pem', whole.privateKeyPem.slice(0, 120), /device-key\.pem is not a private key/],
    ['device-key.pem', String(p384), /device-key\.pem is not a P-256 key/],
    ['device-key.pem', other.privateKeyPem, /board\.json, field "uid", is .* but the private key there gives/],
    ['device-key.pem', undefined, /board\.json, field "uid", names a UID, but the private key is missing/],
    ['device.crt', '', /device\.crt holds no PEM certificate/],
    ['device.crt', whole.certificatePem.slice(0, 300), /device\.crt holds no PEM certificate/],
    ['device.crt', whole.certificatePem.replace('MII', 'MAA'), /device\.crt holds a certificate that cannot be read/],
    ['device.crt', other.certificatePem, /device\.crt is not made for this board's private key/],
    ['device.crt', factory.rootPem, /device\.crt is not made for this board's private key/],
    ['setup-code', '', /setup-code is not a setup code/],
    ['setup-code', `${whole.setupCode}0`, /setup-code is not a setup code/],
    ['setup-code', 'UUUUUUUUUUUUUUUU', /setup-code is not a setup code/],
    ['board.json', '{', /board\.json cannot be used .*not JSON/],
    ['board.json', '[]', /board\.json/],
    ['board.json', withBoard({ uid: undefined }), /board\.json, field "uid"/],
    ['board.json', withBoard({ uid: 7 }), /board\.json, field "uid"/],
    ['board.json', withBoard({ uid: '0' }), /board\.json, field "uid", is not a UID/],
    ['board.json', withBoard({ uid: other.uid }), /board\.json, field "uid", is /],
    ['board.json', withBoard({ model: 7 }), /board\.json, field "model"/],
    ['board.json', withBoard({ model: '' }), /board\.json, field "model", is not 1 to 64/],
    ['board.json', withBoard({ model: 'a\nb' }), /board\.json, field "model", is not 1 to 64/],
    ['board.json', withBoard({ hardwareRevision: 'x'.repeat(65) }), /board\.json, field "hardwareRevision"/],
    ['board.json', `{"uid":"${'x'.repeat(5000)}"}`, /board\.json cannot be used .*bytes long/],
  ];
  for (const [name, content, expected] of corpus) {
    await copy('whole', 'damaged');
    await rm(at(`damaged/${name}`));
    if (content !== undefined) await writeFile(at(`damaged/${name}`), content);
    await assertDamaged(new FactoryDirectory(at('damaged')), expected);
  }
});

test('a memory: every single bit that flips is noticed, and every cut', async () => {
  const store = new FactoryNvmem(at('nvmem.bin'));
  await store.write(whole);
  assert.deepEqual(normal(await store.read()), normal(whole));
  const bytes = await readFile(at('nvmem.bin'));
  assert.ok(bytes.length <= 2048, `${bytes.length} bytes fit a 16 kbit EEPROM`);
  for (let bit = 0; bit < bytes.length * 8; bit += bit < 200 ? 1 : 37) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    await writeFile(at('flipped.bin'), flipped);
    await assertDamaged(new FactoryNvmem(at('flipped.bin')), /flipped\.bin/);
  }
  for (let length = 1; length < bytes.length; length += 13) {
    await writeFile(at('cut.bin'), bytes.subarray(0, length));
    await assertDamaged(new FactoryNvmem(at('cut.bin')), /cut\.bin/);
  }
});

test('a memory that is erased, or larger than needed', async () => {
  for (const [name, content] of Object.entries({
    zeros: Buffer.alloc(2048),
    ones: Buffer.alloc(2048, 0xff),
    empty: '',
  })) {
    await writeFile(at(name), content);
    assert.equal(await new FactoryNvmem(at(name)).read(), undefined, name);
    await new FactoryNvmem(at(name)).write(whole);
    assert.deepEqual(normal(await new FactoryNvmem(at(name)).read()), normal(whole), name);
  }
  assert.equal(await new FactoryNvmem(at('missing')).read(), undefined);
});

test('a memory keeps what is not written anew, and a new key forgets the old identity', async () => {
  const store = new FactoryNvmem(at('parts.bin'));
  await store.write(whole);
  await store.write({ hardwareRevision: 'Z' });
  assert.equal((await store.read())!.hardwareRevision, 'Z');
  await store.write({ uid: other.uid, privateKeyPem: other.privateKeyPem });
  assert.deepEqual(Object.keys((await store.read())!).sort(), ['privateKeyPem', 'uid']);
});

test('a folder: the same; a power cut between its files leaves an incomplete board, never a mixed one', async () => {
  await copy('whole', 'parts');
  const store = new FactoryDirectory(at('parts'));
  await store.write({ hardwareRevision: 'Z' });
  assert.equal((await store.read())!.hardwareRevision, 'Z');
  await writeFile(at('parts/device-key.pem.0123456789ab.new'), 'half a k');
  await store.write({ uid: other.uid, privateKeyPem: other.privateKeyPem });
  assert.deepEqual(Object.keys((await store.read())!).sort(), ['privateKeyPem', 'uid']);
  await assert.rejects(readFile(at('parts/device-key.pem.0123456789ab.new')), /ENOENT/);
  assert.equal(await new FactoryDirectory(at('nothing')).read(), undefined);
});

test('what cannot be written says what to do', async () => {
  const cases: [FactoryStore, RegExp][] = [
    [new FactoryDirectory(at('no/such/place')), /does not exist: make it, or mount/],
    [new FactoryDirectory('/proc/factory'), /cannot be written to \/proc\/factory/],
    [new FactoryNvmem('/proc/version'), /cannot be written to \/proc\/version/],
    [new FactoryNvmem('/dev/full'), /It must hold \d+ bytes: take a larger memory/],
  ];
  for (const [store, expected] of cases) {
    await assert.rejects(store.write(whole), (error: AppError) => {
      assert.equal(error.code, 'factory.not-written', error.message);
      assert.match(error.message, expected);
      return true;
    });
  }
});

test('the UID in the serial number: what belongs to another board is refused, other serial numbers are not UIDs', async () => {
  await writeFile(at('mine'), `${whole.uid}\0`);
  await writeFile(at('theirs'), `${other.uid}\0`);
  await writeFile(at('pi'), '10000000abcdef01\0');
  assert.equal(await uidFromDeviceTree(at('mine')), whole.uid);
  assert.equal(await uidFromDeviceTree(at('pi')), undefined);
  assert.equal(await uidFromDeviceTree(at('none')), undefined);
  for (const serialNumber of [at('mine'), at('pi'), at('none')]) {
    assert.equal((await openFactoryStore(at('whole'), { serialNumber }).read())!.uid, whole.uid);
  }
  const wrong = openFactoryStore(`dir:${at('whole')}`, { serialNumber: at('theirs') });
  await assert.rejects(wrong.read(), { code: 'factory.wrong-board' });
  await assert.rejects(wrong.write(whole), { code: 'factory.wrong-board' });
});

test('names of stores', () => {
  assert.equal(openFactoryStore('/factory').description, '/factory');
  assert.equal(openFactoryStore('dir:/factory').description, '/factory');
  assert.equal(openFactoryStore('nvmem:/sys/x').description, 'nvmem /sys/x');
  for (const spec of ['', 'dir:', 'tpm:/x', 'nvmem:', 'a\0b']) {
    assert.throws(() => openFactoryStore(spec), { code: 'factory.bad-spec' }, spec);
  }
});

test("a board's console: nonsense is answered with an error or not at all, and the next question is heard", async () => {
  const ask = (question: object) => frameOf({ id: '00000000', ...question });
  const nonsense = [
    'root@board:~# \n',
    '@peercam \n',
    '@peercam {} 00000000\n',
    '@peercam {"ask":"describe","id":"00000001"} deadbeef\n',
    frameOf([] as unknown as object),
    frameOf({ ask: 'describe' }),
    frameOf({ ask: 'describe', id: '../../etc' }),
    frameOf({ answer: '00000001', result: {} }),
    ask({ ask: 'reboot' }),
    ask({ ask: 'enroll', replace: 'yes' }),
    ask({ ask: 'install', certificatePem: 'x', model: 'M', hardwareRevision: 'A' }),
    ask({ ask: 'install', certificatePem: 'x'.repeat(3300), model: 'M', hardwareRevision: 'A' }),
    ask({ ask: 'install', certificatePem: whole.certificatePem, model: 'a\nb', hardwareRevision: 'A' }),
    ask({ ask: 'challenge', caPem: 'x' }),
    ask({ ask: 'tls', data: '!' }),
    ask({ ask: 'tls', data: 'AAAA' }),
    ask({ ask: 'read-back' }),
    `${'x'.repeat(100_000)}\n`,
  ];
  for (const line of nonsense) {
    const input = new PassThrough();
    const output = new PassThrough();
    let said = '';
    output.on('data', (text) => {
      said += text;
    });
    const served = serveEnrolment({ input, output, store: new FactoryDirectory(at('fresh')) });
    input.write(line);
    input.end(frameOf({ ask: 'describe', id: 'ffffffff' }));
    await served;
    const answers = said
      .trimEnd()
      .split('\n')
      .map((text) => JSON.parse(jsonInLine(text)!));
    assert.equal(answers.at(-1).result.state, 'empty', line.slice(0, 80));
    for (const answer of answers.slice(0, -1)) assert.ok(answer.error, JSON.stringify(answer));
  }
});

test('a certificate that is not for the new key is not stored, and the old identity stays', async () => {
  await copy('whole', 'kept');
  const input = new PassThrough();
  const output = new PassThrough();
  let said = '';
  output.on('data', (text) => {
    said += text;
  });
  const served = serveEnrolment({ input, output, store: new FactoryDirectory(at('kept')) });
  input.write(frameOf({ ask: 'enroll', id: '00000001', replace: true }));
  const { certificatePem } = other;
  input.end(frameOf({ ask: 'install', id: '00000002', certificatePem, model: 'M', hardwareRevision: 'A' }));
  await served;
  assert.match(said, /is not made for this board's private key/);
  assert.deepEqual(await new FactoryDirectory(at('kept')).read(), whole);
  assert.ok(!said.includes('PRIVATE KEY'));
});

test.run();

function at(name: string): string {
  return `${folder.path}/${name}`;
}

async function copy(from: string, to: string): Promise<void> {
  await rm(at(to), { recursive: true, force: true });
  await cp(at(from), at(to), { recursive: true });
}

async function assertDamaged(store: FactoryStore, expected: RegExp): Promise<void> {
  await assert.rejects(store.read(), (error: AppError) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, 'factory.damaged');
    assert.match(error.message, expected);
    assert.ok(!error.message.includes(whole.setupCode), 'no secret in the message');
    return true;
  });
}

/** PEM differs in its line breaks only. */
function normal(data: Partial<FactoryData> | undefined): object {
  return {
    ...data,
    certificatePem: data?.certificatePem?.replace(/\s/g, ''),
    privateKeyPem: data?.privateKeyPem?.trim(),
  };
}
