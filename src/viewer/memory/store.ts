import type { SigningKey } from '#identity/keys.ts';
import type { KnownCamera } from '#identity/viewer-parley.ts';

/** A camera this browser has been let in to. */
export interface RememberedCamera {
  readonly known: KnownCamera;
  /** What the camera was called when it was last heard of. */
  readonly name: string;
  /** ms since 1970. */
  readonly addedAt: number;
  /** When its picture was last seen here, ms since 1970; 0 when never. */
  readonly lastSeenAt: number;
}

/** Where a viewer keeps its key and its cameras. */
export interface Store {
  /** Whether what is kept outlives this tab. */
  readonly lasting: boolean;
  readKey(): Promise<SigningKey | undefined>;
  /** Keeps the key unless there is one already; answers the one that is kept: two tabs agree on one. */
  offerKey(key: SigningKey): Promise<SigningKey>;
  readCameras(): Promise<readonly RememberedCamera[]>;
  writeCamera(camera: RememberedCamera): Promise<void>;
  removeCamera(uid: string): Promise<void>;
}

/** For browsers that keep nothing (some do in private windows): everything is gone with the tab. */
export class TabStore implements Store {
  readonly lasting = false;

  async readKey(): Promise<undefined> {}

  async offerKey(key: SigningKey): Promise<SigningKey> {
    return key;
  }

  async readCameras(): Promise<readonly RememberedCamera[]> {
    return [];
  }

  async writeCamera(): Promise<void> {}

  async removeCamera(): Promise<void> {}
}
