import {
  type AcceptableCode,
  type CameraParley,
  type Incoming,
  type RefusalReason,
  Refused,
  type Talk,
} from '#identity/camera-parley.ts';
import { Complaints } from '#lib/complaints.ts';
import { toAppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { type CallMessage, REVOKED, type ToViewer } from '#protocol/message.ts';
import type { Right } from '#protocol/rights.ts';
import type { Viewers } from './viewers.ts';

export interface MailboxOptions {
  readonly parley: Pick<CameraParley<AcceptableCode>, 'receive' | 'forget'>;
  readonly viewers: Viewers;
  readonly log: Logger;
  /** What a viewer may at this moment; nothing when it is not on the list. */
  rightsOf(viewer: string): readonly Right[];
  /** Sends a sealed payload to a viewer's mailbox; failures are the signalling's to log. */
  send(to: string, payload: Uint8Array): void;
  /** Something worth remembering happened. */
  note(event: MailboxEvent): void;
}

export type MailboxEvent =
  /** `code`: the id of the code that was used. */
  | { readonly event: 'greeted' | 'paired' | 'pairing-refused'; readonly viewer: string; readonly code?: string }
  | { readonly event: 'called'; readonly viewer: string; readonly call: string }
  | { readonly event: 'call-ended'; readonly viewer: string; readonly call: string; readonly reason: string }
  | {
      readonly event: 'refused';
      readonly viewer: string | undefined;
      readonly reason: RefusalReason;
      readonly message: string;
    };

/** Turns the payloads of the camera's mailbox into sessions; what the parley refuses is noted, and answered by silence. */
export class Mailbox {
  private readonly options: MailboxOptions;
  private readonly complaints: Complaints;

  constructor(options: MailboxOptions) {
    this.options = options;
    this.complaints = new Complaints({ log: options.log });
  }

  /** One payload of unknown content. Payloads must be handed over one after the other, in the order they came. */
  async receive(payload: Uint8Array): Promise<void> {
    let incoming: Incoming;
    try {
      incoming = await this.options.parley.receive(payload);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { viewer, reason, message } = error;
      this.complaints.about(viewer ?? 'unknown', { reason, bytes: payload.length }, `message refused: ${message}`);
      // A viewer's last candidates pass its own goodbye, or our end of the call: nothing to remember.
      if (reason !== 'no-such-call') this.options.note({ event: 'refused', viewer, reason, message });
      return;
    }
    this.act(incoming);
  }

  /** Ends the calls of a viewer that is no longer on the list. */
  expel(viewer: string): void {
    this.options.viewers.endOf(viewer, REVOKED);
    this.options.parley.forget(viewer);
  }

  private act(incoming: Incoming): void {
    const { viewers, send, log, note } = this.options;
    if (incoming.kind === 'reply') {
      const { to, payload, event, code } = incoming;
      send(to, payload);
      // After a restart every viewer's first call is one; otherwise somebody replays or a clock is wrong.
      if (event === 'stale')
        log.info({ viewer: to }, 'a call of another run or time was answered with the present one');
      if (event === 'greeted' || event === 'paired' || event === 'pairing-refused') note({ event, viewer: to, code });
      return;
    }
    const { talk, message } = incoming;
    if (incoming.kind === 'call') {
      this.answer(talk, incoming.message);
      return;
    }
    const session = viewers.find(talk.call, talk.viewer);
    if (message.type === 'bye') {
      session?.end('the viewer said goodbye');
      talk.close();
      return;
    }
    try {
      if (message.type === 'candidate') session?.addCandidate(message.candidate, message.mid);
    } catch (error) {
      log.warn({ err: error, viewer: talk.viewer }, 'a candidate was dropped');
    }
  }

  private answer(talk: Talk, { call, sdp, address }: CallMessage): void {
    const { viewers, log, note, rightsOf } = this.options;
    const { viewer } = talk;
    try {
      viewers.open(call, sdp, {
        viewer,
        address,
        rights: () => rightsOf(viewer),
        answer: (answer) => this.say(talk, { type: 'answer', call, sdp: answer }),
        candidate: (candidate, mid) => this.say(talk, { type: 'candidate', call, candidate, mid }),
        gathered() {},
        ended: (reason) => {
          this.say(talk, { type: 'bye', call, reason });
          talk.close();
          note({ event: 'call-ended', viewer, call, reason });
        },
      });
      note({ event: 'called', viewer, call });
    } catch (error) {
      const { code, message, retry } = toAppError(error, 'call.failed', { retry: true });
      log.warn({ viewer, call, code }, `call refused: ${message}`);
      this.say(talk, { type: 'refusal', call, code, message: message.slice(0, 500), retry });
      talk.close();
    }
  }

  private say(talk: Talk, message: ToViewer): void {
    talk.seal(message).then(
      (payload) => this.options.send(talk.viewer, payload),
      (error: unknown) => this.options.log.error({ err: error, viewer: talk.viewer }, 'a message could not be sealed'),
    );
  }
}
