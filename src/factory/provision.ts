import { AppError } from '#lib/error.ts';
import { formatUid } from '#protocol/uid.ts';
import { parseBoardSpec } from './board-spec.ts';
import type { Command } from './command.ts';
import { type Outcome, Station } from './station.ts';
import { STATION_OPTIONS, stationOptions } from './station-options.ts';

/** `peercam-factory provision`: one board. */
export const provision: Command = {
  name: 'provision',
  summary: 'give one board its identity',
  description: [
    'The board makes a key and a setup code, the line signs, the board stores all of it, it is read back, and the board proves it in a ' +
      'TLS handshake as it will later connect to a server. Then the board stands in the ledger, and its label can be ' +
      'printed. The private key never leaves the board.',
    'The board is reached over ssh (its user must be root, logged in by key), at a serial console (a root shell must be waiting ' +
      'there, or `peercamctl enroll` running), or it is a folder on this machine.',
    'If anything is interrupted, run the same command again: it starts over or finishes, as needed. A board that is finished is ' +
      'refused, unless --replace says that it shall become another camera.',
  ],
  words: '',
  count: { min: 0, max: 0 },
  options: {
    board: {
      hint: 'WHERE',
      doc: 'ssh:[user@]host, serial:/dev/ttyX[@baud rate], or local:FOLDER (a mounted factory partition, a software board).',
      required: true,
    },
    ...STATION_OPTIONS,
    replace: { doc: 'Make a new camera of a board that is one already: it gets a new UID and needs a new label.' },
  },
  example: [
    'provision --board ssh:root@192.0.2.7 --ca my-factory --out monday --model "Cam 1" --revision A',
    'provision --board serial:/dev/ttyUSB0 --ca my-factory --out monday --model "Cam 1" --revision A',
    'provision --board local:board-1 --ca my-factory --out monday --model "Cam 1" --revision A',
  ],
  async run(given) {
    const board = parseBoardSpec(given.text('board'));
    const station = await Station.open(stationOptions(provision, given));
    try {
      const outcome = await station.provision(board, { replace: given.on('replace') });
      if (outcome.what === 'done') throw done(outcome);
      process.stdout.write(report(outcome, given.text('out'), given.text('ca')));
    } finally {
      await station.close();
    }
  },
};

function report({ uid, what, replaced }: Outcome, out: string, ca: string): string {
  return [
    what === 'made'
      ? `The board is ${formatUid(uid)} now.`
      : `The board is ${formatUid(uid)}; an interrupted run is finished now.`,
    ...(replaced ? [`It was ${formatUid(replaced)} before: peercam-factory revoke ${ca} ${replaced}`] : []),
    `Its label: peercam-factory label ${out} ${uid} --viewer https://… --svg .`,
    '',
  ].join('\n');
}

function done({ uid }: Outcome): AppError {
  return new AppError(
    'factory.provisioned',
    `the board is provisioned already: it is ${formatUid(uid)}, and stands in the ledger. Nothing was changed. To make a new camera of it, ` +
      'with a new UID and label, run the command again with --replace',
  );
}
