import type { SigningKey } from '#identity/keys.ts';
import type { RememberedCamera, Store } from './store.ts';

const NAME = 'peercam';
const VERSION = 1;
const KEY = 'signing';

/**
 * The browser's own database. The private key lies in it as a CryptoKey that cannot be exported: neither this page nor
 * whoever copies the database's content through it gets the key itself.
 */
export class IndexedDbStore implements Store {
  readonly lasting = true;
  private readonly database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.database = database;
  }

  /** Rejects where this browser has no database or denies it to this page. */
  static async open(): Promise<IndexedDbStore> {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('keys');
      request.result.createObjectStore('cameras', { keyPath: 'known.uid' });
    };
    const database = await resultOf(request);
    // A newer page in another tab may change the database: this one then goes on with what it has in memory.
    database.onversionchange = () => database.close();
    return new IndexedDbStore(database);
  }

  async readKey(): Promise<SigningKey | undefined> {
    return await resultOf(this.store('keys', 'readonly').get(KEY));
  }

  async offerKey(key: SigningKey): Promise<SigningKey> {
    const keys = this.store('keys', 'readwrite');
    const kept: SigningKey | undefined = await resultOf(keys.get(KEY));
    if (kept) return kept;
    // Still the same transaction: no other tab comes between the look and this.
    await resultOf(keys.put(key, KEY));
    return key;
  }

  async readCameras(): Promise<readonly RememberedCamera[]> {
    return await resultOf(this.store('cameras', 'readonly').getAll());
  }

  async writeCamera(camera: RememberedCamera): Promise<void> {
    await resultOf(this.store('cameras', 'readwrite').put(camera));
  }

  async removeCamera(uid: string): Promise<void> {
    await resultOf(this.store('cameras', 'readwrite').delete(uid));
  }

  private store(name: 'keys' | 'cameras', mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(name, mode).objectStore(name);
  }
}

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the database of this browser failed'));
  });
}
