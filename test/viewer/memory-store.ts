import type { SigningKey } from '#identity/keys.ts';
import type { RememberedCamera, Store } from '#viewer/memory/store.ts';

/** What a browser's database does, in this process's memory. */
export class MemoryStore implements Store {
  readonly lasting = true;
  readonly cameras = new Map<string, RememberedCamera>();
  private key: SigningKey | undefined;

  async readKey(): Promise<SigningKey | undefined> {
    return this.key;
  }

  async offerKey(key: SigningKey): Promise<SigningKey> {
    this.key ??= key;
    return this.key;
  }

  async readCameras(): Promise<readonly RememberedCamera[]> {
    return [...this.cameras.values()];
  }

  async writeCamera(camera: RememberedCamera): Promise<void> {
    this.cameras.set(camera.known.uid, structuredClone(camera));
  }

  async removeCamera(uid: string): Promise<void> {
    this.cameras.delete(uid);
  }
}
