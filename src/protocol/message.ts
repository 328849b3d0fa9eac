import * as v from 'valibot';
import { rightsSchema } from './rights.ts';
import { publicKeySchema } from './status.ts';
import { thumbprintSchema, uidSchema } from './token.ts';

/**
 * What viewers and cameras say to each other through the mailboxes, after the envelope is opened.
 * A call is one attempt at one session: its id is made by the viewer, fresh for every offer.
 */

/** Longest SDP either side accepts, characters. Chromium's offer for one video is about 6,000. */
export const MAX_SDP = 64 * 1024;
/** Longest sealed message, bytes. */
export const MAX_MESSAGE = 128 * 1024;

const callId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{16,64}$/, 'a call id of 16 to 64 base64url characters'));
const sdp = v.pipe(v.string(), v.minLength(1, 'SDP expected'), v.maxLength(MAX_SDP, `at most ${MAX_SDP} characters`));

/**
 * Viewer → camera: a whole offer; its candidates may follow. `address` is the viewer's own as the server sees it, where
 * the server told: a guess at what the offer's mDNS names hide, worth 50 ms where it is right.
 */
export const callSchema = v.object({
  type: v.literal('call'),
  call: callId,
  sdp,
  address: v.optional(v.pipe(v.string(), v.ip('an IP address'))),
});

/** Both ways: one ICE candidate (RFC 8839 `candidate:` attribute value). */
export const candidateSchema = v.object({
  type: v.literal('candidate'),
  call: callId,
  candidate: v.pipe(v.string(), v.maxLength(1024, 'at most 1024 characters')),
  mid: v.pipe(v.string(), v.maxLength(32, 'at most 32 characters')),
});

/** Both ways: the session is over, on purpose. */
export const byeSchema = v.object({
  type: v.literal('bye'),
  call: callId,
  reason: v.optional(v.pipe(v.string(), v.maxLength(200, 'at most 200 characters'))),
});

const name = v.pipe(v.string(), v.maxLength(64, 'at most 64 characters'));
const proof = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, 'a proof of 43 base64url characters'));
const grant = v.pipe(v.string(), v.maxLength(8192, 'at most 8192 characters'));
const epoch = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{22}$/, 'an epoch of 22 base64url characters'));
const time = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Viewer → camera: let me in. `proof` shows knowledge of a code, over `hello` and `here`; `name` is for people. */
export const pairSchema = v.object({ type: v.literal('pair'), name, proof });

/** Camera → viewer, in answer to a `hello`: this is my key, and what you may. */
export const hereSchema = v.object({
  type: v.literal('here'),
  name,
  firmware: name,
  epoch,
  now: time,
  /** What messages to this camera are sealed to. */
  sealing: publicKeySchema,
  /** What this viewer may; nothing yet where it is not on the camera's list. */
  rights: v.optional(rightsSchema),
  grant: v.optional(grant),
  /** Whether somebody owns the camera. */
  owned: v.boolean(),
});

/** Camera → viewer: you are in. */
export const pairedSchema = v.object({ type: v.literal('paired'), name, rights: rightsSchema, grant });

/** Camera → viewer: the answer to one call; now and then with a fresh grant. */
export const answerSchema = v.object({ type: v.literal('answer'), call: callId, sdp, grant: v.optional(grant) });

/** Camera → viewer: no session, and why. `retry` says whether asking again can help. */
export const refusalSchema = v.object({
  type: v.literal('refusal'),
  /** Missing where it is pairing that was refused. */
  call: v.optional(callId),
  code: v.pipe(v.string(), v.maxLength(64, 'at most 64 characters')),
  message: v.pipe(v.string(), v.maxLength(500, 'at most 500 characters')),
  retry: v.boolean(),
  /** With `call.stale`: what a fresh call must name. */
  epoch: v.optional(epoch),
  now: v.optional(time),
});

/** What a camera's mailbox takes, sealed. */
export const toCameraSchema = v.variant('type', [pairSchema, callSchema, candidateSchema, byeSchema]);
/** What a viewer's mailbox takes, sealed. */
export const toViewerSchema = v.variant('type', [
  hereSchema,
  pairedSchema,
  answerSchema,
  candidateSchema,
  refusalSchema,
  byeSchema,
]);

/**
 * The claims around a message to a camera (JWS payload, RFC 7519 names; `iat` in ms). `epoch` is the camera's, `jti`
 * single-use, `seq` rises within one call.
 */
export const claimsToCameraSchema = v.object({
  iss: thumbprintSchema,
  aud: uidSchema,
  jti: callId,
  iat: time,
  epoch,
  seq: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** What the answer is to be sealed to: with every call and pairing. */
  enc: v.optional(publicKeySchema),
  msg: toCameraSchema,
});

/** The claims around a message to a viewer. `re` is the hash of the viewer's message that it answers. */
export const claimsToViewerSchema = v.object({
  iss: uidSchema,
  aud: thumbprintSchema,
  iat: time,
  seq: v.pipe(v.number(), v.integer(), v.minValue(0)),
  re: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, 'a SHA-256 in base64url')),
  msg: toViewerSchema,
});

/** The claims of a `hello`, signed only: the viewer knows no key of the camera yet. */
export const helloSchema = v.object({
  iss: thumbprintSchema,
  aud: uidSchema,
  jti: callId,
  iat: time,
  enc: publicKeySchema,
  /** Shows knowledge of a code; missing where the viewer is on the camera's list already. */
  proof: v.optional(proof),
});

/** JWS `typ` of each kind: what was signed as one is no use as another. */
export const SIGNED_TYPE = {
  hello: 'peercam-hello+jws',
  toCamera: 'peercam-to-camera+jws',
  toViewer: 'peercam-to-viewer+jws',
} as const;

/** A camera's `bye` with this reason: the viewer was taken off its list, and watches no longer. */
export const REVOKED = 'you no longer have access to this camera';

export type PairMessage = v.InferOutput<typeof pairSchema>;
export type HereMessage = v.InferOutput<typeof hereSchema>;
export type PairedMessage = v.InferOutput<typeof pairedSchema>;
export type CallMessage = v.InferOutput<typeof callSchema>;
export type CandidateMessage = v.InferOutput<typeof candidateSchema>;
export type ByeMessage = v.InferOutput<typeof byeSchema>;
export type AnswerMessage = v.InferOutput<typeof answerSchema>;
export type RefusalMessage = v.InferOutput<typeof refusalSchema>;
/** What belongs to a call, from the viewer. */
export type ToCamera = CallMessage | CandidateMessage | ByeMessage;
/** What belongs to a call, from the camera. */
export type ToViewer = AnswerMessage | CandidateMessage | ByeMessage | (RefusalMessage & { readonly call: string });
