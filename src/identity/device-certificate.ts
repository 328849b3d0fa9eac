import { createHash, X509Certificate } from 'node:crypto';
import { ProtocolError } from '#protocol/parse.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';

/** A device certificate and all that vouches for it. */
export interface CertifiedDevice {
  readonly uid: Uid;
  /** The device's own certificate first, the factory CA last. */
  readonly chain: readonly X509Certificate[];
}

/** Most authorities above a device certificate: the root, and the intermediates of two production lines' depth. */
const MAX_AUTHORITIES = 3;

/** What Node tells of a certificate in a tenth of the time that its key object takes. */
interface LegacyCertificate {
  readonly subject?: { readonly CN?: unknown };
  readonly nistCurve?: string;
  /** The public point. */
  readonly pubkey?: Buffer;
}

/** SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480). */
const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const POINT_BYTES = 65;
const UNCOMPRESSED = 4;

/**
 * Who a certificate belongs to: its common name must be the UID that follows from its own key (P-256). So even an
 * authority that has been robbed can give nobody the name of a camera that exists.
 * Throws a ProtocolError; does not look at the issuer, see `certifiedDevice`.
 */
export function certifiedUid(certificate: X509Certificate): Uid {
  const { subject, nistCurve, pubkey } = certificate.toLegacyObject() as LegacyCertificate;
  if (nistCurve !== 'P-256' || pubkey?.length !== POINT_BYTES || pubkey[0] !== UNCOMPRESSED) {
    throw wrong('key', 'not a P-256 key');
  }
  const uid = uidFromKeyHash(createHash('sha256').update(SPKI_HEAD).update(pubkey).digest());
  // Several common names come as a list, which equals no text.
  if (subject?.CN !== uid) throw wrong('subject', 'its common name is not the UID of its own key');
  if (certificate.ca) throw wrong('basicConstraints', 'it is an authority’s, not a device’s');
  return uid;
}

/**
 * Checks a device certificate up to a factory CA (RFC 5280 section 6, as far as it applies here): names, signatures,
 * validity, and that authorities are authorities. Throws a ProtocolError.
 * @param offered further certificates that came with it, in any order
 * @param authorities the factory CAs' own certificates, and intermediates where the file has them
 * @param now ms since 1970
 */
export function certifiedDevice(options: {
  readonly certificate: X509Certificate;
  readonly offered: readonly X509Certificate[];
  readonly authorities: readonly X509Certificate[];
  readonly now: number;
}): CertifiedDevice {
  const { certificate, offered, authorities, now } = options;
  const uid = certifiedUid(certificate);
  const roots = authorities.filter((authority) => issued(authority, authority));
  const chain = [certificate];
  for (let current = certificate; ; ) {
    if (!isValid(current, now)) throw wrong('validity', 'a certificate of the chain has expired or is not valid yet');
    const root = roots.find((candidate) => issued(candidate, current));
    if (root) {
      if (!isValid(root, now)) throw wrong('validity', 'the factory CA has expired or is not valid yet');
      return { uid, chain: [...chain, root] };
    }
    const next = [...offered, ...authorities].find((candidate) => issued(candidate, current));
    if (!next || chain.length >= MAX_AUTHORITIES) throw wrong('issuer', 'no path leads to a factory CA');
    chain.push(next);
    current = next;
  }
}

/** All certificates of a PEM text, in its order. Throws where one of them cannot be read. */
export function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}

function wrong(field: string, problem: string): ProtocolError {
  return new ProtocolError('device certificate', field, problem);
}
