import { parseUid, type Uid } from './uid.ts';

/** Where a camera's retained presence stands: written by the camera, or by the broker as its last will. */
export const statusTopic = (uid: Uid): string => `peercam/1/cam/${uid}/status`;

/** A camera's mailbox: viewers write, the camera reads. */
export const cameraInbox = (uid: Uid): string => `peercam/1/cam/${uid}/in`;

/** A viewer's mailbox: cameras write, the viewer reads. */
export const viewerInbox = (thumbprint: string): string => `peercam/1/viewer/${thumbprint}/in`;

/** What the server itself tells one camera: the time, relay credentials. */
export const serverNotes = (uid: Uid): string => `peercam/1/cam/${uid}/server`;

export type Topic =
  | { readonly kind: 'status'; readonly uid: Uid }
  | { readonly kind: 'camera-inbox'; readonly uid: Uid }
  | { readonly kind: 'server-notes'; readonly uid: Uid }
  | { readonly kind: 'viewer-inbox'; readonly thumbprint: string };

/** Base64url of 32 bytes: an RFC 7638 thumbprint. */
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

export function isThumbprint(text: string): boolean {
  return THUMBPRINT.test(text);
}

const CAMERA_LEAVES = { status: 'status', in: 'camera-inbox', server: 'server-notes' } as const;

/** Reads a topic; undefined when it is none of ours, or holds wildcards, or a UID that cannot be. */
export function parseTopic(topic: string): Topic | undefined {
  const [root, version, area, name, leaf, ...rest] = topic.split('/');
  if (root !== 'peercam' || version !== '1' || name === undefined || rest.length > 0) return undefined;
  if (area === 'cam' && leaf !== undefined && Object.hasOwn(CAMERA_LEAVES, leaf)) {
    const uid = parseUid(name);
    if (uid !== name) return undefined;
    return { kind: CAMERA_LEAVES[leaf as keyof typeof CAMERA_LEAVES], uid };
  }
  if (area === 'viewer' && leaf === 'in' && isThumbprint(name)) return { kind: 'viewer-inbox', thumbprint: name };
  return undefined;
}
