import type { LocalAccess, LocalStatus } from '#protocol/local-control.ts';
import { formatUid } from '#protocol/uid.ts';

type Pairing = LocalStatus['pairing'];

/** What `status` prints. */
export function statusReport(status: LocalStatus): string {
  const { uid, name, firmware, server, viewers, source, owned, people, time } = status;
  return table([
    ['camera', `${name} (${formatUid(uid)})`],
    ['firmware', firmware],
    ['server', `${server.host}: ${server.connected ? 'connected' : 'no connection, viewers elsewhere cannot find it'}`],
    ['picture', [source.state, source.description, source.message].filter(Boolean).join(', ')],
    ['watching', viewers === 0 ? 'nobody' : count(viewers, 'viewer')],
    ['access', owned ? `${count(people, 'person', 'people')} on the list` : 'no owner yet: scan the label'],
    ['pairing', pairingReport(status.pairing)],
    ['time', `${iso(time.now)}${time.behind ? " (the system's clock is behind, the server's counts)" : ''}`],
    ['audit log', status.auditIntact ? 'whole' : 'DAMAGED: lines of it were changed or removed'],
  ]);
}

/** What `access` prints. */
export function accessReport({ entries, invitations, pairing }: LocalAccess): string {
  const people = entries.map(({ name, rights, addedAt, expiresAt, lastSeenAt, thumbprint }) => [
    printable(name),
    rights.includes('owner') ? 'owner' : rights.join(', '),
    `since ${iso(addedAt)}`,
    lastSeenAt === undefined ? 'never seen' : `last seen ${iso(lastSeenAt)}`,
    expiresAt === undefined ? '' : `until ${iso(expiresAt)}`,
    thumbprint.slice(0, 8),
  ]);
  const open = invitations.map(({ note, rights, transfer, expiresAt }) => [
    printable(note) || '(no note)',
    transfer ? 'hands the camera over' : rights.join(', '),
    `until ${iso(expiresAt)}`,
  ]);
  const parts = [people.length > 0 ? table(people) : 'Nobody may use this camera yet: scan the code on its label.\n'];
  if (open.length > 0) parts.push(`\nOpen invitations:\n${table(open)}`);
  parts.push(`\nPairing by the label: ${pairingReport(pairing)}\n`);
  return parts.join('');
}

function pairingReport({ state, attemptsLeft, windowMs }: Pairing): string {
  switch (state) {
    case 'open':
      return windowMs > 0
        ? `open for ${Math.ceil(windowMs / 60_000)} min more (button)`
        : `open, ${count(attemptsLeft, 'attempt')} left`;
    case 'closed':
      return 'closed, as it has an owner (the button, or `peercamctl pair`, opens it for 15 min)';
    case 'locked':
      return 'LOCKED after too many wrong codes (the button, or `peercamctl pair`, unlocks it)';
    case 'damaged':
      return 'REFUSED: the list of who may use the camera is damaged (restore it, or `peercamctl reset`)';
  }
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}

/** Names come from others: none may move the cursor of a terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}
