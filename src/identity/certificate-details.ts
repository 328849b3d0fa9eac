/** What Node's X509Certificate does not tell (RFC 5280). */
export interface CertificateDetails {
  /** OID of the algorithm it is signed with. */
  readonly signature: string;
  /** Of the basic constraints: how many authorities may stand below this one. */
  readonly pathLength: number | undefined;
  has(extension: string): boolean;
  /** Whether it has critical extensions that are not among `understood`. */
  strange(understood: ReadonlySet<string>): boolean;
}

interface Element {
  readonly tag: number;
  readonly body: Buffer;
}

interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

const TAG = { boolean: 0x01, integer: 0x02, sequence: 0x30, extensions: 0xa3 } as const;
const BASIC_CONSTRAINTS = '2.5.29.19';

/** Reads a DER certificate that OpenSSL has parsed already; throws an Error on what is none. */
export function certificateDetails(der: Buffer): CertificateDetails {
  const [certificate] = elements(der);
  const [body, algorithm] = elements(certificate!.body);
  const [oid] = elements(algorithm!.body);
  const extensions = extensionsOf(body!.body);
  return {
    signature: oidText(oid!.body),
    pathLength: pathLengthOf(extensions.get(BASIC_CONSTRAINTS)),
    has: (extension) => extensions.has(extension),
    strange: (understood) => [...extensions].some(([name, { critical }]) => critical && !understood.has(name)),
  };
}

function extensionsOf(body: Buffer): ReadonlyMap<string, Extension> {
  const block = elements(body).find(({ tag }) => tag === TAG.extensions);
  if (!block) return new Map();
  const [list] = elements(block.body);
  return new Map(
    elements(list!.body).map(({ body: extension }) => {
      const parts = elements(extension);
      const critical = parts[1]!.tag === TAG.boolean && parts[1]!.body[0] !== 0;
      return [oidText(parts[0]!.body), { critical, value: parts.at(-1)!.body }];
    }),
  );
}

function pathLengthOf(constraints: Extension | undefined): number | undefined {
  if (!constraints) return undefined;
  const [sequence] = elements(constraints.value);
  const length = elements(sequence!.body).find(({ tag }) => tag === TAG.integer);
  return length?.body.reduce((value, byte) => value * 256 + byte, 0);
}

/** The elements one after the other (X.690, definite lengths). */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at]!;
    let length = bytes[at + 1] ?? Number.NaN;
    let start = at + 2;
    if (length > 0x80) {
      const digits = length - 0x80;
      length = bytes.subarray(start, start + digits).reduce((value, byte) => value * 256 + byte, 0);
      start += digits;
    }
    if (!(start + length <= bytes.length)) throw new Error('not DER');
    found.push({ tag, body: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}

/** Dotted text of an object identifier (X.690, 8.19). */
function oidText(bytes: Buffer): string {
  const parts: number[] = [];
  let value = 0;
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f);
    if (byte & 0x80) continue;
    parts.push(value);
    value = 0;
  }
  const [first = 0, ...rest] = parts;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join('.');
}
