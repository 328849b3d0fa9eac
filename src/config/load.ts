import { readFileSync } from 'node:fs';
import convict, { type Schema } from 'convict';
import { AppError, errorText } from '#lib/error.ts';
import { helpText } from './help.ts';
import { type Kind, type Setting, settingsOf } from './setting.ts';

export interface LoadOptions<T> {
  /** The program's name, as typed. */
  readonly program: string;
  /** What it is for, in a sentence or two. */
  readonly summary: string;
  /**
   * A convict schema. Beside convict's own keys, an entry may have `hint` (what stands for its value in the help
   * text). Formats of one's own are functions that throw an Error saying what is expected.
   */
  readonly schema: Schema<T>;
  /** Without the interpreter and the script: `process.argv.slice(2)`. */
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** The settings, or, where `--help` was asked for, the text to print. */
export type Loaded<T> = { readonly values: T; readonly help?: undefined } | { readonly help: string };

/**
 * Reads a program's settings: schema defaults, then the JSON file named by `--config`, then the environment, then
 * the command line. Throws an AppError (`config.invalid`) that names the field and where the value came from.
 *
 * convict checks the formats. What it would let pass ("80x" as the number 80, "no" as true, unknown flags) is
 * refused before it gets there.
 */
export function loadConfig<T>(options: LoadOptions<T>): Loaded<T> {
  const settings = settingsOf(options.schema);
  const flags = readFlags(settings, options);
  if (flags.help) return { help: helpText({ ...options, settings }) };

  const given = new Map<string, Given>();
  if (flags.file !== undefined)
    for (const entry of fromFile(settings, flags.file)) given.set(entry.setting.path, entry);
  for (const entry of fromEnvironment(settings, options.env)) given.set(entry.setting.path, entry);
  for (const entry of flags.entries) given.set(entry.setting.path, entry);

  const config = convict<T>(options.schema, { args: [], env: {} });
  for (const { setting, value } of given.values()) config.set(setting.path as never, value as never);
  try {
    config.validate({ allowed: 'strict' });
  } catch (error) {
    throw explain(errorText(error), settings, given);
  }
  return { values: config.getProperties() as T };
}

/** One value somebody gave, and where: `--http-port`, `PEERCAM_HTTP_PORT`, `/etc/peercam/server.json`. */
interface Given {
  readonly setting: Setting;
  readonly value: unknown;
  readonly place: string;
}

function readFlags<T>(settings: readonly Setting[], { program, argv }: LoadOptions<T>) {
  const byArg = new Map(settings.flatMap((setting) => (setting.arg ? [[setting.arg, setting] as const] : [])));
  const entries: Given[] = [];
  let file: string | undefined;
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--help' || word === '-h') return { help: true, file, entries };
    const [, name, , attached] = /^--([^=]+)(=(.*))?$/s.exec(word) ?? [];
    const setting = name === undefined ? undefined : byArg.get(name);
    if (name === undefined || (!setting && name !== 'config')) {
      throw invalid(`unknown argument "${word}". \`${program} --help\` lists what it understands.`);
    }
    const place = `--${name}`;
    const isSwitch = setting?.kind === 'boolean';
    const text = attached ?? (isSwitch ? 'true' : words.shift());
    if (text === undefined) throw invalid(`${place} needs a value: ${place} ${setting?.hint ?? 'FILE'}`);
    if (!setting) file = text;
    else entries.push({ setting, value: fromText(setting, text, place), place });
  }
  return { help: false, file, entries };
}

function* fromEnvironment(settings: readonly Setting[], env: NodeJS.ProcessEnv): Generator<Given> {
  for (const setting of settings) {
    const text = setting.env === undefined ? undefined : env[setting.env];
    // An empty variable is how unit files and shells say "not set".
    if (text === undefined || text === '') continue;
    const place = setting.env!;
    yield { setting, value: fromText(setting, text, place), place };
  }
}

function fromText(setting: Setting, text: string, place: string): unknown {
  const wrong = (expected: string) => wrongType(setting, place, expected, text);
  switch (setting.kind) {
    case 'number':
      if (!/^[+-]?\d+(\.\d+)?$/.test(text)) throw wrong('a number');
      return Number(text);
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw wrong('true or false');
      return text === 'true';
    case 'list':
      return text === '' ? [] : text.split(',').map((part) => part.trim());
    case 'object':
      try {
        return JSON.parse(text) as unknown;
      } catch {
        throw wrong('JSON');
      }
    case 'text':
      return text;
  }
}

function fromFile(settings: readonly Setting[], file: string): Given[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw invalid(`the configuration file ${file} cannot be read: ${errorText(error)}`);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw invalid(`the configuration file ${file} is not JSON: ${errorText(error)}`);
  }
  if (!isObject(content)) throw invalid(`the configuration file ${file} must hold one JSON object: { … }`);
  return [...fromObject(settings, content, '', file)];
}

function* fromObject(
  settings: readonly Setting[],
  object: Record<string, unknown>,
  prefix: string,
  file: string,
): Generator<Given> {
  for (const [key, value] of Object.entries(object)) {
    const path = prefix + key;
    const setting = settings.find((candidate) => candidate.path === path);
    if (setting) {
      if (!fits(setting, value)) throw wrongType(setting, file, KIND_WORDS[setting.kind], value);
      yield { setting, value, place: file };
    } else if (settings.some((candidate) => candidate.path.startsWith(`${path}.`))) {
      if (!isObject(value)) throw invalid(`field "${path}" (${file}): expected an object, got ${shown(value)}`);
      yield* fromObject(settings, value, `${path}.`, file);
    } else {
      const known = settings.filter((candidate) => candidate.path.startsWith(prefix));
      const names = [...new Set(known.map((candidate) => candidate.path.slice(prefix.length).split('.')[0]))];
      throw invalid(`field "${path}" (${file}): there is no such setting. Known here: ${names.join(', ')}.`);
    }
  }
}

const KIND_WORDS: Record<Kind, string> = {
  text: 'text in quotes',
  number: 'a number, without quotes',
  boolean: 'true or false, without quotes',
  list: 'a list: [ … ]',
  object: 'an object: { … }',
};

function fits(setting: Setting, value: unknown): boolean {
  if (value === null) return setting.nullable;
  switch (setting.kind) {
    case 'text':
      return typeof value === 'string';
    case 'list':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    default:
      return typeof value === setting.kind;
  }
}

/** convict's own complaint: `path: problem: value was …`, a line each; the first is enough. */
function explain(text: string, settings: readonly Setting[], given: ReadonlyMap<string, Given>): AppError {
  const line = text.split('\n')[0] ?? text;
  const setting = settings.find(({ path }) => line.startsWith(`${path}: `));
  if (!setting) return invalid(line);
  const source = given.get(setting.path);
  const problem = line.slice(setting.path.length + 2).replace(/: value was .*$/s, '');
  const value = source && !setting.sensitive ? `, got ${shown(source.value)}` : '';
  return invalid(`field "${setting.path}" (${source?.place ?? 'not set'}): ${problem.trim()}${value}`);
}

function wrongType(setting: Setting, place: string, expected: string, value: unknown): AppError {
  const got = setting.sensitive ? 'something else' : shown(value);
  return invalid(`field "${setting.path}" (${place}): expected ${expected}, got ${got}`);
}

function invalid(message: string): AppError {
  return new AppError('config.invalid', message);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
