import { webcrypto } from 'node:crypto';
import '../../src/factory/reflect.ts';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as never);

/** A certificate with its key, and what to sign others with. */
export interface TestCertificate {
  readonly certificate: x509.X509Certificate;
  readonly pem: string;
  readonly keyPem: string;
  readonly keys: CryptoKeyPair;
}

type CryptoKeyPair = { privateKey: webcrypto.CryptoKey; publicKey: webcrypto.CryptoKey };

export interface Wish {
  readonly name: string;
  /** Self-signed without. */
  readonly issuer?: TestCertificate;
  /** An authority's, with this path length; not an authority's without. */
  readonly pathLength?: number;
  /** An authority without path length. */
  readonly authority?: boolean;
  readonly hosts?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly purposes?: readonly string[];
  readonly extensions?: readonly x509.Extension[];
  /** Signs with somebody else's key, under the issuer's name. */
  readonly forgedBy?: TestCertificate;
  readonly hash?: string;
  readonly rsaBits?: number;
}

const DAY_MS = 86_400_000;
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export async function makeCertificate(wish: Wish): Promise<TestCertificate> {
  const { hash = 'SHA-256', rsaBits } = wish;
  const algorithm = rsaBits
    ? { name: 'RSASSA-PKCS1-v1_5', hash, modulusLength: rsaBits, publicExponent: new Uint8Array([1, 0, 1]) }
    : { name: 'ECDSA', namedCurve: 'P-256', hash };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const { issuer } = wish;
  const signer = wish.forgedBy ?? issuer;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${wish.name}`,
    issuer: issuer?.certificate.subject ?? `CN=${wish.name}`,
    notBefore: wish.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: wish.notAfter ?? new Date(Date.now() + 365 * DAY_MS),
    publicKey: keys.publicKey as never,
    signingKey: (signer ?? { keys }).keys.privateKey as never,
    signingAlgorithm: { ...(signer?.keys.privateKey.algorithm ?? algorithm), hash } as never,
    extensions: [...extensionsOf(wish)],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    certificate,
    pem: certificate.toString('pem'),
    keyPem: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
    keys,
  };
}

export function extension(oid: string, critical: boolean, value: Uint8Array): x509.Extension {
  return new x509.Extension(oid, critical, value as never);
}

function* extensionsOf(wish: Wish): Generator<x509.Extension> {
  const authority = wish.authority || wish.pathLength !== undefined;
  yield new x509.BasicConstraintsExtension(authority, wish.pathLength, true);
  if (authority) {
    yield new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true);
  }
  if (wish.hosts) {
    const names = wish.hosts.map((host) => ({ type: /^[\d.]+$/.test(host) ? 'ip' : 'dns', value: host }) as const);
    yield new x509.SubjectAlternativeNameExtension(names);
  }
  if (wish.purposes) yield new x509.ExtendedKeyUsageExtension([...wish.purposes] as never);
  yield* wish.extensions ?? [];
}
