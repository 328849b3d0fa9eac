import { createHash, randomBytes } from 'node:crypto';
import { plainEnvelope } from '#identity/envelope.ts';
import type { ToCamera } from '#protocol/message.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';
import { Signalling, type SignallingOptions } from '#session/signalling.ts';
import { RecordingLogger } from './recording-logger.ts';

/** A UID no other test has. */
export const randomUid = (): Uid => uidFromKeyHash(randomBytes(32));
/** A viewer's address no other test has. */
export const randomThumbprint = (): string => createHash('sha256').update(randomBytes(32)).digest('base64url');
/** A call id as a viewer makes it. */
export const randomCall = (): string => randomBytes(16).toString('base64url');

export const testKey = { kty: 'EC', crv: 'P-256', x: 'x'.repeat(43), y: 'y'.repeat(43) } as const;

/** The camera's side of signalling, with what it received and logged. */
export class TestCamera {
  readonly uid: Uid;
  readonly log = new RecordingLogger();
  readonly received: { from: string; message: ToCamera }[] = [];
  readonly states: boolean[] = [];
  readonly signalling: Signalling;

  constructor(options: { url: string; uid?: Uid } & Partial<SignallingOptions>) {
    this.uid = options.uid ?? randomUid();
    this.signalling = new Signalling({
      envelope: plainEnvelope(this.uid),
      firmware: '1.2.3',
      name: 'Front door',
      key: testKey,
      log: this.log,
      onMessage: (from, message) => this.received.push({ from, message }),
      onState: (connected) => this.states.push(connected),
      ...options,
      uid: this.uid,
    });
  }
}
