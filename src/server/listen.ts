import { once } from 'node:events';
import type { Server } from 'node:net';
import { AppError, errorText } from '#lib/error.ts';

export interface ListenOptions {
  /** Empty for all addresses of this machine. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The flag that chooses another port, for the error message. */
  readonly flag: string;
}

/** Connections that wait to be taken: after a restart all cameras come at once. The kernel may allow fewer. */
const BACKLOG = 4096;

/** Opens a server's port and answers which one it got. Rejects with an AppError that says what to do. */
export async function listen(server: Server, { host, port, flag }: ListenOptions): Promise<number> {
  try {
    server.listen({ port, backlog: BACKLOG, ...(host && { host }) });
    await once(server, 'listening');
  } catch (error) {
    throw new AppError('server.port', explain(error, { host, port, flag }), { cause: error });
  }
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function explain(error: unknown, { host, port, flag }: ListenOptions): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    return `port ${port} is taken by another program: choose another with ${flag}, or 0 for any free one`;
  }
  if (code === 'EACCES') return `port ${port} may only be opened by root: choose one above 1023 with ${flag}`;
  if (code === 'EADDRNOTAVAIL') return `${host} is no address of this machine, so port ${port} cannot be opened there`;
  return `port ${port} cannot be opened: ${errorText(error)}`;
}
