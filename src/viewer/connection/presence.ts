import { type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { ViewerParley } from '#identity/viewer-parley.ts';
import type { Status } from '#protocol/status.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Self } from '../memory/self.ts';
import type { Post } from './broker.ts';
import type { Timer } from './timer.ts';

/** Whether a remembered camera is there, as far as can be known from here. */
export type Presence =
  | { readonly state: 'asking' | 'online' | 'unknown' | 'no-server' }
  | { readonly state: 'offline' | 'leaving'; readonly since: number | undefined; readonly reason?: string | undefined };

/** A camera that was asked and has not answered by then is not there, or not for us. */
const ANSWER_WITHIN_MS = 4000;
const ASKING: Presence = { state: 'asking' };

/**
 * The presence of all remembered cameras at once, over one connection: read from their status where the server lets
 * this viewer, asked of the camera itself (`hello`) where not.
 */
export class PresenceWatch {
  readonly presences: ReadonlySignal<ReadonlyMap<Uid, Presence>>;
  private readonly known: Signal<ReadonlyMap<Uid, Presence>> = signal(new Map());
  private readonly self: Self;
  private readonly post: Post;
  private readonly timer: Timer;
  private readonly parleys = new Map<Uid, ViewerParley>();
  private readonly timers = new Set<() => void>();
  private leave: (() => void) | undefined;
  private renewed = false;

  constructor(options: { readonly self: Self; readonly post: Post; readonly timer: Timer }) {
    this.self = options.self;
    this.post = options.post;
    this.timer = options.timer;
    this.presences = this.known;
  }

  start(): void {
    if (this.leave) return;
    this.leave = this.post.join({
      relays: () => {},
      online: (readable) => this.online(readable),
      lost: () => this.all({ state: 'no-server' }),
      status: (uid, status) => this.set(uid, presenceOf(status)),
      mail: (payload) => void this.read(payload),
    });
  }

  stop(): void {
    this.leave?.();
    this.leave = undefined;
    for (const cancel of this.timers) cancel();
    this.timers.clear();
    this.known.value = new Map();
  }

  private online(readable: ReadonlySet<Uid>): void {
    this.all(ASKING);
    const unread = this.self.cameras.value.some(({ known }) => known.grant && !readable.has(known.uid));
    // A connection that was made for one camera may not read the presence of the others.
    if (unread && !this.renewed) {
      this.renewed = true;
      this.post.renew({ atOnce: true }).catch((error: unknown) => console.warn('peercam: a fresh token', error));
    }
    for (const { known } of this.self.cameras.value) {
      if (known.rights && !readable.has(known.uid)) void this.ask(known.uid);
    }
    this.after(() => {
      for (const [uid, { state }] of this.known.value) if (state === 'asking') this.set(uid, { state: 'unknown' });
    });
  }

  private async ask(uid: Uid): Promise<void> {
    const parley = new ViewerParley({
      uid,
      key: this.self.key,
      known: this.self.camera(uid)?.known,
      changed: (known) => this.self.learn(known),
    });
    this.parleys.set(uid, parley);
    this.post.publish(uid, await parley.hello());
  }

  private async read(payload: Uint8Array): Promise<void> {
    for (const [uid, parley] of this.parleys) {
      try {
        const news = await parley.open(payload);
        if (news?.kind === 'here') this.set(uid, { state: 'online' });
      } catch (error) {
        console.warn('peercam: a message was refused', error);
      }
    }
  }

  private all(presence: Presence): void {
    this.known.value = new Map(this.self.cameras.value.map(({ known }) => [known.uid, presence]));
  }

  private set(uid: Uid, presence: Presence): void {
    this.known.value = new Map(this.known.value).set(uid, presence);
  }

  private after(run: () => void): void {
    const cancel = this.timer.after(ANSWER_WITHIN_MS, () => {
      this.timers.delete(cancel);
      run();
    });
    this.timers.add(cancel);
  }
}

function presenceOf(status: Status | undefined): Presence {
  if (!status) return { state: 'unknown' };
  if (status.state === 'online') return { state: 'online' };
  return { state: status.state, since: status.since, reason: status.reason };
}
