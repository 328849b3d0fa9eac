import { join } from 'node:path';
import * as v from 'valibot';
import { readIfThere, writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';
import { rightsSchema } from '#protocol/rights.ts';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { publicKeySchema } from '#protocol/status.ts';
import { thumbprintSchema } from '#protocol/token.ts';

/** The file in the state directory that says who may use this camera. It holds open invitations' codes: mode 0600. */
export const ACCESS_FILE = 'access.json';
/** People on the list. */
export const MAX_ENTRIES = 64;
/** Invitations that are open at once. */
export const MAX_INVITATIONS = 16;
/** Former viewers whose grants the server is told to refuse (see protocol/status.ts). */
export const MAX_REVOKED = 32;
/** Codes that no longer count, kept so that who comes with one learns why. */
export const MAX_SPENT = 16;

const MAX_FILE = 512 * 1024;

const time = v.pipe(v.number(), v.integer(), v.minValue(0));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const text = v.pipe(v.string(), v.maxLength(200));
const code = v.pipe(
  v.string(),
  v.check((value) => parseSetupCode(value) === value, 'a code of 16 characters'),
  v.transform((value) => value as SetupCode),
);

const entrySchema = v.strictObject({
  thumbprint: thumbprintSchema,
  key: publicKeySchema,
  name: text,
  rights: rightsSchema,
  /** ms since 1970, as all times here. */
  addedAt: time,
  /** From then on this viewer is a stranger. Owners have none. */
  expiresAt: v.optional(time),
  lastSeenAt: v.optional(time),
  /** Thumbprint of the owner who made the invitation; missing where the label's code was used. */
  invitedBy: v.optional(thumbprintSchema),
});

const invitationSchema = v.strictObject({
  id: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{16}$/)),
  code,
  rights: rightsSchema,
  /** Whoever uses it becomes sole owner; everybody else is erased. */
  transfer: v.boolean(),
  madeAt: time,
  expiresAt: time,
  /** How long whoever uses it may use the camera, hours; missing: until revoked. */
  accessHours: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** Thumbprint of the owner who made it. */
  by: thumbprintSchema,
  /** For whom, in words for people. */
  note: text,
  /** Wrong codes heard while it was open. */
  failures: count,
});

const spentSchema = v.strictObject({ code, why: v.picklist(['used', 'cancelled', 'expired']), at: time });

const stateSchema = v.strictObject({
  v: v.literal(1),
  entries: v.pipe(v.array(entrySchema), v.maxLength(MAX_ENTRIES)),
  invitations: v.pipe(v.array(invitationSchema), v.maxLength(MAX_INVITATIONS)),
  spent: v.pipe(v.array(spentSchema), v.maxLength(MAX_SPENT)),
  /** Newest first. `hash`: SHA-256 of the thumbprint, base64url. */
  revoked: v.pipe(v.array(v.strictObject({ hash: thumbprintSchema, at: time })), v.maxLength(MAX_REVOKED)),
  /** Wrong codes since the last button press or reset. */
  failures: count,
});

export type Entry = Readonly<v.InferOutput<typeof entrySchema>>;
export type Invitation = Readonly<v.InferOutput<typeof invitationSchema>>;
export type AccessState = Readonly<v.InferOutput<typeof stateSchema>>;

export const emptyAccess: AccessState = { v: 1, entries: [], invitations: [], spent: [], revoked: [], failures: 0 };

/**
 * What the file says; empty where there is none yet; the reason where it is damaged. Rejects with an AppError where it
 * cannot be read at all.
 */
export async function readAccess(stateDir: string): Promise<{ state: AccessState } | { damage: string }> {
  const path = join(stateDir, ACCESS_FILE);
  let content: string | undefined;
  try {
    content = await readIfThere(path);
  } catch (error) {
    throw new AppError(
      'access.unreadable',
      `the list of who may use this camera, ${path}, cannot be read (${errorText(error)}). Without it nobody could be ` +
        'let in or kept out, so the camera does not start: run it as the user who owns that file',
      { cause: error },
    );
  }
  if (content === undefined) return { state: emptyAccess };
  try {
    return { state: parseJsonAs(stateSchema, content, ACCESS_FILE, MAX_FILE) };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { damage: error.message };
  }
}

/** Replaces the file; see writeAtomically. */
export async function writeAccess(stateDir: string, state: AccessState): Promise<void> {
  const path = join(stateDir, ACCESS_FILE);
  try {
    await writeAtomically(path, `${JSON.stringify(state, null, 1)}\n`, { mode: 0o600 });
  } catch (error) {
    throw new AppError(
      'access.not-saved',
      `the list of who may use this camera cannot be saved (${errorText(error)}): is its disk full or read-only? ` +
        'See `peercamctl status`',
      { cause: error, retry: true },
    );
  }
}
