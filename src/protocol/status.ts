import * as v from 'valibot';

/** Longest status payload, bytes. */
export const MAX_STATUS = 4096;

/** 32 bytes in base64url, in the only way that leaves no bit unused: one key has one thumbprint. */
const coordinate = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/, '32 bytes in base64url'));

export const publicKeySchema = v.object({
  kty: v.literal('EC'),
  crv: v.literal('P-256'),
  x: coordinate,
  y: coordinate,
});

const epochMs = v.pipe(v.number(), v.integer(), v.minValue(0));

/**
 * A camera's presence, retained at its status topic.
 * `online`: written by the camera when it has connected. `leaving`: its goodbye, before a planned absence.
 * `offline`: its last will, written by the broker. A will is fixed when the camera connects and cannot hold the
 * time of death: a broker that can (the embedded one) adds `since`; on MQTT 5 the message's remaining expiry tells it
 * (see `WILL_EXPIRY_SECONDS`).
 */
export const statusSchema = v.object({
  state: v.picklist(['online', 'leaving', 'offline']),
  /** Since when the camera has been in this state, ms since 1970. */
  since: v.optional(epochMs),
  /** Why it leaves, for people: `restarting`, `updating`, … */
  reason: v.optional(v.pipe(v.string(), v.maxLength(200))),
  /** When it expects to be back, ms since 1970. */
  backBy: v.optional(epochMs),
  firmware: v.optional(v.pipe(v.string(), v.maxLength(64))),
  name: v.optional(v.pipe(v.string(), v.maxLength(64))),
  /**
   * SHA-256 (base64url) of thumbprints whose grants are revoked but not expired yet: the server refuses those grants.
   * The list tells nobody who they are.
   */
  revoked: v.optional(
    v.pipe(v.array(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, '43 base64url characters'))), v.maxLength(32)),
  ),
  /** The device's public key; the viewer checks it against the UID. */
  key: v.optional(publicKeySchema),
});

export type Status = v.InferOutput<typeof statusSchema>;
export type PublicKeyJwk = v.InferOutput<typeof publicKeySchema>;

/**
 * MQTT 5 Message Expiry Interval of a camera's will, seconds (10 years). A broker hands a retained message out with
 * its interval less the time it has waited (MQTT 5.0, 3.3.2.3.3): what is missing from this number is how long ago
 * the camera went away.
 */
export const WILL_EXPIRY_SECONDS = 315_360_000;

/**
 * Since when the camera has been in this state, ms since 1970; undefined when the broker leaves no trace of it.
 * @param expirySeconds the `messageExpiryInterval` the status arrived with (MQTT 5), undefined where it had none
 * @param now ms since 1970
 */
export function stateSince(status: Status, expirySeconds: number | undefined, now: number): number | undefined {
  if (status.since !== undefined) return status.since;
  if (status.state !== 'offline' || expirySeconds === undefined || expirySeconds > WILL_EXPIRY_SECONDS)
    return undefined;
  return now - (WILL_EXPIRY_SECONDS - expirySeconds) * 1000;
}
