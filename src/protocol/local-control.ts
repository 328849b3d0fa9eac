import * as v from 'valibot';
import { accessListSchema } from './access.ts';
import { sourceStateSchema } from './control.ts';
import { uidSchema } from './token.ts';

/**
 * What `peercamctl` and the daemon say to each other through a Unix socket: JSON, one object a line. A request is
 * answered by one reply, in order. Whoever can open the socket is the camera's administrator.
 */
export const MAX_LOCAL_LINE = 64 * 1024;

export const localRequestSchema = v.strictObject({ command: v.picklist(['status', 'pair', 'access', 'reset']) });
export type LocalCommand = v.InferOutput<typeof localRequestSchema>['command'];

export const localReplySchema = v.union([
  v.object({ ok: v.literal(true), result: v.unknown() }),
  v.object({ ok: v.literal(false), error: v.object({ code: v.string(), message: v.string() }) }),
]);
export type LocalReply = v.InferOutput<typeof localReplySchema>;

/** Whether the label's code counts, and why not; see identity/access-book.ts. */
const pairingSchema = accessListSchema.entries.pairing;

/** Result of `status`. */
export const localStatusSchema = v.object({
  uid: uidSchema,
  name: v.string(),
  firmware: v.string(),
  /** Host of the broker, and whether viewers can find the camera there. */
  server: v.object({ host: v.string(), connected: v.boolean() }),
  viewers: v.number(),
  source: sourceStateSchema,
  owned: v.boolean(),
  /** How many people are on the list. */
  people: v.number(),
  pairing: pairingSchema,
  /** ms since 1970, as the camera believes; `behind`: the system's clock is wrong for sure. */
  time: v.object({ now: v.number(), behind: v.boolean() }),
  /** False where lines of the audit log were changed or removed. */
  auditIntact: v.boolean(),
});
export type LocalStatus = v.InferOutput<typeof localStatusSchema>;

/** Result of `access`. */
export const localAccessSchema = v.pick(accessListSchema, ['entries', 'invitations', 'pairing']);
export type LocalAccess = v.InferOutput<typeof localAccessSchema>;

/** Result of `pair`: how long the label's code counts, minutes. */
export const localPairSchema = v.object({ minutes: v.number() });
