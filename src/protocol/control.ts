import * as v from 'valibot';

/**
 * The control channel: JSON-RPC 2.0 on one reliable, ordered data channel. The viewer opens it (see
 * `CONTROL_LABEL`) in its offer; requests go from viewer to camera, notifications from camera to viewer.
 */
export const CONTROL_LABEL = 'control';
/** Longest request, bytes. */
export const MAX_CONTROL = 16 * 1024;
/** Longest reply or notification, bytes: a full list of who may use the camera. */
export const MAX_CONTROL_REPLY = 64 * 1024;

const id = v.union([v.pipe(v.number(), v.integer()), v.pipe(v.string(), v.maxLength(64))]);

/** Any request; `params` are checked by the method's own schema. */
export const requestSchema = v.object({
  jsonrpc: v.literal('2.0'),
  id: v.optional(id),
  method: v.pipe(v.string(), v.maxLength(64)),
  params: v.optional(v.record(v.string(), v.unknown())),
});
export type ControlRequest = v.InferOutput<typeof requestSchema>;

export const responseSchema = v.object({
  jsonrpc: v.literal('2.0'),
  id: v.nullable(id),
  result: v.optional(v.unknown()),
  error: v.optional(v.object({ code: v.number(), message: v.string(), data: v.optional(v.unknown()) })),
});
export type ControlResponse = v.InferOutput<typeof responseSchema>;

/** JSON-RPC 2.0 section 5.1, and two of our own. */
export const RPC_ERROR = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** Ours (section 5.1 leaves -32000 to -32099): the caller lacks the right; what was asked for cannot be done. */
  forbidden: -32001,
  refused: -32002,
} as const;

/** The state of the camera's picture source, and of one that is down the reason, in words for people. */
export const sourceStateSchema = v.object({
  state: v.picklist(['idle', 'starting', 'live', 'down']),
  message: v.optional(v.string()),
  description: v.optional(v.string()),
  width: v.optional(v.number()),
  height: v.optional(v.number()),
  frameRate: v.optional(v.number()),
});
export type SourceState = v.InferOutput<typeof sourceStateSchema>;

/** Result of `session.info` (no params). */
export const sessionInfoSchema = v.object({
  uid: v.string(),
  name: v.string(),
  firmware: v.string(),
  viewers: v.number(),
  source: sourceStateSchema,
});
export type SessionInfo = v.InferOutput<typeof sessionInfoSchema>;

/**
 * Result of `clock.read` (no params): the RTP timestamp (90 kHz, 32 bits, of this viewer's video stream) that a
 * picture captured at this very moment would carry. With the round trip halved, the viewer knows for each picture
 * how long ago it was captured.
 */
export const clockSchema = v.object({ rtp: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff)) });
export type ClockReading = v.InferOutput<typeof clockSchema>;

/** Notifications from the camera: `source.changed` carries a SourceState, `session.viewers` a count; `access.changed` asks to read `access.list` anew. */
export const notificationSchema = v.variant('method', [
  v.object({ jsonrpc: v.literal('2.0'), method: v.literal('source.changed'), params: sourceStateSchema }),
  v.object({
    jsonrpc: v.literal('2.0'),
    method: v.literal('session.viewers'),
    params: v.object({ viewers: v.number() }),
  }),
  v.object({ jsonrpc: v.literal('2.0'), method: v.literal('access.changed'), params: v.object({}) }),
  v.object({
    jsonrpc: v.literal('2.0'),
    method: v.literal('camera.renamed'),
    params: v.object({ name: v.pipe(v.string(), v.maxLength(64)) }),
  }),
]);
export type ControlNotification = v.InferOutput<typeof notificationSchema>;
