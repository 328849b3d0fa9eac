import type { Topic } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';

/** Who is at the other end of a connection: what was proven, by a certificate or by a token. */
export type Identity =
  | { readonly kind: 'camera'; readonly uid: Uid }
  | {
      readonly kind: 'viewer';
      readonly thumbprint: string;
      /** Whose presence it may see: those that gave it a grant. */
      readonly cameras: ReadonlySet<Uid>;
      /** When its token ends, ms since 1970. */
      readonly expiresAt: number;
    };

/** Longest client id, characters. */
const MAX_CLIENT_ID = 128;

/**
 * Why a client id is not this one's to use, or undefined. Ids are how a broker tells connections apart, and a second
 * connection takes the first one's place: so each identity has ids of its own, and a camera exactly one.
 */
export function refusalOfClientId(identity: Identity, clientId: string): string | undefined {
  if (identity.kind === 'camera') {
    return clientId === `cam-${identity.uid}` ? undefined : 'this client id belongs to another camera, or to none';
  }
  const own = `viewer-${identity.thumbprint}-`;
  const fits = clientId.startsWith(own) && clientId.length > own.length && clientId.length <= MAX_CLIENT_ID;
  return fits && /^[\w-]+$/.test(clientId) ? undefined : 'this client id is not this viewer’s';
}

/**
 * Why somebody may not write to a topic, or undefined. Decided by the identity and the topic alone: it makes no
 * difference whether there is such a camera.
 */
export function refusalToWrite(identity: Identity, topic: Topic): string | undefined {
  if (identity.kind === 'viewer') {
    return topic.kind === 'camera-inbox' ? undefined : 'viewers write to cameras only';
  }
  if (topic.kind === 'viewer-inbox') return undefined;
  if (topic.kind === 'status' && topic.uid === identity.uid) return undefined;
  return 'a camera writes its own status and to viewers only';
}

/** Why somebody may not listen to a topic, or undefined; as for writing. */
export function refusalToRead(identity: Identity, topic: Topic): string | undefined {
  if (identity.kind === 'camera') {
    const isOwn = topic.kind !== 'viewer-inbox' && topic.uid === identity.uid;
    return isOwn ? undefined : 'a camera listens to what is its own only';
  }
  if (topic.kind === 'viewer-inbox' && topic.thumbprint === identity.thumbprint) return undefined;
  if (topic.kind === 'status' && identity.cameras.has(topic.uid)) return undefined;
  return 'a viewer listens to its own mailbox and to cameras that gave it a grant only';
}

/** For logs and limits: whose actions these are. */
export function nameOf(identity: Identity): string {
  return identity.kind === 'camera' ? identity.uid : identity.thumbprint;
}
