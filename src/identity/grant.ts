import { CompactSign } from 'jose';
import type { Right } from '#protocol/rights.ts';
import { GRANT_TYPE, type Grant } from '#protocol/token.ts';
import type { Uid } from '#protocol/uid.ts';
import type { SigningKey } from './keys.ts';

/** How long a grant is good for: a revoked viewer keeps nothing of worth, a seldom viewer need not ask twice. */
export const GRANT_SECONDS = 7 * 24 * 3600;

/** Makes the camera's word, for the server, that a viewer may use it. */
export class GrantIssuer {
  private readonly uid: Uid;
  private readonly key: SigningKey;
  private readonly chain: string[];
  private readonly now: () => number;

  /** @param options.certificatePem the device certificate first, then its issuers; `now` in ms since 1970 */
  constructor(options: {
    readonly uid: Uid;
    readonly key: SigningKey;
    readonly certificatePem: string;
    readonly now: () => number;
  }) {
    this.uid = options.uid;
    this.key = options.key;
    this.chain = derOf(options.certificatePem);
    this.now = options.now;
  }

  /** A compact JWS that shows by its certificate chain (RFC 7515, 4.1.6) that a camera of this factory made it. */
  issue(thumbprint: string, rights: readonly Right[]): Promise<string> {
    const iat = Math.floor(this.now() / 1000);
    const grant: Grant = { iss: this.uid, sub: thumbprint, rights: [...rights], iat, exp: iat + GRANT_SECONDS };
    return new CompactSign(new TextEncoder().encode(JSON.stringify(grant)))
      .setProtectedHeader({ alg: 'ES256', typ: GRANT_TYPE, x5c: this.chain })
      .sign(this.key.privateKey);
  }
}

function derOf(pem: string): string[] {
  const blocks = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return [...blocks].map((match) => match[1]!.replaceAll(/\s/g, ''));
}
