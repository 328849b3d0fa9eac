import type { Uid } from '#protocol/uid.ts';
import { RateLimit } from './rate-limit.ts';

/** One viewer to one camera: a call is some thirty messages at once, and then silence. */
const PAIR = { perSecond: 10, burst: 200 };

/**
 * How much one camera may be sent. A viewer that writes much is slowed down. When many together write more to one
 * camera than it can take, those of them that write much are refused, and who only calls comes through. All of it is
 * counted for every UID that may be, so it tells nobody whether there is such a camera.
 */
export class MailboxLimits {
  private readonly pairs = new RateLimit(PAIR);
  private readonly cameras: RateLimit;

  constructor(options: { readonly messagesPerCamera: number }) {
    const { messagesPerCamera: perSecond } = options;
    this.cameras = new RateLimit({ perSecond, burst: 4 * perSecond });
  }

  /** Counts one message: ms its sender is to be kept waiting, 0 where it need not, or `refuse`. */
  take(thumbprint: string, uid: Uid): number | 'refuse' {
    const pair = `${thumbprint} ${uid}`;
    const debt = this.pairs.take(pair);
    if (!this.cameras.tryTake(uid) && this.pairs.left(pair) < 0.5) return 'refuse';
    return debt;
  }
}
