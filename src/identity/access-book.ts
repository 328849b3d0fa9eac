import { createHash, randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '#lib/clock.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { mayDo, RIGHTS, type Right } from '#protocol/rights.ts';
import { SETUP_CODE_BYTES, type SetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import {
  type AccessState,
  type Entry,
  emptyAccess,
  type Invitation,
  MAX_ENTRIES,
  MAX_INVITATIONS,
  MAX_REVOKED,
  MAX_SPENT,
  readAccess,
  writeAccess,
} from './access-file.ts';

export type { Entry, Invitation };

/** A code that lets somebody in just now, and what it makes of them. */
export interface AcceptableCode {
  /** `label`, or the invitation's id. */
  readonly id: string;
  readonly code: SetupCode;
  readonly rights: readonly Right[];
  readonly transfer: boolean;
  readonly invitedBy?: string;
}

/** A code that does not let anybody in any more, and what to tell who comes with it. */
export interface SpentCode {
  readonly code: SetupCode;
  readonly refusal: { readonly code: string; readonly message: string };
}

/** Whether the label's code lets somebody in. `locked`: too many wrong codes; `damaged`: the list cannot be read. */
export type PairingState = 'open' | 'closed' | 'locked' | 'damaged';

export interface Newcomer {
  readonly thumbprint: string;
  readonly key: PublicKeyJwk;
  /** What the newcomer calls itself, at most 64 characters. */
  readonly name: string;
}

export interface InviteOptions {
  readonly rights: readonly Right[];
  /** Whoever uses it becomes sole owner; everybody else is erased. `rights` then do not matter. */
  readonly transfer: boolean;
  /** How long the invitation is good for, hours. */
  readonly expiresInHours: number;
  /** How long whoever uses it may use the camera, hours; until revoked where left out. Not for owners. */
  readonly accessHours?: number;
  /** Thumbprint of the owner who invites. */
  readonly by: string;
  /** For whom, in words for people. */
  readonly note: string;
}

export interface AccessBookOptions {
  readonly stateDir: string;
  /** The label's. */
  readonly setupCode: SetupCode;
  /** ms since 1970, as well as this camera knows. */
  now(): number;
  readonly log: Logger;
  /** Monotonic; for the 15 minutes after a button press. */
  readonly clock?: Clock;
}

/** Wrong codes after which the label's code does not count until a button press. */
export const MAX_ATTEMPTS = 10;
/** How long the label's code counts after a button press. */
export const PAIRING_WINDOW_MS = 15 * 60_000;
/** Wrong codes after which an invitation is void, and spent codes are no longer explained. Of 2^80, a guess at 2^-70. */
const MAX_GUESSES = 1000;
/** Grants live that long: afterwards nobody needs to be told that one is revoked. */
const GRANT_MS = 7 * 24 * 3_600_000;
/** When somebody was last seen is worth a disk write now and then, not one a call. */
const SEEN_SAVE_MS = 10 * 60_000;
const SEEN_STEP_MS = 60_000;
const HOUR_MS = 3_600_000;

export type RevokedListener = (thumbprint: string, why: 'revoked' | 'expired') => void;

interface ChangeOptions {
  /** In force before it is on the disk: what takes rights away must not wait for a slow or broken disk. */
  readonly atOnce?: boolean;
  /** The change deals with all wrong codes counted so far. */
  readonly settlesFailures?: boolean;
}

/**
 * Who may use this camera: the people on the list, the invitations to it, and the state of the label's code. Every
 * change is on the disk before it resolves; changes are made one after the other, so two newcomers cannot use one code.
 */
export class AccessBook {
  private readonly options: AccessBookOptions;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly changeListeners = new Set<() => void>();
  private readonly revokedListeners = new Set<RevokedListener>();
  private readonly seenAt = new Map<string, number>();
  private readonly damage: string | undefined;
  private state: AccessState;
  private changing: Promise<unknown> = Promise.resolve();
  /** Wrong codes that are counted but not yet on the disk: many at once get no more tries than one after the other. */
  private unsavedFailures = 0;
  private windowEndsAt = Number.NEGATIVE_INFINITY;
  private cancelWindow: (() => void) | undefined;
  private cancelExpiry: (() => void) | undefined;
  private cancelSeen: (() => void) | undefined;

  private constructor(options: AccessBookOptions, read: { state: AccessState } | { damage: string }) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.log = options.log;
    this.state = 'state' in read ? read.state : emptyAccess;
    this.damage = 'damage' in read ? read.damage : undefined;
  }

  /**
   * Reads the list. A damaged one is left where it is and makes nobody owner: the camera then lets nobody in until it
   * is reset. Rejects with an AppError where the file cannot be read.
   */
  static async open(options: AccessBookOptions): Promise<AccessBook> {
    const read = await readAccess(options.stateDir);
    const book = new AccessBook(options, read);
    if (book.damage !== undefined) options.log.error({ code: 'access.damaged' }, damaged(book.damage).message);
    book.watchExpiry();
    return book;
  }

  /** Stops its timers and saves what waits to be saved. */
  async close(): Promise<void> {
    this.cancelWindow?.();
    this.cancelExpiry?.();
    if (this.cancelSeen) await this.saveSeen();
    await this.changing.catch(() => {});
  }

  get hasOwner(): boolean {
    return this.state.entries.some(isOwner);
  }

  /** Somebody on the list; undefined for strangers and those whose time is over. */
  find(thumbprint: string): Entry | undefined {
    return this.list().find((entry) => entry.thumbprint === thumbprint);
  }

  /** Everybody on the list, oldest first. */
  list(): readonly Entry[] {
    const now = this.options.now();
    return this.state.entries.filter((entry) => !isOver(entry, now)).map((entry) => this.withSeen(entry));
  }

  /** The open invitations, oldest first. They hold their codes: not for logs. */
  invitations(): readonly Invitation[] {
    const now = this.options.now();
    return this.state.invitations.filter((invitation) => !isOver(invitation, now));
  }

  /** The codes that let somebody in just now. */
  acceptableCodes(): readonly AcceptableCode[] {
    const label = { id: 'label', code: this.options.setupCode, rights: RIGHTS, transfer: false };
    const invited = this.invitations()
      .filter(({ failures }) => failures + this.unsavedFailures < MAX_GUESSES)
      .map(({ id, code, rights, transfer, by }) => ({ id, code, rights, transfer, invitedBy: by }));
    return this.pairingState() === 'open' ? [label, ...invited] : invited;
  }

  /** The codes that once counted. Whoever knows one may hear why it does not; a stranger who guesses, soon no more. */
  spentCodes(): readonly SpentCode[] {
    if (this.failures >= MAX_GUESSES) return [];
    const state = this.pairingState();
    const label =
      state === 'open' ? [] : [{ code: this.options.setupCode, refusal: LABEL_REFUSALS[state] } satisfies SpentCode];
    const now = this.options.now();
    const expired = this.state.invitations.filter((invitation) => isOver(invitation, now));
    return [
      ...label,
      ...this.state.spent.map(({ code, why }) => ({ code, refusal: INVITATION_REFUSALS[why] })),
      ...expired.map(({ code }) => ({ code, refusal: INVITATION_REFUSALS.expired })),
    ];
  }

  pairingState(): PairingState {
    if (this.damage !== undefined) return 'damaged';
    if (this.hasOwner && this.clock.now() >= this.windowEndsAt) return 'closed';
    return this.attemptsLeft > 0 ? 'open' : 'locked';
  }

  /** Wrong codes that may still come before the label's code is locked. */
  get attemptsLeft(): number {
    return Math.max(0, MAX_ATTEMPTS - this.failures);
  }

  /** Until when the label's code counts, ms from now; 0 where no button was pressed. */
  get pairingWindowMs(): number {
    return Math.max(0, this.windowEndsAt - this.clock.now());
  }

  /** Somebody stands at the camera and pressed its button: the label's code counts for 15 minutes, with 10 tries. */
  async openPairing(): Promise<void> {
    await this.change((state) => ({ ...state, failures: 0 }), { settlesFailures: true });
    this.windowEndsAt = this.clock.now() + PAIRING_WINDOW_MS;
    this.cancelWindow?.();
    this.cancelWindow = this.clock.after(PAIRING_WINDOW_MS, () => this.tellChange());
    this.tellChange();
  }

  /** Counts a wrong code; on the disk when it resolves. */
  async noteFailure(): Promise<void> {
    if (this.damage !== undefined) return;
    if (this.failures >= MAX_GUESSES && this.invitations().length === 0) return;
    this.unsavedFailures++;
    const count = (state: AccessState): AccessState => {
      const fresh = this.unsavedFailures;
      if (fresh === 0) return state;
      const invitations = state.invitations.map((open) => ({ ...open, failures: open.failures + fresh }));
      return { ...state, invitations, failures: state.failures + fresh };
    };
    await this.change(count, { settlesFailures: true });
  }

  /**
   * Puts a newcomer who proved to know `code` on the list. Rejects with an AppError where the code does not count any
   * more (somebody was faster), the list is full, or it cannot be saved; nobody is let in then.
   */
  async admit(code: AcceptableCode, newcomer: Newcomer): Promise<Entry> {
    const admit = (state: AccessState): AccessState => {
      const current = this.acceptableCodes().find(({ id, code: value }) => id === code.id && value === code.code);
      if (!current) {
        const spent = this.spentCodes().find(({ code: value }) => value === code.code);
        const { code: reason, message } = spent?.refusal ?? INVITATION_REFUSALS.used;
        throw new AppError(reason, message);
      }
      return this.admitted(state, current, newcomer);
    };
    await this.change(admit, { settlesFailures: code.id === 'label' });
    if (code.id === 'label') this.closeWindow();
    return this.find(newcomer.thumbprint)!;
  }

  /** Makes a code that lets one person in, once. Rejects with an AppError where too many are open. */
  async invite(options: InviteOptions): Promise<Invitation> {
    const { transfer, by, note, accessHours } = options;
    const rights = transfer ? [...RIGHTS] : sorted(options.rights);
    const now = this.options.now();
    const invitation: Invitation = {
      id: randomBytes(12).toString('base64url'),
      code: setupCodeFrom(randomBytes(SETUP_CODE_BYTES)),
      rights,
      transfer,
      madeAt: now,
      expiresAt: now + Math.round(options.expiresInHours * HOUR_MS),
      ...(accessHours !== undefined && !rights.includes('owner') && { accessHours }),
      by,
      note: note.slice(0, 200),
      failures: 0,
    };
    await this.change((state) => {
      if (state.invitations.length >= MAX_INVITATIONS) {
        throw new AppError(
          'access.too-many-invitations',
          `${MAX_INVITATIONS} invitations are open already, which is the limit: cancel one that is not needed`,
        );
      }
      return { ...state, invitations: [...state.invitations, invitation] };
    });
    return invitation;
  }

  /** False where there is none of that id (any more). */
  async cancelInvitation(id: string): Promise<boolean> {
    let found = false;
    await this.change((state) => {
      found = state.invitations.some((invitation) => invitation.id === id);
      return found ? withoutInvitations(state, (invitation) => invitation.id === id, 'cancelled', this.now) : state;
    });
    return found;
  }

  /**
   * Takes somebody off the list, with the invitations they made. In force at once, even where it cannot be saved (it
   * then rejects). Rejects with an AppError for the last owner and for who is not on the list.
   */
  async revoke(thumbprint: string): Promise<void> {
    const revoke = (state: AccessState): AccessState => {
      const gone = entryOf(state, thumbprint);
      const next = withoutEntries(state, [gone], this.now);
      if (isOwner(gone) && !next.entries.some(isOwner)) throw lastOwner('be removed');
      return next;
    };
    await this.change(revoke, { atOnce: true });
  }

  async rename(thumbprint: string, name: string): Promise<void> {
    await this.change((state) => withEntry(state, { ...entryOf(state, thumbprint), name }));
  }

  /** Rejects with an AppError where nobody would be left as owner. In force at once, as `revoke` is. */
  async setRights(thumbprint: string, rights: readonly Right[]): Promise<void> {
    const set = (state: AccessState): AccessState => {
      const { expiresAt, ...entry } = entryOf(state, thumbprint);
      const changed: Entry = {
        ...entry,
        rights: sorted(rights),
        // An owner's time does not run out: the camera would be anybody's.
        ...(expiresAt !== undefined && !rights.includes('owner') && { expiresAt }),
      };
      const next = withEntry(state, changed);
      if (isOwner(entry) && !next.entries.some(isOwner)) throw lastOwner('give up ownership');
      const own = (invitation: Invitation) => invitation.by === thumbprint;
      return isOwner(changed) ? next : withoutInvitations(next, own, 'cancelled', this.now);
    };
    await this.change(set, { atOnce: true });
  }

  /** Somebody on the list was here just now. */
  seen(thumbprint: string): void {
    const now = this.options.now();
    const entry = this.find(thumbprint);
    if (!entry || (entry.lastSeenAt !== undefined && Math.abs(now - entry.lastSeenAt) < SEEN_STEP_MS)) return;
    this.seenAt.set(thumbprint, now);
    this.cancelSeen ??= this.clock.after(SEEN_SAVE_MS, () => void this.saveSeen());
  }

  /** For the status: SHA-256 (base64url) of those revoked less than 7 days ago, newest first, at most 32. */
  revokedHashes(): readonly string[] {
    const since = this.options.now() - GRANT_MS;
    return this.state.revoked.filter(({ at }) => at > since).map(({ hash }) => hash);
  }

  /** Called after every change of people, invitations or the pairing state; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.changeListeners.add(listener);
    return () => this.changeListeners.delete(listener);
  }

  /** Called at once when somebody is off the list: revoked (or erased by a transfer), or run out of time. */
  onRevoked(listener: RevokedListener): () => void {
    this.revokedListeners.add(listener);
    return () => this.revokedListeners.delete(listener);
  }

  private get failures(): number {
    return this.state.failures + this.unsavedFailures;
  }

  private readonly now = () => this.options.now();

  private admitted(state: AccessState, code: AcceptableCode, newcomer: Newcomer): AccessState {
    const { thumbprint, key, name } = newcomer;
    const now = this.options.now();
    const former = state.entries.find((entry) => entry.thumbprint === thumbprint);
    const invitation = state.invitations.find(({ id }) => id === code.id);
    const { accessHours } = invitation ?? {};
    const fresh: Entry = {
      thumbprint,
      key,
      // The owner wrote for whom; the browser only knows what it is.
      name: (invitation?.note ? `${invitation.note}, ${name}` : name).slice(0, 64),
      rights: sorted(code.rights),
      addedAt: former?.addedAt ?? now,
      ...(accessHours !== undefined && { expiresAt: now + accessHours * HOUR_MS }),
      lastSeenAt: now,
      ...(code.invitedBy !== undefined && { invitedBy: code.invitedBy }),
    };
    // Whoever is owner stays owner, whatever they were invited to; all others get what the code gives, no more, no less.
    const entry = former && isOwner(former) && !code.transfer ? { ...former, name: fresh.name } : fresh;
    this.seenAt.delete(thumbprint);
    let next = withoutInvitations(state, ({ id }) => id === code.id, 'used', this.now);
    const others = next.entries.filter((other) => other.thumbprint !== thumbprint);
    if (code.transfer) {
      next = withoutInvitations(withoutEntries(next, others, this.now), () => true, 'cancelled', this.now);
    } else if (others.length >= MAX_ENTRIES) {
      throw new AppError(
        'access.full',
        `${MAX_ENTRIES} viewers may use this camera already, which is its limit: have its owner remove one first`,
      );
    }
    // A grant for the newcomer must not be refused for a revocation of the past.
    const revoked = next.revoked.filter(({ hash }) => hash !== hashOf(thumbprint));
    return { ...withEntry({ ...next, revoked }, entry), ...(code.id === 'label' && { failures: 0 }) };
  }

  /**
   * One change after the other. Written first, then in force; with `atOnce` in force first, then written.
   * What `make` throws leaves everything as it was.
   */
  private change(make: (state: AccessState) => AccessState, options: ChangeOptions = {}): Promise<void> {
    const run = async () => {
      if (this.damage !== undefined) throw damaged(this.damage);
      const settled = options.settlesFailures ? this.unsavedFailures : 0;
      const next = this.tidied(make(this.state));
      if (next === this.state) return;
      if (!options.atOnce) await writeAccess(this.options.stateDir, next);
      const gone = this.state.entries.filter(
        ({ thumbprint }) => !next.entries.some((e) => e.thumbprint === thumbprint),
      );
      this.state = next;
      this.unsavedFailures -= settled;
      for (const entry of gone) this.tellRevoked(entry);
      this.tellChange();
      this.watchExpiry();
      if (options.atOnce) await writeAccess(this.options.stateDir, next);
    };
    const done = this.changing.then(run);
    this.changing = done.catch(() => {});
    return done;
  }

  /** With what is over removed, and what was seen noted: each write takes them along. */
  private tidied(state: AccessState): AccessState {
    const now = this.options.now();
    const gone = state.entries.filter((entry) => isOver(entry, now));
    let next = gone.length > 0 ? withoutEntries(state, gone, this.now) : state;
    if (next.invitations.some((invitation) => isOver(invitation, now))) {
      next = withoutInvitations(next, (invitation) => isOver(invitation, now), 'expired', this.now);
    }
    if (next === this.state) return next;
    return {
      ...next,
      entries: next.entries.map((entry) => this.withSeen(entry)),
      revoked: next.revoked.filter(({ at }) => at > now - GRANT_MS),
    };
  }

  private withSeen(entry: Entry): Entry {
    const at = this.seenAt.get(entry.thumbprint);
    return at === undefined ? entry : { ...entry, lastSeenAt: at };
  }

  private async saveSeen(): Promise<void> {
    this.cancelSeen?.();
    this.cancelSeen = undefined;
    try {
      await this.change((state) => ({ ...state }));
    } catch (error) {
      this.log.warn({}, `when viewers were last seen is not saved: ${errorText(error)}`);
    }
  }

  private closeWindow(): void {
    this.cancelWindow?.();
    this.windowEndsAt = Number.NEGATIVE_INFINITY;
    this.tellChange();
  }

  /** A guest whose time is over is gone at that moment, not at their next call. */
  private watchExpiry(): void {
    this.cancelExpiry?.();
    this.cancelExpiry = undefined;
    const ends = [...this.state.entries, ...this.state.invitations].flatMap(({ expiresAt }) => expiresAt ?? []);
    if (ends.length === 0) return;
    // Never for long: the wall clock may jump meanwhile.
    const wait = Math.min(HOUR_MS, Math.max(0, Math.min(...ends) - this.options.now()));
    this.cancelExpiry = this.clock.after(wait + 1, () => void this.expire());
  }

  private async expire(): Promise<void> {
    try {
      await this.change((state) => state, { atOnce: true });
    } catch (error) {
      this.log.warn({}, `an access that ran out is not saved as such: ${errorText(error)}`);
    }
    this.watchExpiry();
  }

  private tellChange(): void {
    for (const listener of [...this.changeListeners]) listener();
  }

  private tellRevoked(entry: Entry): void {
    const why = isOver(entry, this.options.now()) ? 'expired' : 'revoked';
    for (const listener of [...this.revokedListeners]) listener(entry.thumbprint, why);
  }
}

const LABEL_REFUSALS: Record<Exclude<PairingState, 'open'>, SpentCode['refusal']> = {
  closed: {
    code: 'pairing.closed',
    message:
      'this camera has an owner. Ask them for an invitation, or press the button on the camera: the code on its label ' +
      'then counts for 15 minutes',
  },
  locked: {
    code: 'pairing.locked',
    message:
      'too many wrong codes were tried, so the code on the label does not count now. Press the button on the camera, ' +
      'then scan the label again',
  },
  damaged: {
    code: 'pairing.damaged',
    message:
      'the camera cannot read its list of who may use it, so it lets nobody in. Reset it: hold its button for ten ' +
      'seconds, then scan the label again',
  },
};

const INVITATION_REFUSALS: Record<'used' | 'cancelled' | 'expired', SpentCode['refusal']> = {
  used: {
    code: 'invitation.used',
    message: 'this invitation has been used already; it is good for one person, once. Ask for another one',
  },
  cancelled: { code: 'invitation.cancelled', message: 'this invitation was cancelled. Ask for another one' },
  expired: { code: 'invitation.expired', message: "this invitation's time is over. Ask for another one" },
};

function isOwner(entry: { readonly rights: readonly Right[] }): boolean {
  return mayDo(entry.rights, 'owner');
}

function isOver({ expiresAt }: { readonly expiresAt?: number }, now: number): boolean {
  return expiresAt !== undefined && now >= expiresAt;
}

/** Without doubles, `view` among them, in the order of RIGHTS. */
function sorted(rights: readonly Right[]): Right[] {
  return RIGHTS.filter((right) => right === 'view' || rights.includes(right));
}

function entryOf(state: AccessState, thumbprint: string): Entry {
  const entry = state.entries.find((candidate) => candidate.thumbprint === thumbprint);
  if (entry) return entry;
  throw new AppError('access.unknown', 'that viewer is not on the list (any more)');
}

function withEntry(state: AccessState, entry: Entry): AccessState {
  const known = state.entries.some(({ thumbprint }) => thumbprint === entry.thumbprint);
  const entries = known
    ? state.entries.map((other) => (other.thumbprint === entry.thumbprint ? entry : other))
    : [...state.entries, entry];
  return { ...state, entries };
}

/** Their grants are revoked, and nobody comes back by an invitation they left behind. */
function withoutEntries(state: AccessState, gone: readonly Entry[], now: () => number): AccessState {
  const names = new Set(gone.map(({ thumbprint }) => thumbprint));
  const hashes = gone.map(({ thumbprint }) => ({ hash: hashOf(thumbprint), at: now() }));
  const earlier = state.revoked.filter(({ hash }) => !hashes.some((fresh) => fresh.hash === hash));
  const next = {
    ...state,
    entries: state.entries.filter(({ thumbprint }) => !names.has(thumbprint)),
    revoked: [...hashes, ...earlier].slice(0, MAX_REVOKED),
  };
  return withoutInvitations(next, ({ by }) => names.has(by), 'cancelled', now);
}

function withoutInvitations(
  state: AccessState,
  which: (invitation: Invitation) => boolean,
  why: 'used' | 'cancelled' | 'expired',
  now: () => number,
): AccessState {
  const gone = state.invitations.filter(which).map(({ code }) => ({ code, why, at: now() }));
  if (gone.length === 0) return state;
  return {
    ...state,
    invitations: state.invitations.filter((invitation) => !which(invitation)),
    spent: [...gone, ...state.spent].slice(0, MAX_SPENT),
  };
}

function hashOf(thumbprint: string): string {
  return createHash('sha256').update(thumbprint).digest('base64url');
}

function lastOwner(what: string): AppError {
  return new AppError(
    'access.last-owner',
    `the last owner cannot ${what}: the camera would be anybody's. Make somebody else owner first, hand the camera ` +
      'over with a transfer, or reset it',
  );
}

function damaged(why: string): AppError {
  return new AppError(
    'access.damaged',
    `the list of who may use this camera is damaged (${why}), so it lets nobody in and nobody change it. Restore ` +
      'access.json in the state directory, or reset the camera: hold its button for ten seconds, or `peercamctl reset`',
  );
}
