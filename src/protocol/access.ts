import * as v from 'valibot';
import { rightsSchema } from './rights.ts';
import { parseSetupCode, type SetupCode } from './setup-code.ts';
import { thumbprintSchema } from './token.ts';

/**
 * Who may use a camera, over the control channel. Params and results of the methods `access.…`, `camera.rename` and
 * `audit.read`. All times are ms since 1970 by the camera's clock. A method that refuses says so with an error whose
 * `data.code` is one of `access.…` (see identity/access-book.ts).
 */

/** What people call a viewer or a camera: one line, without control characters. */
export const nameSchema = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1, 'at least one character'),
  v.maxLength(64, 'at most 64 characters'),
  v.check((text) => !/\p{Cc}/u.test(text), 'no control characters'),
);

const time = v.pipe(v.number(), v.integer(), v.minValue(0));
const invitationId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{16}$/, 'an invitation id of 16 base64url characters'));
const wholeHours = (most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(1, 'at least 1 hour'), v.maxValue(most, `at most ${most} hours`));

/** Longest life of an invitation, hours. */
export const MAX_INVITATION_HOURS = 30 * 24;
/** Longest time a guest may be let in for, hours; without an end there is no limit. */
export const MAX_ACCESS_HOURS = 366 * 24;
/** Most entries one `audit.read` answers. */
export const MAX_AUDIT_PAGE = 50;

export const accessEntrySchema = v.object({
  thumbprint: thumbprintSchema,
  name: v.string(),
  rights: rightsSchema,
  addedAt: time,
  /** From then on the viewer is a stranger. */
  expiresAt: v.optional(time),
  lastSeenAt: v.optional(time),
  /** Thumbprint of the owner who invited; missing where the code on the label was used. */
  invitedBy: v.optional(thumbprintSchema),
});
export type AccessEntry = v.InferOutput<typeof accessEntrySchema>;

/** An open invitation. Its code is told once, to who made it. */
export const openInvitationSchema = v.object({
  id: invitationId,
  rights: rightsSchema,
  transfer: v.boolean(),
  madeAt: time,
  expiresAt: time,
  accessHours: v.optional(v.number()),
  by: thumbprintSchema,
  note: v.string(),
});
export type OpenInvitation = v.InferOutput<typeof openInvitationSchema>;

/** Result of `access.list` (no params). Who is no owner gets only the own entry, and no invitations. */
export const accessListSchema = v.object({
  /** Thumbprint of who asks. */
  me: thumbprintSchema,
  entries: v.array(accessEntrySchema),
  invitations: v.array(openInvitationSchema),
  pairing: v.object({
    state: v.picklist(['open', 'closed', 'locked', 'damaged']),
    attemptsLeft: v.number(),
    /** How long the label's code still counts after a press of the button, ms; 0 where it was not pressed. */
    windowMs: v.number(),
  }),
});
export type AccessList = v.InferOutput<typeof accessListSchema>;

/** Params of `access.invite`; needs `owner`. */
export const inviteSchema = v.strictObject({
  /** What the guest may; with `transfer` everything, whatever stands here. */
  rights: rightsSchema,
  /** For whom, in words for people. */
  note: v.pipe(v.string(), v.trim(), v.maxLength(64, 'at most 64 characters')),
  expiresInHours: wholeHours(MAX_INVITATION_HOURS),
  /** Whoever uses it becomes the only owner: everybody else is erased. */
  transfer: v.optional(v.boolean(), false),
  /** How long the guest may use the camera, from the moment the invitation is used; without it, until revoked. */
  accessHours: v.optional(wholeHours(MAX_ACCESS_HOURS)),
});
/** Result of `access.invite`. The link is `labelAddress(viewer, uid, code)`. */
export const invitedSchema = v.object({
  id: invitationId,
  code: v.pipe(
    v.string(),
    v.check((text) => parseSetupCode(text) === text, 'a code of 16 characters'),
    v.transform((text) => text as SetupCode),
  ),
  expiresAt: time,
});
export type Invited = v.InferOutput<typeof invitedSchema>;

/** Params of `access.cancelInvitation`; needs `owner`; result null, also where it is gone already. */
export const cancelInvitationSchema = v.strictObject({ id: invitationId });

/** Params of `access.revoke`: needs `owner`, except for oneself; result null. */
export const revokeSchema = v.strictObject({ thumbprint: thumbprintSchema });

/** Params of `access.setRights`; needs `owner`; result null. */
export const setRightsSchema = v.strictObject({ thumbprint: thumbprintSchema, rights: rightsSchema });

/** Params of `access.rename`: needs `owner`, except for oneself; result null. */
export const renameSchema = v.strictObject({ thumbprint: thumbprintSchema, name: nameSchema });

/** Params of `camera.rename`; needs `settings`; result null. */
export const renameCameraSchema = v.strictObject({ name: nameSchema });

/** Params of `audit.read`; needs `owner`. Entries with a number below `before`, or the newest. */
export const auditReadSchema = v.strictObject({
  before: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_AUDIT_PAGE, `at most ${MAX_AUDIT_PAGE}`)),
});

/** Result of `audit.read`: newest first. */
export const auditPageSchema = v.object({
  entries: v.array(
    v.looseObject({
      n: v.number(),
      at: v.number(),
      /** What happened; the other fields depend on it, see identity/audit-event.ts. */
      event: v.string(),
      viewer: v.optional(v.string()),
      name: v.optional(v.string()),
      by: v.optional(v.string()),
      reason: v.optional(v.string()),
      /** As many more like it were only counted. */
      repeated: v.optional(v.number()),
    }),
  ),
  /** Whether older entries are there; they begin below the last one's `n`. */
  more: v.boolean(),
  /** False where lines of the log were changed or removed. */
  intact: v.boolean(),
});
export type AuditPage = v.InferOutput<typeof auditPageSchema>;
