import * as v from 'valibot';
import {
  type ControlNotification,
  type ControlResponse,
  MAX_CONTROL,
  RPC_ERROR,
  requestSchema,
} from '#protocol/control.ts';
import { ProtocolError, parseAs, parseJsonAs } from '#protocol/parse.ts';

/** One method of the control channel: the schema of its params and what it does. */
export interface ControlMethod {
  readonly params: v.GenericSchema;
  run(params: unknown): unknown;
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
  handle(text: string | undefined): string | undefined {
    let id: ControlResponse['id'] = null;
    try {
      if (text === undefined) throw new ProtocolError('control message', '', 'binary, text expected');
      const request = parseJsonAs(requestSchema, text, 'control message', MAX_CONTROL);
      id = request.id ?? null;
      const method = this.methods.get(request.method);
      if (method === undefined) return fail(id, RPC_ERROR.methodNotFound, `there is no method "${request.method}"`);
      const result = method.run(parseAs(method.params, request.params, `params of ${request.method}`));
      return request.id === undefined ? undefined : JSON.stringify({ jsonrpc: '2.0', id, result });
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return fail(id, id === null ? RPC_ERROR.invalidRequest : RPC_ERROR.invalidParams, error.message);
    }
  }
}

/** The text of a notification. */
export function notification(message: Omit<ControlNotification, 'jsonrpc'>): string {
  return JSON.stringify({ jsonrpc: '2.0', ...message });
}

function fail(id: ControlResponse['id'], code: number, message: string): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } });
}
