import * as v from 'valibot';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { parseUid, type Uid } from '#protocol/uid.ts';
import { areBoardWords, MAX_BOARD_WORDS } from './factory-check.ts';

/** Longest piece of a TLS conversation in one message, bytes; a frame must fit a terminal's line. */
export const MAX_PIECE = 2048;
const MAX_PEM = 3200;

const id = v.pipe(v.string(), v.regex(/^[0-9a-f]{8,16}$/, '8 to 16 hex digits'));
const base64 = (bytes: number) =>
  v.pipe(v.string(), v.maxLength(Math.ceil(bytes / 3) * 4), v.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64'));
const pem = v.pipe(v.string(), v.maxLength(MAX_PEM));
const words = v.pipe(v.string(), v.check(areBoardWords, `1 to ${MAX_BOARD_WORDS} printable ASCII characters`));
const uid = v.pipe(
  v.string(),
  v.check((text) => parseUid(text) === text, 'a UID'),
  v.transform((text) => text as Uid),
);
const setupCode = v.pipe(
  v.string(),
  v.check((text) => parseSetupCode(text) === text, 'a setup code'),
  v.transform((text) => text as SetupCode),
);

/**
 * What a station asks a board. `describe`: who are you, what do you hold? `enroll`: make a key and a setup code.
 * `install`: store them with this certificate. `read-back`: what is stored, read afresh. `challenge`: begin TLS as a client, with what
 * is stored, to a server of this CA. `tls`: bytes from the server; the answer has the board's. `end`: goodbye.
 * A question repeated with the same `id` gets the same answer again and does nothing twice.
 */
export const questionSchema = v.variant('ask', [
  v.object({ ask: v.literal('describe'), id }),
  v.object({ ask: v.literal('enroll'), id, replace: v.boolean() }),
  v.object({ ask: v.literal('install'), id, certificatePem: pem, model: words, hardwareRevision: words }),
  v.object({ ask: v.literal('read-back'), id }),
  v.object({ ask: v.literal('challenge'), id, caPem: pem }),
  v.object({ ask: v.literal('tls'), id, data: base64(MAX_PIECE) }),
  v.object({ ask: v.literal('end'), id }),
]);

/** What a board answers, by the question's `ask`. */
export const answerSchemas = {
  describe: v.object({
    /** `empty`: nothing stored. `partial`: not all of it. `damaged`: see `problem`. `complete`: provisioned. */
    state: v.picklist(['empty', 'partial', 'damaged', 'complete']),
    uid: v.optional(uid),
    /** Where it is stored, for people. */
    store: v.pipe(v.string(), v.maxLength(300)),
    problem: v.optional(v.pipe(v.string(), v.maxLength(1000))),
  }),
  enroll: v.object({ uid, setupCode, request: base64(1024) }),
  install: v.object({}),
  'read-back': v.object({ uid, setupCode, certificatePem: pem, model: words, hardwareRevision: words }),
  challenge: v.object({ data: base64(MAX_PIECE) }),
  tls: v.object({ data: base64(MAX_PIECE) }),
  end: v.object({}),
} as const;

/** The wrapping of every answer: `error` where the question could not be answered. */
export const answerSchema = v.object({
  answer: id,
  error: v.optional(
    v.object({ code: v.pipe(v.string(), v.maxLength(64)), message: v.pipe(v.string(), v.maxLength(2000)) }),
  ),
  result: v.optional(v.looseObject({})),
});

export type Question = v.InferOutput<typeof questionSchema>;
export type Ask = Question['ask'];
export type Answer<A extends Ask> = v.InferOutput<(typeof answerSchemas)[A]>;
