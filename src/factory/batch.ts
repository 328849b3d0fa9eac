import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AppError, errorText } from '#lib/error.ts';
import { type BoardSpec, parseBoardSpec } from './board-spec.ts';
import { type Command, usage } from './command.ts';
import { Progress } from './progress.ts';
import { Station } from './station.ts';
import { STATION_OPTIONS, stationOptions } from './station-options.ts';

const SOFTWARE_BOARDS = 'sim:';

/** `peercam-factory batch`: hundreds of boards. */
export const batch: Command = {
  name: 'batch',
  summary: 'give many boards their identity',
  description: [
    'Does what `provision` does, for many boards. --boards names a file with one board a line, as --board of `provision` takes them, ' +
      'lines with # left out; or sim:DIR for software boards, which are made in the folder DIR, to try everything out.',
    'It can be interrupted at any moment, by a power cut too: run the same command again and it goes on, until every board is finished. ' +
      'A board that fails does not stop the others; it is named at the end, and the exit code is 1.',
  ],
  words: '',
  count: { min: 0, max: 0 },
  options: {
    boards: { hint: 'FILE|sim:DIR', doc: 'Which boards.', required: true },
    count: { hint: 'N', doc: 'How many software boards (with sim:), or how many lines of the file, from its start.' },
    ...STATION_OPTIONS,
    parallel: { hint: 'N', doc: 'How many boards at a time.', default: '4' },
  },
  example: [
    'batch --count 100 --boards sim:boards --ca my-factory --out monday --model "Cam 1" --revision A',
    'batch --boards shelf.txt --ca my-factory --out monday --model "Cam 1" --revision A --parallel 8',
  ],
  async run(given) {
    const count = given.optional('count') === undefined ? undefined : given.number('count', { min: 1, max: 1_000_000 });
    const parallel = given.number('parallel', { min: 1, max: 64 });
    const boards = await boardsOf(given.text('boards'), count);
    const station = await Station.open(stationOptions(batch, given));
    try {
      await provisionAll(station, boards, parallel);
    } finally {
      await station.close();
    }
  },
};

async function provisionAll(station: Station, boards: readonly BoardSpec[], parallel: number): Promise<void> {
  const progress = new Progress({ total: boards.length, out: process.stderr });
  const startedAt = performance.now();
  const counts = { made: 0, finished: 0, done: 0 };
  const failed: string[] = [];
  const waiting = boards.values();
  const work = async () => {
    for (const board of waiting) {
      try {
        counts[(await station.provision(board, { replace: false })).what]++;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        failed.push(board.text);
        progress.say(`${board.text}: ${error.message}`);
      }
      progress.step();
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  progress.end();
  const seconds = (performance.now() - startedAt) / 1000;
  const fresh = counts.made + counts.finished;
  process.stdout.write(
    `${boards.length} boards in ${seconds.toFixed(1)} s: ${counts.made} new, ${counts.finished} finished that an earlier run began, ` +
      `${counts.done} done before, ${failed.length} failed. ${(fresh / seconds).toFixed(1)} boards/s\n`,
  );
  if (failed.length > 0) {
    throw new AppError(
      'factory.some-failed',
      `${failed.length} of ${boards.length} boards failed, the reasons are above: ${failed.slice(0, 20).join(', ')}` +
        `${failed.length > 20 ? ', …' : ''}. Run the same command again for them; the others stay as they are`,
    );
  }
}

async function boardsOf(where: string, count: number | undefined): Promise<BoardSpec[]> {
  if (where.startsWith(SOFTWARE_BOARDS)) return softwareBoards(where.slice(SOFTWARE_BOARDS.length), count);
  let text: string;
  try {
    text = await readFile(where, 'utf8');
  } catch (error) {
    throw new AppError('factory.no-boards', `the list of boards ${where} cannot be read (${errorText(error)})`, {
      cause: error,
    });
  }
  const lines = text.split('\n').map((line) => line.trim());
  const boards = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parseBoardSpec);
  const twice = boards.find((board, index) => boards.findIndex(({ text }) => text === board.text) < index);
  if (twice) throw new AppError('factory.bad-board', `${where} names ${twice.text} twice: leave one of the two out`);
  if (count !== undefined && count > boards.length) {
    throw usage(batch, `--count ${count}: ${where} names ${boards.length} boards only`);
  }
  return boards.slice(0, count);
}

async function softwareBoards(folder: string, count: number | undefined): Promise<BoardSpec[]> {
  if (count === undefined) throw usage(batch, '--count N is missing: how many software boards');
  if (folder === '') throw usage(batch, `--boards ${SOFTWARE_BOARDS}: the folder is missing`);
  await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return;
    throw new AppError(
      'factory.not-written',
      `the folder of the software boards cannot be made (${errorText(error)})`,
      {
        cause: error,
      },
    );
  });
  return Array.from({ length: count }, (_, index) =>
    parseBoardSpec(`local:${join(resolve(folder), `board-${String(index + 1).padStart(4, '0')}`)}`),
  );
}
