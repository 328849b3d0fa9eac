import type { Logger } from '#lib/logger.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import { MAX_STATUS, type Status, statusSchema } from '#protocol/status.ts';
import type { Uid } from '#protocol/uid.ts';

/** What the server knows of presence: the form of a status, and a line in the log when a camera comes or goes. */
export class Presence {
  private readonly log: Logger;
  private readonly online = new Set<Uid>();

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
    const { state, reason, firmware } = this.parse(payload);
    const isOnline = state === 'online';
    if (isOnline === this.online.has(uid)) return;
    if (isOnline) this.online.add(uid);
    else this.online.delete(uid);
    this.log.info({ uid, ...(reason && { reason }), ...(firmware && { firmware }) }, `camera ${state}`);
  }
}
