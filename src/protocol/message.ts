import * as v from 'valibot';

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

/** Camera → viewer: the answer to one call. */
export const answerSchema = v.object({ type: v.literal('answer'), call: callId, sdp });

/** Camera → viewer: no session, and why. `retry` says whether asking again can help. */
export const refusalSchema = v.object({
  type: v.literal('refusal'),
  call: callId,
  code: v.pipe(v.string(), v.maxLength(64, 'at most 64 characters')),
  message: v.pipe(v.string(), v.maxLength(500, 'at most 500 characters')),
  retry: v.boolean(),
});

/** What a camera's mailbox takes. */
export const toCameraSchema = v.variant('type', [callSchema, candidateSchema, byeSchema]);
/** What a viewer's mailbox takes. */
export const toViewerSchema = v.variant('type', [answerSchema, candidateSchema, refusalSchema, byeSchema]);

export type CallMessage = v.InferOutput<typeof callSchema>;
export type CandidateMessage = v.InferOutput<typeof candidateSchema>;
export type ByeMessage = v.InferOutput<typeof byeSchema>;
export type AnswerMessage = v.InferOutput<typeof answerSchema>;
export type RefusalMessage = v.InferOutput<typeof refusalSchema>;
export type ToCamera = v.InferOutput<typeof toCameraSchema>;
export type ToViewer = v.InferOutput<typeof toViewerSchema>;
