import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** How long a nonce is good for, ms: as long as a browser takes to load the viewer over a slow link. */
const LIFE_MS = 120_000;
/** Used nonces remembered at once; limits.visitsPerMinute keeps honest and dishonest use far below. */
const MAX_USED = 50_000;

/**
 * Fresh names for proofs. They are not kept: each carries its time and the server's own mark. What is kept, for as
 * long as a nonce lives, is by which key it has been used.
 */
export class Nonces {
  private readonly secret = randomBytes(32);
  private readonly now: () => number;
  /** Hash of nonce and thumbprint → when it may be forgotten, in order of use. */
  private readonly used = new Map<string, number>();

  /** @param now ms since 1970 */
  constructor(now: () => number = Date.now) {
    this.now = now;
  }

  make(): string {
    const text = `${this.now().toString(36)}.${randomBytes(12).toString('base64url')}`;
    return `${text}.${this.mark(text)}`;
  }

  /** Uses a nonce with a key: false where it is not ours, too old, or used with this key before. */
  use(nonce: string, thumbprint: string): boolean {
    const now = this.now();
    const [time = '', random = '', mark = ''] = nonce.split('.');
    if (!same(mark, this.mark(`${time}.${random}`))) return false;
    const made = Number.parseInt(time, 36);
    if (made > now || now - made > LIFE_MS) return false;
    const name = createHash('sha256').update(`${nonce} ${thumbprint}`).digest('base64url');
    this.forget(now);
    // Rather refuse than forget one that could come again.
    if (this.used.has(name) || this.used.size >= MAX_USED) return false;
    this.used.set(name, now + LIFE_MS);
    return true;
  }

  private forget(now: number): void {
    for (const [name, until] of this.used) {
      if (until > now) return;
      this.used.delete(name);
    }
  }

  private mark(text: string): string {
    return createHmac('sha256', this.secret).update(text).digest('base64url');
  }
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
