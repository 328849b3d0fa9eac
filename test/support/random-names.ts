import { createHash, randomBytes } from 'node:crypto';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';

/** A UID that no camera has. */
export const randomUid = (): Uid => uidFromKeyHash(randomBytes(32));
/** A thumbprint that no viewer has. */
export const randomThumbprint = (): string => createHash('sha256').update(randomBytes(32)).digest('base64url');
/** A public key in form only. */
export const formalKey = { kty: 'EC', crv: 'P-256', x: `${'x'.repeat(42)}w`, y: `${'y'.repeat(42)}w` } as const;
