import { AppError } from '#lib/error.ts';
import type { Link } from './link.ts';
import { openLocalLink } from './local-link.ts';
import { openSerialLink } from './serial-link.ts';
import { openSshLink } from './ssh-link.ts';

/** Where a board is, as the operator wrote it. */
export type BoardSpec =
  | { readonly kind: 'local'; readonly text: string; readonly store: string }
  | { readonly kind: 'ssh'; readonly text: string; readonly host: string }
  | { readonly kind: 'serial'; readonly text: string; readonly path: string; readonly baudRate: number };

/** What a board runs to answer a station. */
export const ENROLL_COMMAND = 'peercamctl enroll';

const BAUD_RATE = 115_200;

/** Reads `local:STORE`, `ssh:[user@]host` or `serial:/dev/tty…[@rate]`. Throws an AppError (`factory.bad-board`). */
export function parseBoardSpec(text: string): BoardSpec {
  const [, kind, rest = ''] = /^(local|ssh|serial):(.+)$/.exec(text) ?? [];
  if (kind === 'local') return { kind, text, store: rest };
  // ssh takes what begins with a hyphen for an option, even where a host is due.
  if (kind === 'ssh' && /^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9[:][A-Za-z0-9.:%\]-]*$/.test(rest)) {
    return { kind, text, host: rest };
  }
  if (kind === 'serial') {
    const [, path, rate] = /^(\/[^@\0]+)(?:@(\d{3,7}))?$/.exec(rest) ?? [];
    if (path) return { kind, text, path, baudRate: Number(rate ?? BAUD_RATE) };
  }
  throw new AppError(
    'factory.bad-board',
    `"${text.slice(0, 100)}" names no board: give local:FOLDER for a software board or a mounted card, ssh:root@192.0.2.7 for a board in ` +
      'the network, or serial:/dev/ttyUSB0 (serial:/dev/ttyUSB0@921600) for one at a serial console',
  );
}

/** @param command what the board runs to answer, at the far end of ssh or typed at a serial console */
export async function openLink(board: BoardSpec, command: string): Promise<Link> {
  switch (board.kind) {
    case 'local':
      return openLocalLink(board.store);
    case 'ssh':
      return openSshLink(board.host, command);
    case 'serial':
      return openSerialLink({ path: board.path, baudRate: board.baudRate, startLine: command });
  }
}
