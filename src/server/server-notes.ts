import type { ServerNotes as Notes } from '#protocol/token.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Relay } from './relay.ts';

export interface ServerNotesOptions {
  readonly relay: Relay;
  tell(uid: Uid, payload: Buffer): void;
  /** Whether a camera is still there; one that is not is forgotten. */
  isReachable(uid: Uid): boolean;
}

const HOUR_MS = 3600_000;
const LOOK_EVERY_MS = 1_000;

/** What the server itself tells cameras: the time, for those without a clock, and the relay's credentials. */
export class ServerNotes {
  private readonly options: ServerNotesOptions;
  private readonly everyMs: number;
  /** When each camera is told again, by `performance.now()`; in that order. */
  private readonly due = new Map<Uid, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(options: ServerNotesOptions) {
    this.options = options;
    const { relay } = options;
    // At half its life: a camera always holds credentials that last long enough for a call.
    this.everyMs = relay.exists ? (relay.ttl * 1000) / 2 : HOUR_MS;
  }

  start(): void {
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.due.clear();
  }

  /** A camera listens from now on. */
  listening(uid: Uid): void {
    const { relay, tell } = this.options;
    const iceServers = relay.credentialsFor(uid);
    const notes: Notes = { now: Date.now(), ...(iceServers.length > 0 && { iceServers }) };
    tell(uid, Buffer.from(JSON.stringify(notes)));
    this.due.delete(uid);
    this.due.set(uid, performance.now() + this.everyMs);
  }

  private look(): void {
    const now = performance.now();
    for (const [uid, due] of [...this.due]) {
      if (due > now) return;
      this.due.delete(uid);
      if (this.options.isReachable(uid)) this.listening(uid);
    }
  }
}
