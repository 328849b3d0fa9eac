import * as v from 'valibot';

/** A message from outside that does not fit its schema. `field` is the dotted path of the first thing wrong. */
export class ProtocolError extends Error {
  readonly field: string;

  constructor(what: string, field: string, problem: string) {
    super(`${what}: ${field ? `field "${field}": ` : ''}${problem}`);
    this.name = 'ProtocolError';
    this.field = field;
  }
}

/** Checks a value of unknown shape against a schema; throws a ProtocolError that names the first wrong field. */
export function parseAs<const S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortPipeEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new ProtocolError(what, v.getDotPath(issue) ?? '', problem(issue));
}

/** What is wrong, without quoting what was sent: it goes to logs, may be a secret, and may be a megabyte long. */
function problem(issue: v.BaseIssue<unknown>): string {
  const received = issue.message.indexOf(' but received ');
  if (received < 0) return issue.message;
  const kind = issue.input === undefined ? 'nothing' : issue.input === null ? 'null' : `a ${typeof issue.input}`;
  return `${issue.message.slice(0, received)} but received ${kind}`;
}

/** Parses JSON text of unknown origin, at most `maxBytes` long, against a schema. */
export function parseJsonAs<const S extends v.GenericSchema>(
  schema: S,
  payload: Uint8Array | string,
  what: string,
  maxBytes: number,
): v.InferOutput<S> {
  if (payload.length > maxBytes) {
    throw new ProtocolError(what, '', `${payload.length} bytes long, at most ${maxBytes} are allowed`);
  }
  let value: unknown;
  try {
    value = JSON.parse(typeof payload === 'string' ? payload : utf8.decode(payload));
  } catch {
    throw new ProtocolError(what, '', 'not JSON in UTF-8');
  }
  return parseAs(schema, value, what);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
