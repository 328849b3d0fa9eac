import * as v from 'valibot';
import { type ControlNotification, MAX_CONTROL, notificationSchema, responseSchema } from '#protocol/control.ts';
import { parseAs, parseJsonAs } from '#protocol/parse.ts';
import type { Timer } from './timer.ts';

const ANSWER_WITHIN_MS = 5000;

interface Pending {
  readonly schema: v.GenericSchema;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly cancelTimeout: () => void;
}

const looseMessage = v.looseObject({ method: v.optional(v.string()) });

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

  /** Asks the camera; rejects on an error answer, on one that does not fit, and after 5 s of silence. */
  request<const S extends v.GenericSchema>(method: string, schema: S): Promise<v.InferOutput<S>> {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.timer.after(ANSWER_WITHIN_MS, () => {
        this.pending.delete(id);
        reject(new Error(`${method}: no answer within ${ANSWER_WITHIN_MS / 1000} s`));
      });
      this.pending.set(id, { schema, resolve: resolve as (result: unknown) => void, reject, cancelTimeout });
      this.transmit(JSON.stringify({ jsonrpc: '2.0', id, method }));
    });
  }

  /** Takes one message from the channel; throws a ProtocolError that names the field when it fits nothing. */
  receive(text: string): void {
    const message = parseJsonAs(looseMessage, text, 'control message', MAX_CONTROL);
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
      if (error) throw new Error(error.message);
      pending.resolve(parseAs(pending.schema, result, 'control result'));
    } catch (problem) {
      pending.reject(problem as Error);
    }
  }
}

/** A camera newer than this page may say more than it understands: that is no error. */
function isKnownNotification(method: string): method is ControlNotification['method'] {
  return method === 'source.changed' || method === 'session.viewers';
}
