import type { Right } from '#protocol/rights.ts';

/**
 * What the audit log takes down, and what is said about it. Viewers are named by thumbprint; `name` is what people
 * call them. Codes and keys are never among it.
 */
export interface AuditEvents {
  started: { readonly firmware: string };
  stopped: { readonly reason: string };
  /** The system's clock was found wrong. Times in ms since 1970. */
  clock: { readonly system: number; readonly floor: number };
  'pairing.opened': { readonly by: 'button' | 'command' };
  /** Somebody came with a wrong code, or none, and is not on the list. */
  'pairing.hello-refused': { readonly viewer?: string; readonly reason: string };
  /** Somebody was greeted and did not get in after all. */
  'pairing.failed': { readonly viewer?: string; readonly reason: string };
  /** `code`: `label`, or the id of the invitation. */
  paired: {
    readonly viewer: string;
    readonly name: string;
    readonly rights: readonly Right[];
    readonly code: string;
    readonly transfer?: boolean;
  };
  invited: {
    readonly by: string;
    readonly invitation: string;
    readonly rights: readonly Right[];
    readonly transfer: boolean;
    readonly note: string;
  };
  'invitation-cancelled': { readonly by: string; readonly invitation: string };
  revoked: { readonly by: string; readonly viewer: string; readonly name: string };
  /** A guest's time ran out. */
  expired: { readonly viewer: string };
  'rights-changed': { readonly by: string; readonly viewer: string; readonly rights: readonly Right[] };
  /** A viewer, or the camera where `viewer` is missing. */
  renamed: { readonly by: string; readonly viewer?: string; readonly name: string };
  call: { readonly viewer: string; readonly name?: string; readonly call: string };
  'call.ended': { readonly viewer: string; readonly call: string; readonly reason: string; readonly seconds: number };
  /** A message or request that was refused. `viewer` where a signature told who. */
  refused: { readonly viewer?: string; readonly reason: string; readonly message?: string };
  reset: { readonly by: 'button' | 'command' };
  update: { readonly from: string; readonly to: string; readonly outcome: string };
  /** The last line was cut off by a power cut. */
  'audit.repaired': { readonly lostBytes: number };
  /** Lines were changed or removed by somebody else; the numbers of those that do not follow the line before. */
  'audit.broken': { readonly lines: readonly number[] };
  /** Entries that could not be written. */
  'audit.lost': { readonly entries: number };
}

export type AuditEventName = keyof AuditEvents;

/** What others can cause as often as they like: equal ones are counted, see audit-damper.ts. */
export const DAMPED: ReadonlySet<AuditEventName> = new Set([
  'refused',
  'pairing.hello-refused',
  'pairing.failed',
  'call',
  'call.ended',
]);

/** One entry as it is read back; newest have the highest `n`. `repeated`: as many more like it were only counted. */
export interface AuditEntry {
  readonly n: number;
  /** ms since 1970. */
  readonly at: number;
  readonly event: string;
  readonly [field: string]: unknown;
}
