import type { AuditEntry } from '#identity/audit-event.ts';
import type { AuditLog } from '#identity/audit-log.ts';
import { type AuditPage, auditReadSchema } from '#protocol/access.ts';
import type { ControlMethod } from './control.ts';
import { method } from './method.ts';

/** What a page may take of a reply, characters; entries may hold names of any script. */
const MAX_PAGE = 16 * 1024;

/** The control channel's way to read the audit log, see protocol/access.ts. */
export function auditMethods({ audit }: { readonly audit: AuditLog }): Record<string, ControlMethod> {
  return {
    'audit.read': method(auditReadSchema, 'owner', async ({ before, limit }): Promise<AuditPage> => {
      const found = await audit.read({ before, limit: limit + 1 });
      const entries = fitting(found.slice(0, limit));
      return { entries, more: entries.length < found.length, intact: audit.intact };
    }),
  };
}

/** As many of them as one reply holds; at least one. */
function fitting(entries: readonly AuditEntry[]): AuditEntry[] {
  let size = 0;
  return entries.filter((entry, index) => {
    size += JSON.stringify(entry).length;
    return index === 0 || size <= MAX_PAGE;
  });
}
