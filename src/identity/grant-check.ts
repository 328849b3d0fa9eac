import { X509Certificate } from 'node:crypto';
import { compactVerify, decodeProtectedHeader } from 'jose';
import * as v from 'valibot';
import { ProtocolError, parseAs, parseJsonAs } from '#protocol/parse.ts';
import { GRANT_TYPE, type Grant, grantSchema } from '#protocol/token.ts';
import { type CertifiedDevice, certifiedDevice } from './device-certificate.ts';

export interface GrantCheckOptions {
  /** The factory CAs' certificates, as they are now. */
  authorities(): readonly X509Certificate[];
  /** Whether a certificate of the chain has been revoked. */
  isRevoked(chain: readonly X509Certificate[]): boolean;
}

/** Longest payload of a grant, bytes. */
const MAX_PAYLOAD = 4096;
/** A camera gives grants for a week; whatever its clock says, nobody gets one for much longer, ms. */
const MAX_LIFE_MS = 8 * 24 * 3600_000;

const headerSchema = v.object({
  alg: v.literal('ES256'),
  typ: v.literal(GRANT_TYPE),
  x5c: v.pipe(
    v.array(v.pipe(v.string(), v.maxLength(8192), v.base64('base64 of a certificate'))),
    v.minLength(1, 'at least one certificate'),
    v.maxLength(4, 'at most 4 certificates'),
  ),
  crit: v.optional(v.never('no extensions')),
});

/** Checks a camera's word that a viewer may use it, knowing nothing of the camera but the factory CA. */
export class GrantCheck {
  private readonly options: GrantCheckOptions;

  constructor(options: GrantCheckOptions) {
    this.options = options;
  }

  /**
   * Throws a ProtocolError where the grant is not this viewer's, not a camera's, or not valid now.
   * @param thumbprint of the key the viewer has proven to hold
   * @param now ms since 1970
   */
  async check(jws: string, thumbprint: string, now: number): Promise<Grant> {
    const { uid, chain } = this.signer(jws, now);
    const payload = await verified(jws, chain[0]!);
    const grant = parseJsonAs(grantSchema, payload, 'grant', MAX_PAYLOAD);
    if (grant.iss !== uid) throw wrong('iss', 'signed by another camera');
    if (grant.sub !== thumbprint) throw wrong('sub', 'given to another viewer');
    if (grant.exp * 1000 <= now) throw wrong('exp', 'expired');
    if (grant.exp * 1000 > now + MAX_LIFE_MS) throw wrong('exp', 'valid for longer than any camera gives');
    return grant;
  }

  private signer(jws: string, now: number): CertifiedDevice {
    const [certificate, ...offered] = certificatesIn(jws);
    const authorities = this.options.authorities();
    const device = certifiedDevice({ certificate: certificate!, offered, authorities, now });
    if (this.options.isRevoked(device.chain)) throw wrong('x5c', 'the camera’s certificate is revoked');
    return device;
  }
}

function certificatesIn(jws: string): X509Certificate[] {
  let header: unknown;
  try {
    header = decodeProtectedHeader(jws);
  } catch {
    throw wrong('', 'not a JWS');
  }
  const { x5c } = parseAs(headerSchema, header, 'grant header');
  try {
    return x5c.map((der) => new X509Certificate(Buffer.from(der, 'base64')));
  } catch {
    throw wrong('x5c', 'not a certificate');
  }
}

async function verified(jws: string, certificate: X509Certificate): Promise<Uint8Array> {
  try {
    return (await compactVerify(jws, certificate.publicKey, { algorithms: ['ES256'] })).payload;
  } catch {
    throw wrong('signature', 'it does not fit');
  }
}

function wrong(field: string, problem: string): ProtocolError {
  return new ProtocolError('grant', field, problem);
}
