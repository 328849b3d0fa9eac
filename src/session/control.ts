import * as v from 'valibot';
import { AppError } from '#lib/error.ts';
import {
  type ControlNotification,
  type ControlResponse,
  MAX_CONTROL,
  RPC_ERROR,
  requestSchema,
} from '#protocol/control.ts';
import { ProtocolError, parseAs, parseJsonAs } from '#protocol/parse.ts';
import { mayDo, type Right } from '#protocol/rights.ts';

/** Who asks. */
export interface Caller {
  /** The viewer's thumbprint; of a WHEP session its own name. */
  readonly viewer: string;
  /** What it may at this moment. */
  readonly rights: readonly Right[];
}

/** One method of the control channel: the schema of its params, the right it needs, and what it does. */
export interface ControlMethod {
  readonly params: v.GenericSchema;
  /** `view` where nothing is said. */
  readonly needs?: Right;
  /** `params` have passed the schema. An AppError thrown here is told to the viewer, code and words. */
  run(params: unknown, caller: Caller): unknown;
}

const noParams = v.optional(v.strictObject({}));

/** A method without params. */
export function query(run: () => unknown): ControlMethod {
  return { params: noParams, run };
}

/**
 * JSON-RPC 2.0, the camera's side: every request is parsed from unknown, answered or refused with a code; nothing a
 * viewer sends can throw out of here.
 */
export class ControlDispatch {
  private readonly methods: ReadonlyMap<string, ControlMethod>;

  constructor(methods: Readonly<Record<string, ControlMethod>>) {
    this.methods = new Map(Object.entries(methods));
  }

  /** The reply to one message, or undefined where none is due (a notification). @param text undefined: was binary */
  handle(text: string | undefined, caller: Caller): string | undefined | Promise<string | undefined> {
    let id: ControlResponse['id'] = null;
    try {
      if (text === undefined) throw new ProtocolError('control message', '', 'binary, text expected');
      const request = parseJsonAs(requestSchema, text, 'control message', MAX_CONTROL);
      id = request.id ?? null;
      const method = this.methods.get(request.method);
      if (method === undefined) return fail(id, RPC_ERROR.methodNotFound, `there is no method "${request.method}"`);
      const right = method.needs ?? 'view';
      if (!mayDo(caller.rights, right)) {
        return fail(id, RPC_ERROR.forbidden, `${request.method} needs the right "${right}", which you do not have`);
      }
      const result = method.run(parseAs(method.params, request.params, `params of ${request.method}`), caller);
      const answer = (value: unknown) =>
        request.id === undefined ? undefined : JSON.stringify({ jsonrpc: '2.0', id, result: value ?? null });
      // Most methods answer at once, and a reading of the clock must not wait for its turn.
      return result instanceof Promise ? result.then(answer, (error: unknown) => failure(id, error)) : answer(result);
    } catch (error) {
      return failure(id, error);
    }
  }
}

/** The text of a notification. */
export function notification(message: Omit<ControlNotification, 'jsonrpc'>): string {
  return JSON.stringify({ jsonrpc: '2.0', ...message });
}

/** What a viewer is told of an error; one that nobody expected is not its business, and is thrown on. */
function failure(id: ControlResponse['id'], error: unknown): string {
  if (error instanceof AppError) return fail(id, RPC_ERROR.refused, error.message, { code: error.code });
  if (!(error instanceof ProtocolError)) throw error;
  return fail(id, id === null ? RPC_ERROR.invalidRequest : RPC_ERROR.invalidParams, error.message);
}

function fail(id: ControlResponse['id'], code: number, message: string, data?: object): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...(data && { data }) } });
}
