import type { SetupCode } from './setup-code.ts';
import type { Uid } from './uid.ts';

/**
 * What a label's QR code and an invitation link hold: the viewer's address with UID and code behind its `#`, which a
 * browser never sends to any server.
 * @param viewer the viewer's address, `https://view.example/`
 */
export function labelAddress(viewer: string, uid: Uid, code: SetupCode): string {
  const url = new URL(viewer);
  url.hash = `${uid}.${code}`;
  return url.href;
}
