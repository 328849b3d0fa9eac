import { type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import type { KnownCamera } from '#identity/viewer-parley.ts';
import type { Right } from '#protocol/rights.ts';
import type { Uid } from '#protocol/uid.ts';
import { type RememberedCamera, type Store, TabStore } from './store.ts';

/** Who this viewer is, and the cameras it remembers. */
export class Self {
  readonly key: SigningKey;
  /** Those seen last come first. */
  readonly cameras: ReadonlySignal<readonly RememberedCamera[]>;
  private readonly kept: Signal<readonly RememberedCamera[]>;
  private readonly store: Store;
  private readonly now: () => number;

  private constructor(key: SigningKey, cameras: readonly RememberedCamera[], store: Store, now: () => number) {
    this.key = key;
    this.kept = signal(inOrder(cameras));
    this.cameras = this.kept;
    this.store = store;
    this.now = now;
  }

  /** Never rejects for a store that fails: then this viewer is new, and forgotten with its tab. */
  static async load(openStore: () => Promise<Store>, now: () => number = Date.now): Promise<Self> {
    try {
      const store = await openStore();
      const [kept, cameras] = await Promise.all([store.readKey(), store.readCameras()]);
      return new Self(kept ?? (await store.offerKey(await newSigningKey())), cameras, store, now);
    } catch (error) {
      console.warn('peercam: this browser keeps nothing', error);
      return new Self(await newSigningKey(), [], new TabStore(), now);
    }
  }

  /** Whether key and cameras outlive this tab. */
  get lasting(): boolean {
    return this.store.lasting;
  }

  camera(uid: Uid): RememberedCamera | undefined {
    return this.kept.value.find(({ known }) => known.uid === uid);
  }

  /** Keeps what was learnt of a camera; one that has never let this viewer in is not kept. */
  learn(known: KnownCamera): void {
    const before = this.camera(known.uid);
    if (!before && !known.rights) return;
    const name = known.name || before?.name || '';
    this.write({ known, name, addedAt: before?.addedAt ?? this.now(), lastSeenAt: before?.lastSeenAt ?? 0 });
  }

  /** Its picture was seen here, just now. */
  saw(uid: Uid, name: string | undefined): void {
    const before = this.camera(uid);
    if (before) this.write({ ...before, name: name || before.name, lastSeenAt: this.now() });
  }

  /** It has told what this viewer may now. */
  rightsChanged(uid: Uid, rights: readonly Right[]): void {
    const before = this.camera(uid);
    if (!before || before.known.rights?.join() === rights.join()) return;
    this.write({ ...before, known: { ...before.known, rights } });
  }

  /** It was given another name. */
  renamed(uid: Uid, name: string): void {
    const before = this.camera(uid);
    if (before) this.write({ ...before, name, known: { ...before.known, name } });
  }

  /** It lets this viewer in no longer: the card stays, so that the person learns of it. */
  lostAccess(uid: Uid): void {
    const before = this.camera(uid);
    if (before) this.write({ ...before, known: { ...before.known, rights: undefined, grant: undefined } });
  }

  forget(uid: Uid): void {
    this.kept.value = this.kept.value.filter(({ known }) => known.uid !== uid);
    this.store.removeCamera(uid).catch(complain);
  }

  private write(camera: RememberedCamera): void {
    const others = this.kept.value.filter(({ known }) => known.uid !== camera.known.uid);
    this.kept.value = inOrder([...others, camera]);
    this.store.writeCamera(camera).catch(complain);
  }
}

function inOrder(cameras: readonly RememberedCamera[]): readonly RememberedCamera[] {
  return [...cameras].sort((a, b) => b.lastSeenAt - a.lastSeenAt || b.addedAt - a.addedAt);
}

function complain(error: unknown): void {
  console.warn('peercam: the memory of this browser', error);
}
