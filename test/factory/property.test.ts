// time limit: 180 s
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import encodeQR from 'qr';
import decodeQR from 'qr/decode.js';
import { suite } from 'uvu';
import { layOutLabel } from '#factory/label-layout.ts';
import { labelSvg } from '#factory/label-svg.ts';
import { Ledger, type LedgerEntry, ledgerSchema } from '#factory/ledger.ts';
import { frameOf, jsonInLine, LineSplitter } from '#identity/enrolment-frame.ts';
import { areBoardWords } from '#identity/factory-check.ts';
import { labelAddress } from '#protocol/label.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { formatSetupCode, parseSetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import { formatUid, parseUid, uidFromKeyHash } from '#protocol/uid.ts';

const RUNS = { numRuns: 10_000 };
const test = suite('properties');

const uids = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(uidFromKeyHash);
const codes = fc.uint8Array({ minLength: 10, maxLength: 10 }).map(setupCodeFrom);
const words = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 64 }).filter(areBoardWords);
const hex = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''));
const entries: fc.Arbitrary<LedgerEntry> = fc.record(
  {
    uid: uids,
    serial: hex(32),
    fingerprint: hex(64),
    model: words,
    revision: words,
    at: fc
      .date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString()),
    station: words,
    board: fc.string({ minLength: 1, maxLength: 300 }),
  },
  { noNullPrototype: true },
);

test('setup codes: 80 random bits, typed back as people do', () => {
  fc.assert(
    fc.property(codes, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), (code, choices) => {
      assert.equal(code.length, 16);
      assert.equal(parseSetupCode(formatSetupCode(code)), code);
      assert.equal(parseSetupCode(asTyped(formatSetupCode(code), choices)), code);
      assert.equal(parseSetupCode(code.slice(1)), undefined);
    }),
    RUNS,
  );
});

test('setup codes lose no bit of their randomness', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 10, maxLength: 10 }), fc.nat(79), (random, bit) => {
      const other = Uint8Array.from(random);
      other[bit >> 3]! ^= 1 << (bit & 7);
      assert.notEqual(setupCodeFrom(random), setupCodeFrom(other));
    }),
    RUNS,
  );
});

test('UIDs: typed back as people do; every wrong or swapped character is noticed', () => {
  fc.assert(
    fc.property(
      uids,
      fc.infiniteStream(fc.integer({ min: 0, max: 3 })),
      fc.nat(19),
      fc.nat(19),
      fc.integer({ min: 1, max: 31 }),
      (uid, choices, place, other, shift) => {
        assert.equal(parseUid(asTyped(formatUid(uid), choices)), uid);
        const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
        const wrong = [...uid];
        wrong[place] = alphabet[(alphabet.indexOf(wrong[place]!) + shift) % 32]!;
        assert.equal(parseUid(wrong.join('')), undefined);
        const swapped = [...uid];
        [swapped[place], swapped[other]] = [swapped[other]!, swapped[place]!];
        if (swapped.join('') !== uid) assert.equal(parseUid(swapped.join('')), undefined);
      },
    ),
    RUNS,
  );
});

test('label addresses: everything secret stands behind the #, and comes out as it went in', () => {
  const hosts = fc.webUrl({ validSchemes: ['https'] });
  fc.assert(
    fc.property(hosts, uids, codes, (viewer, uid, code) => {
      const address = labelAddress(viewer, uid, code);
      const [sent, fragment, ...rest] = address.split('#');
      assert.equal(rest.length, 0);
      assert.equal(sent, new URL(viewer).href.split('#')[0]);
      const [readUid, readCode] = fragment!.split('.');
      assert.equal(parseUid(readUid!), uid);
      assert.equal(parseSetupCode(readCode!), code);
    }),
    RUNS,
  );
});

test('labels: text stays inside, whatever the model is called, and SVG stays XML', () => {
  const sizes = fc.record({ width: fc.integer({ min: 35, max: 120 }), height: fc.integer({ min: 18, max: 90 }) });
  const viewer = 'https://view.example.com/';
  fc.assert(
    fc.property(uids, codes, words, sizes, (uid, setupCode, model, size) => {
      const label = layOutLabel({ uid, setupCode, model, revision: 'A' }, { viewer, ...size });
      for (const text of label.texts) {
        const width = text.width ?? (text.style === 'caption' ? 0 : text.text.length * 0.62 * text.size);
        assert.ok(text.x + width <= size.width + 0.01, `"${text.text}" ends at ${text.x + width} of ${size.width}`);
        assert.ok(
          text.y <= size.height && text.y - text.size >= -0.01,
          `"${text.text}" stands at ${text.y} of ${size.height}`,
        );
      }
      const names = label.texts.filter(({ style }) => style === 'name').map(({ text }) => text);
      assert.equal(names.join('').replaceAll(' ', ''), model.replaceAll(' ', ''));
      const svg = labelSvg(label);
      assert.ok(!/<text[^>]*>[^<]*[<>&](?!#\d+;)[^<]*<\/text>/.test(svg.replace(/&#\d+;/g, '')));
      assert.equal(svg.match(/<text /g)!.length, label.texts.length);
    }),
    RUNS,
  );
});

test('labels: the drawn modules are the code of the address', () => {
  fc.assert(
    fc.property(uids, codes, (uid, setupCode) => {
      const viewer = 'https://view.example.com/';
      const { qr } = layOutLabel({ uid, setupCode, model: 'M', revision: 'A' }, { viewer, width: 60, height: 35 });
      const drawn = new Set(
        qr.runs.flatMap(({ column, row, length }) => Array.from({ length }, (_, i) => `${column + i},${row}`)),
      );
      const modules = encodeQR(labelAddress(viewer, uid, setupCode), 'raw', { ecc: 'medium', border: 1 });
      for (const [row, line] of modules.entries()) {
        for (const [column, dark] of line.entries()) assert.equal(drawn.has(`${column - 1},${row - 1}`), dark);
      }
    }),
    { numRuns: 1_000 },
  );
  // The encoder's own word for it is not enough.
  const { qr } = layOutLabel(
    { uid: parseUid(fc.sample(uids, 1)[0]!)!, setupCode: fc.sample(codes, 1)[0]!, model: 'M', revision: 'A' },
    { viewer: 'https://view.example.com/', width: 60, height: 35 },
  );
  assert.match(decodeQR(rasterOf(qr.runs)), /^https:\/\/view\.example\.com\/#[0-9A-Z]{20}\.[0-9A-Z]{16}$/);
});

test('ledger lines: one line, and back as they were', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const line = JSON.stringify(entry);
      assert.ok(!line.includes('\n'));
      assert.deepEqual(parseJsonAs(ledgerSchema, line, 'ledger', 4096), entry);
    }),
    RUNS,
  );
});

