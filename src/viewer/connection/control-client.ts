import * as v from 'valibot';
import { type ControlNotification, MAX_CONTROL_REPLY, notificationSchema, responseSchema } from '#protocol/control.ts';
import { parseAs, parseJsonAs } from '#protocol/parse.ts';
import type { Timer } from './timer.ts';

const ANSWER_WITHIN_MS = 5000;

interface Pending {
  readonly schema: v.GenericSchema;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly cancelTimeout: () => void;
}

const withCode = v.object({ code: v.string() });
const looseMessage = v.looseObject({ method: v.optional(v.string()) });

/** The camera's own answer that it will not: its words, and a code where it gave one. */
export class CameraError extends Error {
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.name = 'CameraError';
    this.code = code;
  }
}

/** The viewer's end of the control channel: JSON-RPC 2.0 requests out, results and notifications in. */
export class ControlClient {
  private readonly timer: Timer;
  private readonly transmit: (text: string) => void;
  private readonly notified: (notification: ControlNotification) => void;
  private readonly pending = new Map<number, Pending>();
  private lastId = 0;

  constructor(options: {
    readonly timer: Timer;
    readonly transmit: (text: string) => void;
    readonly notified: (notification: ControlNotification) => void;
  }) {
    this.timer = options.timer;
    this.transmit = options.transmit;
    this.notified = options.notified;
  }

  /** Asks the camera; rejects with a CameraError where it refuses, on a result that does not fit, and after 5 s. */
  request<const S extends v.GenericSchema>(method: string, schema: S, params?: object): Promise<v.InferOutput<S>> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.timer.after(ANSWER_WITHIN_MS, () => {
        this.pending.delete(id);
        reject(new Error(`${method}: no answer within ${ANSWER_WITHIN_MS / 1000} s`));
      });
      this.pending.set(id, { schema, resolve: resolve as (result: unknown) => void, reject, cancelTimeout });
      this.transmit(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
  }

  /** Takes one message from the channel; throws a ProtocolError that names the field when it fits nothing. */
  receive(text: string): void {
    const message = parseJsonAs(looseMessage, text, 'control message', MAX_CONTROL_REPLY);
    if (message.method === undefined) this.settle(message);
    else if (isKnownNotification(message.method)) this.notified(parseAs(notificationSchema, message, message.method));
  }

  /** Nothing more comes: whoever waits is told. */
  close(): void {
    for (const { reject, cancelTimeout } of this.pending.values()) {
      cancelTimeout();
      reject(new Error('the control channel closed'));
    }
    this.pending.clear();
  }

  private settle(message: unknown): void {
    const { id, result, error } = parseAs(responseSchema, message, 'control response');
    const pending = typeof id === 'number' ? this.pending.get(id) : undefined;
    if (!pending) return;
    this.pending.delete(id as number);
    pending.cancelTimeout();
    try {
      if (error) throw new CameraError(error.message, codeOf(error.data));
      pending.resolve(parseAs(pending.schema, result, 'control result'));
    } catch (problem) {
      pending.reject(problem as Error);
    }
  }
}

function codeOf(data: unknown): string | undefined {
  const parsed = v.safeParse(withCode, data);
  return parsed.success ? parsed.output.code : undefined;
}

const KNOWN: ReadonlySet<string> = new Set<ControlNotification['method']>([
  'source.changed',
  'session.viewers',
  'access.changed',
  'camera.renamed',
]);

/** A camera newer than this page may say more than it understands: that is no error. */
function isKnownNotification(method: string): boolean {
  return KNOWN.has(method);
}
