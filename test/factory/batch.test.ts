// time limit: 300 s
import assert from 'node:assert/strict';
import { appendFile, readdir, readFile, stat, truncate } from 'node:fs/promises';
import { suite } from 'uvu';
import { isComplete } from '#identity/factory-check.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { until } from '../support/wait.ts';
import { TestLine, tool } from './line.ts';

const BOARDS = 60;
const KILLS = 15;

const test = suite('batch');
let line: TestLine;

test.before(async () => {
  line = await TestLine.create();
  await line.good('init-ca', line.path('ca'));
});
test.after(() => line.remove());

test('a hundred boards, each with a TLS handshake of its own, and their sheet', async () => {
  await line.good('batch', ...boards('first', 100), ...line.station('first'));
  await assertWhole('first', 100);
  const pdf = line.path('labels.pdf');
  await line.good('label', line.path('first'), '--viewer', 'https://view.example.com/', '--pdf', pdf);
  assert.match((await tool('pdfinfo', [pdf])).output, /Pages:\s+5\n(?:.*\n)*.*A4/);
});

test(`killed ${KILLS} times at random moments: in the end every board once, nothing torn`, async () => {
  const args = ['batch', ...boards('killed', BOARDS), ...line.station('killed')];
  const progress: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const before = await size();
    const run = line.start(args);
    const began = async () => !run.running || (await size()) > before;
    await until('the batch goes on', began, 30_000);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 150));
    await run.kill();
    progress.push((await ledger('killed')).length);
  }
  console.log(`    ledger lines after each kill: ${progress.join(' ')}`);
  assert.ok(progress[0]! < BOARDS, 'the kills came while there was work');
  const stdout = await line.good(...args);
  assert.match(stdout, new RegExp(`^${BOARDS} boards in .*0 failed`));
  await assertWhole('killed', BOARDS);
  assert.match(await line.good(...args), new RegExp(`0 new, 0 finished.*${BOARDS} done before`));
});

test('a bar on a terminal, plain lines elsewhere', async () => {
  const words = ['batch', ...boards('bar', 5), ...line.station('bar')].map((word) => `'${word}'`).join(' ');
  const { code, output } = await tool('script', ['-qec', `${line.command} ${words}`, '/dev/null']);
  assert.equal(code, 0, output);
  assert.match(output, /█{30} 5\/5 {2}[\d.]+ boards\/s/);
  const { stderr } = await line.run('batch', ...boards('bar', 5), ...line.station('bar'));
  assert.deepEqual(stderr.trimEnd().split('\n'), [
    '1 of 5 boards',
    '2 of 5 boards',
    '3 of 5 boards',
    '4 of 5 boards',
    '5 of 5 boards',
  ]);
});

test('a power cut between certificate and ledger: the next run finishes the board, and makes no other of it', async () => {
  await line.good('batch', ...boards('cut', 3), ...line.station('cut'));
  const lines = await ledger('cut');
  const uids = await uidsOf('cut');
  const file = line.path('cut', 'ledger.jsonl');
  // The last board's line and label never reached the disk, and half of the line before it is left.
  await truncate(file, Buffer.byteLength(`${lines[0]}\n${lines[1]!.slice(0, 70)}`));
  const stdout = await line.good('batch', ...boards('cut', 3), ...line.station('cut'));
  assert.match(stdout, /0 new, 2 finished that an earlier run began, 1 done before/);
  assert.deepEqual(await uidsOf('cut'), uids);
  await assertWhole('cut', 3);
});

test('a ledger that somebody changed stops the line, and says where', async () => {
  await line.good('batch', ...boards('edited', 2), ...line.station('edited'));
  const file = line.path('edited', 'ledger.jsonl');
  const [first] = await ledger('edited');
  const again = ['batch', ...boards('edited', 3), ...line.station('edited')];

  await appendFile(file, `${first}\n`);
  assert.match((await line.run(...again)).stderr, /ledger\.jsonl, line 3: .* stands there a second time/);
  await truncate(file, (await stat(file)).size - first!.length - 1);

  await appendFile(file, `${first!.replace(/"uid":"...../, '"uid":"00000')}\n`);
  assert.match((await line.run(...again)).stderr, /ledger\.jsonl, line 3: ledger: field "uid": a UID/);
});

test.run();

function boards(name: string, count: number): string[] {
  return ['--count', `${count}`, '--boards', `sim:${line.path(`${name}-boards`)}`];
}

/** N boards, each complete and different, each with one whole ledger line and one label. */
async function assertWhole(name: string, count: number): Promise<void> {
  const lines = (await ledger(name)).map((text) => JSON.parse(text) as { uid: string; board: string });
  assert.equal(lines.length, count);
  const uids = await uidsOf(name);
  assert.equal(new Set(uids).size, count);
  assert.deepEqual(new Set(lines.map(({ uid }) => uid)), new Set(uids));
  const labels = (await readdir(line.path(name, 'labels'))).filter((file) => file.endsWith('.json'));
  for (const uid of uids) assert.ok(labels.includes(`${uid}.json`), `${uid} has its label`);
  const signed = (await readFile(line.path('ca', 'line', 'signed.jsonl'), 'utf8')).trimEnd().split('\n');
  const signedUids = signed.map((text) => (JSON.parse(text) as { uid: string }).uid);
  assert.equal(new Set(signedUids).size, signedUids.length, 'no UID was signed twice');
}

async function uidsOf(name: string): Promise<string[]> {
  const folder = line.path(`${name}-boards`);
  const names = (await readdir(folder)).sort();
  return Promise.all(
    names.map(async (board) => {
      const data = await new FactoryDirectory(`${folder}/${board}`).read();
      assert.ok(isComplete(data), `${board} is complete`);
      return data.uid;
    }),
  );
}

async function ledger(name: string): Promise<string[]> {
  const text = await readFile(line.path(name, 'ledger.jsonl'), 'utf8').catch(() => '');
  return text.split('\n').filter((entry) => entry.endsWith('}'));
}

/** Bytes that the CA's list has grown to: it is the first to grow when a board is made. */
async function size(): Promise<number> {
  return (await stat(line.path('ca', 'line', 'signed.jsonl')).catch(() => ({ size: 0 }))).size;
}
