import { createHmac } from 'node:crypto';
import type { IceServerEntry } from '#protocol/viewer-config.ts';

export interface RelayOptions {
  /** `turn:host:port?transport=udp`, `turns:…`; none where there is no relay. */
  readonly urls: readonly string[];
  /** Shared with the relay: coturn's `static-auth-secret`. */
  readonly secret: string;
  /** How long credentials are good for, seconds. */
  readonly ttl: number;
  /** ms since 1970. */
  readonly now?: () => number;
}

/**
 * Credentials for the TURN relay that end by themselves, as coturn's `use-auth-secret` checks them
 * (draft-uberti-behave-turn-rest-00): the relay needs no list of users, and no word from this server.
 */
export class Relay {
  private readonly options: RelayOptions;
  private readonly now: () => number;

  constructor(options: RelayOptions) {
    this.options = options;
    this.now = options.now ?? Date.now;
  }

  get exists(): boolean {
    return this.options.urls.length > 0;
  }

  /** Seconds. */
  get ttl(): number {
    return this.options.ttl;
  }

  /** @param name whom the relay's log shall name: a thumbprint or a UID */
  credentialsFor(name: string): IceServerEntry[] {
    if (!this.exists) return [];
    const { urls, secret, ttl } = this.options;
    const username = `${Math.floor(this.now() / 1000) + ttl}:${name}`;
    const credential = createHmac('sha1', secret).update(username).digest('base64');
    return [{ urls: [...urls], username, credential }];
  }
}
