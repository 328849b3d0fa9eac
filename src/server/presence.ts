import { createHash } from 'node:crypto';
import type { Logger } from '#lib/logger.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, statusSchema } from '#protocol/status.ts';
import type { Uid } from '#protocol/uid.ts';

/** What the server knows of presence: the form of a status, who is there, and a line in the log when that changes. */
export class Presence {
  private readonly log: Logger;
  private readonly online = new Set<Uid>();
  /** Hashes of the viewers that a camera has thrown out and whose grants have not expired yet. */
  private readonly revoked = new Map<Uid, readonly string[]>();

  constructor(options: { log: Logger }) {
    this.log = options.log;
  }

  /** Throws a ProtocolError that names the field. */
  parse(payload: Uint8Array): Status {
    return parseJsonAs(statusSchema, payload, 'status', MAX_STATUS);
  }

  /** A last will with the time of death on it, which the camera could not know when it wrote it. */
  stamp(payload: Uint8Array, now: number): Buffer {
    const status = this.parse(payload);
    return Buffer.from(JSON.stringify({ ...status, since: now }));
  }

  /** A status that has been published. */
  note(uid: Uid, payload: Uint8Array): void {
    const { state, reason, firmware, revoked = [] } = this.parse(payload);
    // A last will was written before the latest revocation: it takes none back.
    if (revoked.length > 0) this.revoked.set(uid, revoked);
    else if (state === 'online') this.revoked.delete(uid);
    const isOnline = state === 'online';
    if (isOnline === this.online.has(uid)) return;
    if (isOnline) this.online.add(uid);
    else this.online.delete(uid);
    this.log.info({ uid, ...(reason && { reason }), ...(firmware && { firmware }) }, `camera ${state}`);
  }

  /** Whether the camera has thrown this viewer out. */
  hasRevoked(uid: Uid, thumbprint: string): boolean {
    const revoked = this.revoked.get(uid);
    return revoked?.includes(createHash('sha256').update(thumbprint).digest('base64url')) ?? false;
  }

  /** The cameras that can be reached now. */
  get reachable(): ReadonlySet<Uid> {
    return this.online;
  }
}
