import { randomBytes } from 'node:crypto';
import { AppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { SessionInfo, SourceState } from '#protocol/control.ts';
import type { Right } from '#protocol/rights.ts';
import type { ControlMethod, notification } from './control.ts';
import { parseOffer } from './offer.ts';
import type { IceServer } from './rtc-peer.ts';
import { Session, type SessionOptions } from './session.ts';

export interface ViewersOptions extends Pick<SessionOptions, 'peers' | 'hub' | 'packetizer' | 'clock'> {
  /** STUN and TURN servers, as they are known at this moment: a relay's credentials change. */
  iceServers(): readonly IceServer[];
  readonly log: Logger;
  /** Most sessions at once. */
  readonly maxSessions: number;
  /** What a viewer can do on the control channel beside watching. */
  readonly methods: Readonly<Record<string, ControlMethod>>;
  /** The number of viewers whose media may flow has changed. */
  onCount?(viewers: number): void;
  /** Somebody else than who signed an offer was at the other end of its connection. */
  onImpostor?(viewer: string): void;
  /** What a viewer learns about the camera; the count of viewers is added here. */
  info(): Omit<SessionInfo, 'viewers'>;
}

/** How a session's events reach its viewer. */
export interface ViewerLink {
  /** The viewer's address, for logs and for telling whose session is whose. */
  readonly viewer: string;
  /** The IP address the offer came from, where the transport or the viewer tells. */
  readonly address?: string;
  /** What the viewer may at this moment. */
  rights(): readonly Right[];
  answer(sdp: string): void;
  candidate(candidate: string, mid: string): void;
  gathered(): void;
  ended(reason: string): void;
}

/** One viewer's sessions at once: one that plays, its successor, and one that has not noticed its end yet. */
const MAX_PER_VIEWER = 3;

/** All viewers of the camera: opens, finds and ends their sessions. */
export class Viewers {
  private readonly options: ViewersOptions;
  private readonly sessions = new Map<string, { session: Session; viewer: string }>();

  constructor(options: ViewersOptions) {
    this.options = options;
  }

  /** Sessions whose media may flow. */
  get count(): number {
    let live = 0;
    for (const { session } of this.sessions.values()) if (session.live) live++;
    return live;
  }

  /**
   * Opens a session for an offer of unknown content. Throws an AppError with the reason, for the viewer, when it cannot.
   * @param id the call's id, unique among the open sessions
   */
  open(id: string, sdp: string, link: ViewerLink): Session {
    const offer = parseOffer(sdp, link.address);
    if (this.sessions.has(id)) throw new AppError('call.repeated', 'this call has been answered already');
    this.makeRoom(link.viewer);
    const session = new Session({
      ...this.options,
      iceServers: this.options.iceServers(),
      id,
      offer,
      log: this.options.log,
      caller: () => ({ viewer: link.viewer, rights: link.rights() }),
      info: () => ({ ...this.options.info(), viewers: this.count }),
      onImpostor: () => this.options.onImpostor?.(link.viewer),
      onAnswer: (answer) => link.answer(answer),
      onCandidate: (candidate, mid) => link.candidate(candidate, mid),
      onGathered: () => link.gathered(),
      onConnected: () => this.tellCount(),
      onEnded: (reason) => {
        this.sessions.delete(id);
        link.ended(reason);
        this.tellCount();
      },
    });
    this.sessions.set(id, { session, viewer: link.viewer });
    try {
      session.start();
    } catch (error) {
      this.sessions.delete(id);
      throw error;
    }
    return session;
  }

  /** The session of a call, if it is open and this viewer's own. */
  find(id: string, viewer: string): Session | undefined {
    const entry = this.sessions.get(id);
    return entry?.viewer === viewer ? entry.session : undefined;
  }

  /** Tells every viewer about the source. */
  notifySource(state: SourceState): void {
    for (const { session } of this.sessions.values()) session.notifySource(state);
  }

  /** Tells every viewer something. */
  notify(message: Parameters<typeof notification>[0]): void {
    for (const { session } of this.sessions.values()) session.notify(message);
  }

  /** Ends all sessions of one viewer. */
  endOf(viewer: string, reason: string): void {
    for (const entry of [...this.sessions.values()]) if (entry.viewer === viewer) entry.session.end(reason);
  }

  /** Ends every session. */
  closeAll(reason: string): void {
    for (const { session } of [...this.sessions.values()]) session.end(reason);
  }

  private makeRoom(viewer: string): void {
    const own = [...this.sessions.values()].filter((entry) => entry.viewer === viewer);
    if (own.length >= MAX_PER_VIEWER) own[0]!.session.end('replaced by a newer call of the same viewer');
    if (this.sessions.size >= this.options.maxSessions) {
      throw new AppError(
        'camera.full',
        `the camera serves ${this.sessions.size} viewers already, which is its limit: try again when one has left`,
        { retry: true },
      );
    }
  }

  private tellCount(): void {
    const viewers = this.count;
    for (const { session } of this.sessions.values()) session.notifyViewers(viewers);
    this.options.onCount?.(viewers);
  }
}

/** A fresh id for a session that has no call. */
export function newSessionId(): string {
  return randomBytes(16).toString('base64url');
}
