import * as v from 'valibot';
import { rightsSchema } from './rights.ts';
import { parseUid, type Uid } from './uid.ts';
import { iceServerSchema } from './viewer-config.ts';

/**
 * A viewer's way into the broker. `GET <token>` answers `{nonce}` (config.json holds one too). `POST <token>` takes a
 * proof: a compact JWS by the viewer's key over that nonce, with the grants the viewer holds. The answer is a JWT: the
 * password of its MQTT connection, whose user name is its thumbprint and whose client id is `viewer-<thumbprint>-…`.
 */
export const PROOF_TYPE = 'peercam-proof+jws';
/** A camera's word that a viewer may: compact JWS by the device key, its certificate chain in the header (`x5c`). */
export const GRANT_TYPE = 'peercam-grant+jws';
/** Longest proof with its grants, bytes. */
export const MAX_PROOF = 128 * 1024;
/** Most grants in one proof: cameras one viewer remembers. */
export const MAX_GRANTS = 32;

const seconds = v.pipe(v.number(), v.integer(), v.minValue(0));
const compactJws = v.pipe(
  v.string(),
  v.maxLength(8192, 'at most 8192 characters'),
  v.regex(/^[\w-]+\.[\w-]+\.[\w-]+$/, 'a compact JWS'),
);
export const thumbprintSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_-]{43}$/, 'an RFC 7638 thumbprint of 43 base64url characters'),
);
export const uidSchema = v.pipe(
  v.string(),
  v.check((text) => parseUid(text) === text, 'a UID of 20 characters'),
  v.transform((text) => text as Uid),
);

export const proofRequestSchema = v.object({ proof: v.pipe(v.string(), v.maxLength(MAX_PROOF)) });

/** Payload of the proof; its header has `alg: ES256`, `typ`, and the viewer's public key as `jwk`. */
export const proofSchema = v.object({
  /** Origin of the token's URL, `https://cameras.example`: a proof for one server is worth nothing at another. */
  aud: v.pipe(v.string(), v.maxLength(300)),
  nonce: v.pipe(v.string(), v.maxLength(200)),
  grants: v.optional(v.pipe(v.array(compactJws), v.maxLength(MAX_GRANTS, `at most ${MAX_GRANTS} grants`))),
});

/** Payload of a grant (times in seconds since 1970, as in any JWT). */
export const grantSchema = v.object({
  iss: uidSchema,
  sub: thumbprintSchema,
  rights: rightsSchema,
  iat: seconds,
  exp: seconds,
});
export type Grant = v.InferOutput<typeof grantSchema>;

/** The server's answer. Grants that it does not accept are left out without a word. */
export const tokenSchema = v.object({
  token: v.pipe(v.string(), v.maxLength(8192)),
  /** How long it is good for, seconds. */
  expiresIn: seconds,
  /** With a relay's credentials for holders of a grant. */
  iceServers: v.array(iceServerSchema),
  /** The cameras whose status this token may read. */
  cameras: v.array(uidSchema),
});
export type Token = v.InferOutput<typeof tokenSchema>;

/** What the server tells a camera at `serverNotes(uid)`, when it connects and again before the relay's time is up. */
export const serverNotesSchema = v.object({
  /** The server's clock, ms since 1970. */
  now: v.pipe(v.number(), v.integer(), v.minValue(0)),
  iceServers: v.optional(v.array(iceServerSchema)),
});
export type ServerNotes = v.InferOutput<typeof serverNotesSchema>;
