/** `bytes` random bytes as base64url, no padding. 32 bytes look like a viewer's address (an RFC 7638 thumbprint). */
export function randomName(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return btoa(String.fromCharCode(...random))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}
