import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { AuditEntry } from './audit-event.ts';

/** What stands before the very first line. */
export const CHAIN_START = '-';

/** Where a chain has got to. */
export interface ChainHead {
  /** Number of the last line; 0 before the first. */
  readonly n: number;
  /** Its hash. */
  readonly hash: string;
}

const lineSchema = v.looseObject({
  n: v.pipe(v.number(), v.integer(), v.minValue(1)),
  at: v.number(),
  event: v.pipe(v.string(), v.maxLength(64)),
  prev: v.string(),
});

const HASH = /,"hash":"([A-Za-z0-9_-]{43})"\}$/;

/** The line after `head`, without its line feed, and the head that it makes. */
export function chainLine(
  head: ChainHead,
  entry: { readonly at: number; readonly event: string; readonly fields: object },
): { line: string; head: ChainHead } {
  const n = head.n + 1;
  const body = JSON.stringify({ n, at: entry.at, event: entry.event, ...entry.fields, prev: head.hash });
  const hash = hashOf(body);
  return { line: `${body.slice(0, -1)},"hash":"${hash}"}`, head: { n, hash } };
}

/** One line as it stands in the file; undefined where it is none, or not the one its hash was made of. */
export function readLine(line: string): { entry: AuditEntry; prev: string; hash: string } | undefined {
  const match = HASH.exec(line);
  if (!match) return undefined;
  const body = `${line.slice(0, match.index)}}`;
  if (hashOf(body) !== match[1]) return undefined;
  const parsed = v.safeParse(lineSchema, jsonOf(body));
  if (!parsed.success) return undefined;
  const { prev, ...entry } = parsed.output;
  return { entry, prev, hash: match[1]! };
}

export interface ChainReading {
  /** Oldest first; lines that are none are left out. */
  readonly entries: readonly AuditEntry[];
  /** Numbers of the lines that do not follow the one before them, in order. */
  readonly breaks: readonly number[];
  readonly head: ChainHead;
}

/**
 * Reads lines that should be a chain. The first one's predecessor is gone with an older file, unless it is number 1.
 */
export function readChain(lines: readonly string[]): ChainReading {
  const entries: AuditEntry[] = [];
  const breaks: number[] = [];
  let head: ChainHead | undefined;
  let damaged = false;
  for (const line of lines) {
    const read = readLine(line);
    if (!read) {
      damaged = true;
      continue;
    }
    const { n } = read.entry;
    const follows = head ? read.prev === head.hash && n === head.n + 1 : n > 1 || read.prev === CHAIN_START;
    if (!follows || damaged) breaks.push(n);
    damaged = false;
    head = { n, hash: read.hash };
    entries.push(read.entry);
  }
  if (damaged) breaks.push((head?.n ?? 0) + 1);
  return { entries, breaks, head: head ?? { n: 0, hash: CHAIN_START } };
}

function hashOf(body: string): string {
  return createHash('sha256').update(body).digest('base64url');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
