import { toAppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { CallMessage, ToCamera, ToViewer } from '#protocol/message.ts';
import type { Viewers } from './viewers.ts';

export interface MailboxOptions {
  readonly viewers: Viewers;
  readonly log: Logger;
  /** Sends a message to a viewer's mailbox; failures are the signalling's to log. */
  send(to: string, message: ToViewer): void;
}

/** Turns the messages of the camera's mailbox into sessions. */
export class Mailbox {
  private readonly options: MailboxOptions;

  constructor(options: MailboxOptions) {
    this.options = options;
  }

  /** One message that was opened and parsed; `from` is the viewer's address. */
  receive(from: string, message: ToCamera): void {
    const { viewers, log } = this.options;
    switch (message.type) {
      case 'call':
        this.answer(from, message);
        break;
      case 'candidate':
        try {
          viewers.find(message.call, from)?.addCandidate(message.candidate, message.mid);
        } catch (error) {
          log.warn({ err: error, viewer: from }, 'a candidate was dropped');
        }
        break;
      case 'bye':
        viewers.find(message.call, from)?.end('the viewer said goodbye');
        break;
    }
  }

  private answer(viewer: string, { call, sdp, address }: CallMessage): void {
    const { viewers, send, log } = this.options;
    // QoS 1 delivers at least once: the second copy of a call is no second call.
    if (viewers.find(call, viewer) !== undefined) return;
    try {
      viewers.open(call, sdp, {
        viewer,
        address,
        answer: (answer) => send(viewer, { type: 'answer', call, sdp: answer }),
        candidate: (candidate, mid) => send(viewer, { type: 'candidate', call, candidate, mid }),
        gathered() {},
        ended: (reason) => send(viewer, { type: 'bye', call, reason }),
      });
    } catch (error) {
      const { code, message, retry } = toAppError(error, 'call.failed', { retry: true });
      log.warn({ viewer, call, code }, `call refused: ${message}`);
      send(viewer, { type: 'refusal', call, code, message: message.slice(0, 500), retry });
    }
  }
}
