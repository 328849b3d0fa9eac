import { createHash, type X509Certificate } from 'node:crypto';

/** A certificate's name in the world, short: hash of its issuer's name and the number the issuer gave it. */
export type Serial = string;

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const VERSION = 0xa0;

/**
 * Certificates that are no longer good, from certificate revocation lists (RFC 5280 section 5). The file is the
 * administrator's own, so its signatures are not checked: who can write it can also write the CA file beside it.
 */
export class RevocationList {
  private readonly serials: ReadonlySet<Serial>;

  constructor(serials: ReadonlySet<Serial> = new Set()) {
    this.serials = serials;
  }

  /** Reads one or several lists, PEM or one of DER. Throws where there is none, or one that cannot be read. */
  static parse(file: Buffer): RevocationList {
    const text = file.toString('latin1');
    const blocks = [...text.matchAll(/-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g)];
    const lists = blocks.length > 0 ? blocks.map((match) => Buffer.from(match[1]!, 'base64')) : [file];
    return new RevocationList(new Set(lists.flatMap((der) => [...revokedIn(der)])));
  }

  get size(): number {
    return this.serials.size;
  }

  hasAny(serials: readonly Serial[]): boolean {
    return serials.some((serial) => this.serials.has(serial));
  }
}

export function serialsOf(chain: readonly Pick<X509Certificate, 'raw'>[]): Serial[] {
  return chain.map(({ raw }) => serialOf(raw));
}

/** CertificateList → TBSCertList: version?, signature, issuer, thisUpdate, nextUpdate?, revokedCertificates? */
function* revokedIn(der: Buffer): Generator<Serial> {
  const fields = elements(first(first(der, SEQUENCE).content, SEQUENCE).content);
  if (fields[0]?.tag === INTEGER) fields.shift();
  const [, issuer, , ...rest] = fields;
  if (issuer?.tag !== SEQUENCE) throw new Error('not a revocation list');
  const list = rest.find(({ tag }) => tag === SEQUENCE);
  for (const entry of list ? elements(list.content) : []) {
    yield nameOf(issuer.content, first(entry.content, INTEGER).content);
  }
}

/** Certificate → TBSCertificate: [0] version?, serialNumber, signature, issuer, … */
function serialOf(der: Buffer): Serial {
  const fields = elements(first(first(der, SEQUENCE).content, SEQUENCE).content);
  if (fields[0]?.tag === VERSION) fields.shift();
  const [serial, , issuer] = fields;
  return nameOf(issuer!.content, serial!.content);
}

function nameOf(issuer: Buffer, serial: Buffer): Serial {
  return createHash('sha256').update(issuer).update(serial).digest('base64url').slice(0, 22);
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

function first(der: Buffer, tag: number): Element {
  const element = readElement(der, 0);
  if (element.tag !== tag) throw new Error('not a revocation list');
  return element;
}

function elements(der: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const element = readElement(der, at);
    found.push(element);
    at = element.end;
  }
  return found;
}

/** One tag-length-value of DER (X.690): single-byte tags, definite lengths of up to four bytes. */
function readElement(der: Buffer, at: number): Element & { readonly end: number } {
  const short = der[at + 1];
  if (short === undefined) throw new Error('DER ends early');
  const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
  if (lengthBytes > 4 || short === 0x80 || at + 2 + lengthBytes > der.length) throw new Error('bad length in DER');
  const length = lengthBytes === 0 ? short : der.readUIntBE(at + 2, lengthBytes);
  const start = at + 2 + lengthBytes;
  const end = start + length;
  if (end > der.length) throw new Error('DER ends early');
  return { tag: der[at]!, content: der.subarray(start, end), end };
}
