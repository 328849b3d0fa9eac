import * as v from 'valibot';
import { MAX_MESSAGE } from '#protocol/message.ts';
import { parseJsonAs } from '#protocol/parse.ts';

/** What came out of an envelope: the message is of unknown shape, `from` is the sender's address. */
export interface Opened {
  readonly from: string;
  readonly message: unknown;
}

/**
 * The wrapping around every signalling message. Callers seal for one recipient and open what arrives; what keeps
 * others from reading or forging it is this folder's business alone.
 */
export interface Envelope {
  /** @param to the recipient's address: a UID for a camera, a thumbprint for a viewer */
  seal(message: object, to: string): Promise<Uint8Array>;
  /** Throws a ProtocolError that names the field when the payload is none of ours. */
  open(payload: Uint8Array): Promise<Opened>;
}

const plainSchema = v.object({
  v: v.literal(1),
  from: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{20,64}$/, 'an address of 20 to 64 base64url characters')),
  message: v.looseObject({}),
});

/** The envelope without a seal: JSON with the sender's name on it. */
export function plainEnvelope(self: string): Envelope {
  const utf8 = new TextEncoder();
  return {
    async seal(message) {
      return utf8.encode(JSON.stringify({ v: 1, from: self, message }));
    },
    async open(payload) {
      const { from, message } = parseJsonAs(plainSchema, payload, 'envelope', MAX_MESSAGE);
      return { from, message };
    },
  };
}
