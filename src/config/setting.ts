import type { Schema } from 'convict';

/** What a setting's value is, apart from the finer rules its format adds. */
export type Kind = 'text' | 'number' | 'boolean' | 'list' | 'object';

/** One entry of a convict schema. */
export interface Setting {
  /** Dotted path, `http.port`. */
  readonly path: string;
  readonly kind: Kind;
  readonly doc: string;
  readonly default: unknown;
  /** The values allowed, where the schema lists them. */
  readonly choices?: readonly unknown[];
  readonly arg?: string;
  readonly env?: string;
  /** What stands for the value in the help text, `PORT`. */
  readonly hint: string;
  readonly sensitive: boolean;
  readonly nullable: boolean;
}

type Node = Record<string, unknown>;

/** A convict schema as a flat list, in the order it is written in. */
export function settingsOf<T>(schema: Schema<T>): Setting[] {
  return walk(schema as Node, '');
}

function walk(node: Node, prefix: string): Setting[] {
  return Object.entries(node).flatMap(([key, value]) => {
    const path = prefix + key;
    const child = value as Node;
    return 'default' in child ? [settingOf(path, child)] : walk(child, `${path}.`);
  });
}

function settingOf(path: string, node: Node): Setting {
  const kind = kindOf(node);
  return {
    path,
    kind,
    doc: String(node.doc ?? ''),
    default: node.default,
    choices: Array.isArray(node.format) ? node.format : undefined,
    arg: node.arg as string | undefined,
    env: node.env as string | undefined,
    hint: String(node.hint ?? hintOf(node, kind)),
    sensitive: node.sensitive === true,
    nullable: node.nullable === true,
  };
}

function kindOf({ format, default: fallback }: Node): Kind {
  if (format === Number || ['int', 'integer', 'nat', 'port', 'Number'].includes(String(format))) return 'number';
  if (format === Boolean || format === 'Boolean') return 'boolean';
  if (format === Array || format === 'Array') return 'list';
  if (format === Object || format === 'Object') return 'object';
  if (format === String || format === 'String') return 'text';
  const example: unknown = Array.isArray(format) ? format[0] : fallback;
  if (Array.isArray(example)) return 'list';
  if (typeof example === 'number' || typeof example === 'boolean') return typeof example as Kind;
  return typeof example === 'object' && example !== null ? 'object' : 'text';
}

function hintOf({ format }: Node, kind: Kind): string {
  if (Array.isArray(format)) return format.join('|');
  if (format === 'port') return 'PORT';
  return { text: 'TEXT', number: 'N', boolean: '', list: 'A,B,…', object: 'JSON' }[kind];
}