test('a ledger cut off at any byte keeps every whole line and loses only the torn one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'peercam-ledger-'));
  const path = join(folder, 'ledger.jsonl');
  const [a, b, c] = fc.sample(entries, 3) as [LedgerEntry, LedgerEntry, LedgerEntry];
  const whole = Buffer.from(`${[a, b].map((entry) => JSON.stringify(entry)).join('\n')}\n`);
  for (let length = 0; length <= whole.length; length++) {
    await writeFile(path, whole.subarray(0, length));
    const ledger = await Ledger.open(folder);
    const kept = whole.subarray(0, length).filter((byte) => byte === 0x0a).length;
    assert.deepEqual(ledger.entries, [a, b].slice(0, kept));
    await ledger.add(c);
    await ledger.close();
    const lines = (await readFile(path, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(lines, [...[a, b].slice(0, kept), c]);
  }
  await rm(folder, { recursive: true, force: true });
});

test('frames come through a console: whole, in any pieces, with anything printed between them', () => {
  const messages = fc.record(
    { ask: fc.string({ maxLength: 100 }), data: fc.string({ unit: 'binary', maxLength: 300 }) },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(
      fc.array(messages, { maxLength: 5 }),
      fc.string({ maxLength: 200 }),
      fc.integer({ min: 1, max: 50 }),
      (sent, noise, piece) => {
        const clean = noise.replaceAll('\n', ' ');
        const bytes = Buffer.from(sent.map((message) => `${clean}${frameOf(message)}${clean}\r\n`).join(''), 'latin1');
        const splitter = new LineSplitter();
        const got: unknown[] = [];
        for (let at = 0; at < bytes.length; at += piece) {
          for (const line of splitter.push(bytes.subarray(at, at + piece))) {
            const json = jsonInLine(line);
            if (json !== undefined) got.push(JSON.parse(json));
          }
        }
        assert.deepEqual(got, sent);
      },
    ),
    { numRuns: 5_000 },
  );
});

test('a frame with any one character changed, lost or added is no frame', () => {
  const frames = fc
    .record({ ask: fc.string({ maxLength: 30 }), id: hex(16) })
    .map((message) => frameOf(message).trimEnd());
  fc.assert(
    fc.property(
      frames,
      fc.nat(),
      fc.integer({ min: 32, max: 126 }),
      fc.constantFrom('change', 'lose', 'add'),
      (frame, at, code, how) => {
        const place = '@peercam '.length + (at % (frame.length - '@peercam '.length));
        const character = String.fromCharCode(code);
        const rest = frame.slice(how === 'add' ? place : place + 1);
        const damaged = frame.slice(0, place) + (how === 'lose' ? '' : character) + rest;
        if (damaged !== frame) assert.equal(jsonInLine(damaged), undefined, damaged);
      },
    ),
    RUNS,
  );
});

test.run();

/** Groups, spaces, lower case, and the letters people write for 0 and 1. */
function asTyped(text: string, choices: fc.Stream<number>): string {
  const alike: Record<string, string[]> = {
    '0': ['0', 'O', 'o', '0'],
    '1': ['1', 'I', 'l', 'i'],
    '-': ['-', ' ', '', '-'],
  };
  return [...text]
    .map((character) => {
      const choice = choices.next().value as number;
      return alike[character]?.[choice] ?? (choice & 1 ? character.toLowerCase() : character);
    })
    .join('');
}

function rasterOf(runs: readonly { column: number; row: number; length: number }[]) {
  const scale = 6;
  const modules = Math.max(...runs.map(({ column, length }) => column + length)) + 8;
  const width = modules * scale;
  const data = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const { column, row, length } of runs) {
    for (let y = (row + 4) * scale; y < (row + 5) * scale; y++) {
      for (let x = (column + 4) * scale; x < (column + length + 4) * scale; x++)
        data.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return { width, height: width, data };
}
