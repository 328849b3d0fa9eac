import { randomBytes, webcrypto } from 'node:crypto';
import './reflect.ts';
import * as x509 from '@peculiar/x509';
import type { Uid } from '#protocol/uid.ts';

/** A certificate authority in use: its certificate and the key that signs. */
export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

/** A fresh P-256 key and the certificate made for it. */
export interface Certified {
  readonly certificate: x509.X509Certificate;
  /** PKCS #8 PEM. */
  readonly keyPem: string;
}

/** One line of a revocation list. */
export interface Revocation {
  /** The certificate's serial number, hex. */
  readonly serial: string;
  readonly at: Date;
}

/** "No well-defined expiration date": 99991231235959Z (RFC 5280, 4.1.2.5; IEEE 802.1AR, 8.7). */
export const NO_EXPIRY = new Date('9999-12-31T23:59:59Z');

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** So that a server whose clock is a little behind this machine's accepts what was made a minute ago. */
const CLOCK_TOLERANCE_MS = DAY_MS;

x509.cryptoProvider.set(webcrypto as never);

/** A self-signed authority above one level of other authorities (`pathLength` 1) or above none (0). */
export async function makeRoot(options: { name: string; pathLength: number; notAfter?: Date }): Promise<Certified> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: commonName(options.name),
    notBefore: new Date(Date.now() - CLOCK_TOLERANCE_MS),
    notAfter: options.notAfter ?? NO_EXPIRY,
    signingAlgorithm: ECDSA,
    keys,
    extensions: await authorityExtensions(keys.publicKey, options.pathLength),
  });
  return { certificate, keyPem: await pemOfKey(keys.privateKey) };
}

/** An authority that signs end entities only (path length 0). */
export async function makeIntermediate(issuer: Issuer, name: string): Promise<Certified> {
  const keys = await generateKeys();
  const certificate = await issue(issuer, {
    subject: commonName(name),
    publicKey: keys.publicKey,
    notBefore: issuer.certificate.notBefore,
    notAfter: NO_EXPIRY,
    extensions: await authorityExtensions(keys.publicKey, 0),
  });
  return { certificate, keyPem: await pemOfKey(keys.privateKey) };
}

/**
 * A board's IDevID (IEEE 802.1AR): CN = UID, no expiry, for signatures and TLS clients only. It starts to be valid
 * with its issuer, so that a wrong clock at the line cannot make a board that no server accepts.
 */
export async function makeDeviceCertificate(
  issuer: Issuer,
  { uid, publicKey, serial }: { uid: Uid; publicKey: x509.PublicKey; serial: string },
): Promise<x509.X509Certificate> {
  return issue(issuer, {
    serialNumber: serial,
    subject: commonName(uid),
    publicKey,
    notBefore: issuer.certificate.notBefore,
    notAfter: NO_EXPIRY,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
}

/** A TLS server's certificate and key for these names and addresses. */
export async function makeServerCertificate(
  issuer: Issuer,
  options: { hosts: readonly string[]; days: number },
): Promise<Certified> {
  const keys = await generateKeys();
  const certificate = await issue(issuer, {
    subject: commonName(options.hosts[0]!.slice(0, 64)),
    publicKey: keys.publicKey,
    notBefore: new Date(Date.now() - CLOCK_TOLERANCE_MS),
    notAfter: new Date(Date.now() + options.days * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        options.hosts.map((host) => ({ type: isAddress(host) ? ('ip' as const) : ('dns' as const), value: host })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate, keyPem: await pemOfKey(keys.privateKey) };
}

/**
 * A revocation list, PEM. It does not run out: OpenSSL refuses every certificate once a list is overdue, and a fleet
 * that goes dark because nobody renewed a file is the greater harm.
 */
export async function makeCrl(issuer: Issuer, revoked: readonly Revocation[], number: number): Promise<string> {
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.certificate.subjectName,
    thisUpdate: new Date(Date.now() - CLOCK_TOLERANCE_MS),
    nextUpdate: NO_EXPIRY,
    signingAlgorithm: ECDSA,
    signingKey: issuer.key,
    entries: revoked.map(({ serial, at }) => ({
      serialNumber: serial,
      revocationDate: at,
      reason: x509.X509CrlReason.privilegeWithdrawn,
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey),
      new x509.Extension(CRL_NUMBER, false, derInteger(number)),
    ],
  });
  // The library's own label, "CRL", is not one OpenSSL reads (RFC 7468, 6).
  return `${x509.PemConverter.encode(crl.rawData, 'X509 CRL')}\n`;
}

/**
 * A certificate's serial number, 128 bits as hex, all but the first two of them random: 0, since the number is
 * positive, and 1, since its length is fixed.
 */
export function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** Certificate and key of an authority from their PEM texts. */
export async function readIssuer(certificatePem: string, keyPem: string): Promise<Issuer> {
  const der = x509.PemConverter.decodeFirst(keyPem);
  return {
    certificate: new x509.X509Certificate(certificatePem),
    key: await webcrypto.subtle.importKey('pkcs8', der, ECDSA, false, ['sign']),
  };
}

/** One certificate as PEM text with its last line ended, so that texts can be joined. */
export function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

/** id-ce-cRLNumber, RFC 5280, 5.2.3. */
const CRL_NUMBER = '2.5.29.20';

async function issue(
  issuer: Issuer,
  options: {
    serialNumber?: string;
    subject: x509.Name;
    publicKey: x509.PublicKeyType;
    notBefore: Date;
    notAfter: Date;
    extensions: x509.Extension[];
  },
): Promise<x509.X509Certificate> {
  const { extensions, serialNumber = newSerial(), ...rest } = options;
  return x509.X509CertificateGenerator.create({
    ...rest,
    serialNumber,
    issuer: issuer.certificate.subjectName,
    signingKey: issuer.key,
    signingAlgorithm: ECDSA,
    extensions: [...extensions, await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey)],
  });
}

async function authorityExtensions(publicKey: webcrypto.CryptoKey, pathLength: number): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify']);
}

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

function commonName(name: string): x509.Name {
  return new x509.Name([{ CN: [{ utf8String: name }] }]);
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

function derInteger(value: number): Uint8Array<ArrayBuffer> {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex');
  const positive = bytes[0]! & 0x80 ? [0, ...bytes] : [...bytes];
  return new Uint8Array([0x02, positive.length, ...positive]);
}
