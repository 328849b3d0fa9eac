import type { AccessBook } from '#identity/access-book.ts';
import type { AuditLog } from '#identity/audit-log.ts';
import type { Clock } from '#lib/clock.ts';
import type { MailboxEvent } from '#session/mailbox.ts';

/** Takes down in the audit log what the mailbox reports, in the owner's terms: who called, for how long, what was refused. */
export class CallRecord {
  private readonly access: AccessBook;
  private readonly audit: AuditLog;
  private readonly clock: Clock;
  /** When each open call began, monotonic ms. */
  private readonly begun = new Map<string, number>();

  constructor(options: { readonly access: AccessBook; readonly audit: AuditLog; readonly clock: Clock }) {
    this.access = options.access;
    this.audit = options.audit;
    this.clock = options.clock;
  }

  note(event: MailboxEvent): void {
    const { access, audit, clock } = this;
    switch (event.event) {
      case 'paired': {
        const entry = access.find(event.viewer);
        if (!entry) return;
        const { name, rights } = entry;
        audit.append('paired', { viewer: event.viewer, name, rights, code: event.code ?? 'label' });
        return;
      }
      case 'pairing-refused':
        audit.append('pairing.failed', { viewer: event.viewer, reason: 'spent-code' });
        return;
      case 'called': {
        const { viewer, call } = event;
        const name = access.find(viewer)?.name;
        this.begun.set(call, clock.now());
        access.seen(viewer);
        audit.append('call', { viewer, call, ...(name !== undefined && { name }) });
        return;
      }
      case 'call-ended': {
        const { viewer, call, reason } = event;
        const seconds = Math.round((clock.now() - (this.begun.get(call) ?? clock.now())) / 1000);
        this.begun.delete(call);
        audit.append('call.ended', { viewer, call, reason, seconds });
        return;
      }
      case 'refused': {
        const { viewer, reason, message } = event;
        const who = viewer === undefined ? {} : { viewer };
        if (reason === 'wrong-code') audit.append('pairing.hello-refused', { ...who, reason });
        else audit.append('refused', { ...who, reason, message });
        return;
      }
      case 'greeted':
    }
  }
}
