import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, errors, type JWK, jwtVerify, SignJWT } from 'jose';
import * as v from 'valibot';
import { writeAtomically } from '#lib/atomic-file.ts';
import { AppError, errorText } from '#lib/error.ts';
import { ProtocolError, parseAs } from '#protocol/parse.ts';
import { thumbprintSchema, uidSchema } from '#protocol/token.ts';
import { cameraInbox, statusTopic, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Identity } from './access.ts';

const ISSUER = 'peercam-server';
const TYPE = 'JWT';
const FILE = 'token-key.pem';

const claimsSchema = v.object({
  sub: thumbprintSchema,
  exp: v.pipe(v.number(), v.integer()),
  cams: v.array(uidSchema),
});

export interface TokensOptions {
  /** Folder of the key that signs, so that tokens outlive a restart; empty for a new key at every start. */
  readonly folder: string;
  /** How long a token is good for, seconds. */
  readonly lifeSeconds: number;
  /** ms since 1970. */
  readonly now?: () => number;
}

/** The viewers' passwords at the broker: JWT (RFC 7519) signed by this server, checked here or by a broker (JWKS). */
export class Tokens {
  readonly lifeSeconds: number;
  private readonly folder: string;
  private readonly now: () => number;
  private key: KeyObject | undefined;
  private publicJwk: JWK = {};

  constructor({ folder, lifeSeconds, now = Date.now }: TokensOptions) {
    this.folder = folder;
    this.lifeSeconds = lifeSeconds;
    this.now = now;
  }

  /** Rejects with an AppError (`server.state`) when the key cannot be read or saved. */
  async start(): Promise<void> {
    this.key = this.folder ? await savedKey(this.folder) : newKey();
    const { x, y } = createPublicKey(this.key).export({ format: 'jwk' });
    const jwk = { kty: 'EC', crv: 'P-256', x, y } as JWK;
    this.publicJwk = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'ES256', use: 'sig' };
  }

  /** RFC 7517, for brokers that check tokens themselves. */
  get jwks(): { readonly keys: readonly JWK[] } {
    return { keys: [this.publicJwk] };
  }

  /** A token for one viewer, good for the presence of these cameras. */
  async issue(thumbprint: string, cameras: readonly Uid[]): Promise<string> {
    const iat = Math.floor(this.now() / 1000);
    return new SignJWT({ cams: [...cameras], acl: aclOf(thumbprint, cameras) })
      .setProtectedHeader({ alg: 'ES256', typ: TYPE, kid: this.publicJwk.kid! })
      .setIssuer(ISSUER)
      .setSubject(thumbprint)
      .setIssuedAt(iat)
      .setExpirationTime(iat + this.lifeSeconds)
      .sign(this.key!);
  }

  /** Whose token it is. Throws a ProtocolError. */
  async identify(token: string): Promise<Identity & { kind: 'viewer' }> {
    const { sub, exp, cams } = parseAs(claimsSchema, await this.verified(token), 'token');
    return { kind: 'viewer', thumbprint: sub, cameras: new Set(cams), expiresAt: exp * 1000 };
  }

  private async verified(token: string): Promise<unknown> {
    try {
      const options = { issuer: ISSUER, algorithms: ['ES256'], typ: TYPE, currentDate: new Date(this.now()) };
      return (await jwtVerify(token, createPublicKey(this.key!), options)).payload;
    } catch (error) {
      const expired = error instanceof errors.JWTExpired;
      throw new ProtocolError('token', expired ? 'exp' : '', expired ? 'expired' : 'not one of this server');
    }
  }
}

/** In EMQX's format; what is not in it is refused. */
function aclOf(thumbprint: string, cameras: readonly Uid[]) {
  return { pub: [cameraInbox('+' as Uid)], sub: [viewerInbox(thumbprint), ...cameras.map(statusTopic)], all: [] };
}

function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

async function savedKey(folder: string): Promise<KeyObject> {
  const path = join(folder, FILE);
  try {
    return createPrivateKey(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(path, error);
  }
  const key = newKey();
  try {
    await mkdir(folder, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await writeAtomically(path, key.export({ type: 'pkcs8', format: 'pem' }) as string, { mode: 0o600 });
  } catch (error) {
    throw unusable(path, error);
  }
  return key;
}

function unusable(path: string, error: unknown): AppError {
  const text = `the key for viewers' tokens, ${path}, cannot be used (${errorText(error)}): give a writable folder with --state, or delete the file for a new key`;
  return new AppError('server.state', text, { cause: error });
}
