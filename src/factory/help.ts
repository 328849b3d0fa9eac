import { wrap } from '#config/help.ts';
import type { Command, Option } from './command.ts';

/** The text of `peercam-factory --help`. */
export function programHelp(commands: readonly Command[]): string {
  const longest = Math.max(...commands.map(({ name }) => name.length));
  return [
    ...wrap(
      'peercam-factory is the production line of peercam cameras: it makes the certificate authority, gives each board its ' +
        'identity (key, certificate, UID, setup code), and prints the labels.',
      0,
    ),
    '',
    'Usage: peercam-factory COMMAND …',
    '',
    'Commands, in the order they are needed',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(longest)}  ${summary}`),
    '',
    'The first day, with software boards instead of real ones',
    '  peercam-factory init-ca my-factory --name "Example Cameras"',
    '  peercam-factory batch --count 100 --boards sim:boards --ca my-factory --out monday --model "Cam 1" --revision A',
    '  peercam-factory label monday --viewer https://view.example.com/ --pdf labels.pdf',
    '',
    '`peercam-factory COMMAND --help` explains a command.',
    '',
  ].join('\n');
}

/** The text of `peercam-factory COMMAND --help`. */
export function commandHelp({ name, words, description, options, example }: Command): string {
  const entries = Object.entries(options);
  const required = entries.filter(([, { required }]) => required).map(([key, { hint }]) => ` --${key} ${hint}`);
  return [
    `Usage: peercam-factory ${name} ${words}${required.join('')} [options]`.replace('  ', ' '),
    ...description.flatMap((paragraph) => ['', ...wrap(paragraph, 0)]),
    '',
    'Options',
    ...entries.flatMap(([key, option]) => optionHelp(key, option)),
    '  --help',
    '      Print this text.',
    '',
    example.length > 1 ? 'Examples' : 'Example',
    ...example.map((line) => `  peercam-factory ${line}`),
    '',
  ].join('\n');
}

function optionHelp(name: string, { hint, doc, default: fallback, required, multiple }: Option): string[] {
  const notes = [
    ...(required ? ['required'] : []),
    ...(multiple ? ['may be given several times'] : []),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
  ];
  const text = notes.length > 0 ? `${doc} (${notes.join('; ')})` : doc;
  return [`  --${name}${hint ? ` ${hint}` : ''}`, ...wrap(text, 6)];
}
