import { parseArgs } from 'node:util';
import { AppError, errorText } from '#lib/error.ts';

/** One option of a command: `--model NAME`. */
export interface Option {
  /** What stands for the value; none for a switch. */
  readonly hint?: string;
  readonly doc: string;
  readonly default?: string;
  readonly required?: boolean;
  /** May be given several times. */
  readonly multiple?: boolean;
}

/** What was typed after a command's name, checked against its options. */
export interface Arguments {
  readonly words: readonly string[];
  /** Of an option that is required or has a default. */
  text(name: string): string;
  optional(name: string): string | undefined;
  all(name: string): readonly string[];
  on(name: string): boolean;
  /** A whole number within bounds. */
  number(name: string, bounds: { min: number; max: number }): number;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What it does, what it needs, what it leaves; paragraphs. */
  readonly description: readonly string[];
  /** What follows the name, without options: `DIR UID…`. */
  readonly words: string;
  /** How many words are allowed. */
  readonly count: { readonly min: number; readonly max: number };
  readonly options: Readonly<Record<string, Option>>;
  readonly example: readonly string[];
  run(given: Arguments): Promise<void>;
}

/** Throws an AppError (`factory.usage`) that names the option and says what it wants. */
export function readArguments(command: Command, argv: readonly string[]): Arguments {
  const { values, positionals } = parse(command, argv);
  const { min, max } = command.count;
  if (positionals.length < min) throw usage(command, `something is missing: ${command.name} ${command.words}`);
  if (positionals.length > max) throw usage(command, `"${positionals[max]}" is one word too many`);
  for (const [name, option] of Object.entries(command.options)) {
    if (option.required && values[name] === undefined) {
      throw usage(command, `--${name} ${option.hint} is missing: ${option.doc}`);
    }
  }
  const optional = (name: string) => (values[name] as string | undefined) ?? command.options[name]!.default;
  return {
    words: positionals,
    text: (name) => optional(name)!,
    optional,
    all: (name) => (values[name] as string[] | undefined) ?? [],
    on: (name) => values[name] === true,
    number(name, bounds) {
      const text = optional(name)!;
      const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
      if (value >= bounds.min && value <= bounds.max) return value;
      throw usage(command, `--${name}: expected a whole number from ${bounds.min} to ${bounds.max}, got "${text}"`);
    },
  };
}

/** A wrong command line; the program ends with exit code 2. */
export function usage(command: Pick<Command, 'name'>, problem: string): AppError {
  return new AppError('factory.usage', `${problem}. \`peercam-factory ${command.name} --help\` explains it.`);
}

function parse(command: Command, argv: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { hint, multiple = false }]) => [
      name,
      { type: hint === undefined ? ('boolean' as const) : ('string' as const), multiple },
    ]),
  );
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw usage(command, errorText(error).split('. ')[0]!);
  }
}
