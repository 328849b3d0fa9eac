import type { KeyObject, X509Certificate } from 'node:crypto';
import { checkServerIdentity } from 'node:tls';
import { AppError } from '#lib/error.ts';
import { certificateDetails } from './certificate-details.ts';

/** ms since 1970: the time in which every certificate of a chain is valid. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface PathOptions {
  readonly host: string;
  /** The server's own. */
  readonly leaf: X509Certificate;
  /** What else the server sent, in any order. */
  readonly offered: readonly X509Certificate[];
  /** The authorities trusted; only those that issued themselves count, as in OpenSSL. */
  readonly anchors: readonly X509Certificate[];
  /** ms since 1970; it is certainly not earlier than this. */
  readonly floor: number;
}

const MAX_AUTHORITIES = 6;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_PURPOSE = '2.5.29.37.0';
const NAME_CONSTRAINTS = '2.5.29.30';
/** Basic constraints, key usage, alternative names, extended key usage: what is looked at here. */
const UNDERSTOOD = new Set(['2.5.29.19', '2.5.29.15', '2.5.29.17', '2.5.29.37']);
/** RSA with SHA-2 (RFC 4055), ECDSA with SHA-2 (RFC 5758), EdDSA (RFC 8410). */
const SIGNATURES = new Set([
  '1.2.840.113549.1.1.10',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.3.101.112',
  '1.3.101.113',
]);
const MIN_RSA_BITS = 2048;

/**
 * Checks a server's certificate as OpenSSL does (RFC 5280 section 6, as far as TLS servers need it), but for a machine
 * that does not know the time, only a time that is certainly over: what ended before it has expired; what begins after
 * it tells that it is later. Whatever this code does not understand is refused. Throws an AppError `server.untrusted`.
 */
export function checkPath(options: PathOptions): Validity {
  const { host, leaf, offered, anchors, floor } = options;
  const wrongName = checkServerIdentity(host, leaf.toLegacyObject());
  if (wrongName) throw untrusted(host, `its certificate is for somebody else (${leaf.subjectAltName ?? 'no name'})`);
  const roots = anchors.filter((anchor) => issued(anchor, anchor));
  const problems: string[] = [];
  for (const path of paths(leaf, offered, roots)) {
    const problem = problemOf(path, floor);
    if (problem === undefined) return validityOf(path);
    problems.push(problem);
  }
  throw untrusted(host, problems[0] ?? 'no authority trusted here has vouched for its certificate');
}

/** For who connects: what was found, what it means, what to do. */
export function untrusted(host: string, why: string): AppError {
  return new AppError(
    'server.untrusted',
    `the server ${host} cannot show that it is the right one: ${why}. Nothing was sent to it. Check the server's ` +
      'address and certificate, and the authority named with --server-ca',
    { retry: true },
  );
}

/** ms since 1970. */
export function validityOf(path: readonly X509Certificate[]): Validity {
  return {
    notBefore: Math.max(...path.map(({ validFrom }) => Date.parse(validFrom))),
    notAfter: Math.min(...path.map(({ validTo }) => Date.parse(validTo))),
  };
}

/** Every way from the leaf to a root by names and signatures: leaf first, root last. */
function* paths(
  leaf: X509Certificate,
  offered: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  below: readonly X509Certificate[] = [],
): Generator<readonly X509Certificate[]> {
  const path = [...below, leaf];
  if (roots.some((root) => same(root, leaf))) {
    yield path;
    return;
  }
  if (path.length > MAX_AUTHORITIES) return;
  for (const root of roots) if (issued(root, leaf)) yield [...path, root];
  for (const next of offered) {
    if (!path.some((used) => same(used, next)) && issued(next, leaf)) yield* paths(next, offered, roots, path);
  }
}

function problemOf(path: readonly X509Certificate[], floor: number): string | undefined {
  const [leaf, ...authorities] = path;
  const leafDetails = certificateDetails(leaf!.raw);
  if (leafDetails.strange(UNDERSTOOD)) return 'its certificate has critical extensions that are not understood here';
  if (!mayServe(leaf!)) return 'its certificate is not one of a server';
  for (const [index, authority] of authorities.entries()) {
    const { pathLength, strange, has } = certificateDetails(authority.raw);
    if (!authority.ca) return `"${nameOf(authority)}", which signed for it, is no authority`;
    if (pathLength !== undefined && index > pathLength)
      return `"${nameOf(authority)}" may not vouch for it so far down`;
    if (strange(UNDERSTOOD) || has(NAME_CONSTRAINTS)) {
      return `"${nameOf(authority)}" is an authority under conditions that are not understood here`;
    }
    if (!mayServe(authority)) return `"${nameOf(authority)}" may not vouch for servers`;
  }
  for (const certificate of path) if (!strongKey(certificate.publicKey)) return 'a key of its chain is too weak';
  // A root's signature on itself proves nothing, so how it was made does not matter.
  for (const certificate of path.slice(0, Math.max(1, path.length - 1))) {
    if (!SIGNATURES.has(certificateDetails(certificate.raw).signature)) return 'a signature of its chain is too weak';
  }
  const { notBefore, notAfter } = validityOf(path);
  // A certificate that exists has begun: if that is after the floor, so is the present. NaN fits nothing.
  if (!(notAfter > Math.max(floor, notBefore))) return 'its certificate, or one that vouches for it, has expired';
  return undefined;
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function same(a: X509Certificate, b: X509Certificate): boolean {
  return a.raw.equals(b.raw);
}

/** Without any purpose named, a certificate is for all. */
function mayServe({ keyUsage }: X509Certificate): boolean {
  const purposes = keyUsage as string[] | undefined;
  return purposes === undefined || purposes.includes(SERVER_AUTH) || purposes.includes(ANY_PURPOSE);
}

function strongKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'rsa' || asymmetricKeyType === 'rsa-pss') {
    return (asymmetricKeyDetails?.modulusLength ?? 0) >= MIN_RSA_BITS;
  }
  return asymmetricKeyType === 'ec' || asymmetricKeyType === 'ed25519' || asymmetricKeyType === 'ed448';
}

function nameOf({ subject }: X509Certificate): string {
  return subject.replaceAll('\n', ', ').slice(0, 100);
}
