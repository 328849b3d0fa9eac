import { areBoardWords } from '#identity/factory-check.ts';
import { ENROLL_COMMAND } from './board-spec.ts';
import { type Arguments, type Command, type Option, usage } from './command.ts';
import type { StationOptions } from './station.ts';

/** The options that `provision` and `batch` share. */
export const STATION_OPTIONS: Readonly<Record<string, Option>> = {
  ca: { hint: 'DIR', doc: 'The CA, as `init-ca` made it.', required: true },
  out: {
    hint: 'DIR',
    doc: 'Where the ledger (ledger.jsonl) and the data for the labels (labels/, secret) go; made where it is missing.',
    required: true,
  },
  model: { hint: 'NAME', doc: 'The model, as it stands on the label.', required: true },
  revision: { hint: 'TEXT', doc: 'The hardware revision.', required: true },
  station: { hint: 'NAME', doc: "This station's name in the ledger; the host's name where none is given." },
  command: { hint: 'TEXT', doc: 'What the board runs to answer (ssh, serial).', default: ENROLL_COMMAND },
};

/** Throws an AppError (`factory.usage`) where model or revision cannot stand on a label. */
export function stationOptions(command: Command, given: Arguments): StationOptions {
  for (const name of ['model', 'revision']) {
    if (!areBoardWords(given.text(name)))
      throw usage(command, `--${name}: expected 1 to 64 printable ASCII characters`);
  }
  const name = given.optional('station');
  if (name !== undefined && !areBoardWords(name))
    throw usage(command, '--station: expected 1 to 64 printable ASCII characters');
  return {
    ca: given.text('ca'),
    out: given.text('out'),
    model: given.text('model'),
    revision: given.text('revision'),
    command: given.text('command'),
    ...(name !== undefined && { name }),
  };
}
