/** The SHA-256 certificate fingerprints of an SDP (RFC 8122), upper-case hex with colons; one, mostly. */
export function fingerprintsOf(sdp: string): string[] {
  const found = sdp.matchAll(/^a=fingerprint:sha-256 ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})\s*$/gim);
  return [...new Set([...found].map((match) => match[1]!.toUpperCase()))];
}

/** The fingerprint of a DER certificate, in the same form. */
export async function fingerprintOf(certificate: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', certificate));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join(':');
}
