import type { Setting } from './setting.ts';

const WIDTH = 100;
const INDENT = 6;

/** The text of `--help`, made from the schema, so that it cannot fall behind it. */
export function helpText(options: { program: string; summary: string; settings: readonly Setting[] }): string {
  const { program, summary, settings } = options;
  const example = settings.find(({ path }) => path.includes('.')) ?? settings[0];
  const withFlag = settings.filter(({ arg }) => arg !== undefined);
  const without = settings.filter(({ arg }) => arg === undefined);
  const lines = [
    ...wrap(summary, 0),
    '',
    `Usage: ${program} [options]`,
    '',
    'Options',
    ...withFlag.flatMap((setting) => entry(`--${setting.arg}${setting.hint ? ` ${setting.hint}` : ''}`, setting)),
    '  --config FILE',
    ...wrap('Read settings from a JSON file.', INDENT),
    '  --help',
    ...wrap('Print this text.', INDENT),
  ];
  if (without.length > 0) {
    lines.push('', 'Settings without a flag (environment or file)');
    for (const setting of without) lines.push(...entry(setting.path, setting));
  }
  lines.push('', ...wrap('A flag wins over the environment, the environment over the file.', 0));
  if (example) lines.push(`In a file: ${inFile(example)}`);
  return `${lines.join('\n')}\n`;
}

function entry(name: string, setting: Setting): string[] {
  const notes = [];
  if (hasDefault(setting)) notes.push(`default: ${shown(setting.default)}`);
  if (setting.env) notes.push(`environment: ${setting.env}`);
  const doc = notes.length > 0 ? `${setting.doc} (${notes.join('; ')})` : setting.doc;
  return [`  ${name}`, ...wrap(doc, INDENT)];
}

function hasDefault({ default: value, kind }: Setting): boolean {
  if (value === null || value === undefined || value === '') return false;
  return kind !== 'boolean' && !(Array.isArray(value) && value.length === 0);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function inFile(setting: Setting): string {
  return JSON.stringify(
    setting.path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), setting.default),
  );
}

/** Text in lines of at most 100 characters, each with so many blanks before it. */
export function wrap(text: string, indent: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line ? `${line} ${word}` : word;
    }
  }
  if (line) lines.push(line);
  return lines.map((content) => ' '.repeat(indent) + content);
}
