import { chmod, mkdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import {
  type LocalAccess,
  type LocalReply,
  type LocalStatus,
  localRequestSchema,
  MAX_LOCAL_LINE,
} from '#protocol/local-control.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';

/** What the technician at the camera can do. */
export interface LocalActions {
  status(): LocalStatus;
  access(): LocalAccess;
  /** As the button does; resolves with the minutes it lasts. */
  openPairing(): Promise<{ readonly minutes: number }>;
  /** Decides the factory reset; the reply leaves once it resolves, then `resetDecided` is called. */
  decideReset(): Promise<void>;
  /** Ends the program, which erases what is to be erased. */
  resetDecided(): void;
}

export interface LocalControlOptions {
  /** Path of the Unix socket. */
  readonly path: string;
  readonly actions: LocalActions;
  readonly log: Logger;
}

/** Technicians at once. */
const MAX_CONNECTIONS = 8;
const IDLE_MS = 60_000;

/** The socket for `peercamctl`: only the daemon's own user and root can open it. */
export class LocalControl {
  private readonly options: LocalControlOptions;
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;

  constructor(options: LocalControlOptions) {
    this.options = options;
  }

  /** Rejects with an AppError where the socket cannot be made, or another daemon has it. */
  async start(): Promise<void> {
    const { path } = this.options;
    try {
      await mkdir(dirname(path), { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await clearStale(path);
      this.server = await this.listen();
      await chmod(path, 0o600);
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw new AppError(
        'local-control.no-socket',
        `there is no socket for peercamctl: ${path} cannot be made (${errorText(error)}). The camera works without; ` +
          'name another place with --control, or run the daemon as a user who may write there',
        { cause: error },
      );
    }
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    // Closing removes the socket's file too.
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  private listen(): Promise<Server> {
    const server = createServer((socket) => this.serve(socket));
    server.maxConnections = MAX_CONNECTIONS;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      // Made with rights for nobody else; between making and chmod somebody could come in.
      const former = process.umask(0o177);
      try {
        server.listen(this.options.path, () => resolve(server));
      } finally {
        process.umask(former);
      }
    });
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    let text = '';
    let busy: Promise<void> = Promise.resolve();
    socket.setEncoding('utf8');
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (chunk: string) => {
      const lines = (text + chunk).split('\n');
      text = lines.pop()!;
      if (text.length > MAX_LOCAL_LINE) socket.destroy();
      for (const line of lines) busy = busy.then(() => this.answer(socket, line));
    });
  }

  private async answer(socket: Socket, line: string): Promise<void> {
    const { actions, log } = this.options;
    let reply: LocalReply;
    let then = () => {};
    try {
      const { command } = parseJsonAs(localRequestSchema, line, 'request', MAX_LOCAL_LINE);
      if (command !== 'status') log.info({ command }, `peercamctl: ${command}`);
      const run = {
        status: () => actions.status(),
        access: () => actions.access(),
        pair: () => actions.openPairing(),
        reset: async () => {
          await actions.decideReset();
          then = () => actions.resetDecided();
          return {};
        },
      };
      reply = { ok: true, result: await run[command]() };
    } catch (error) {
      if (!(error instanceof AppError || error instanceof ProtocolError)) {
        log.error({ err: error }, 'a request of peercamctl could not be handled');
      }
      const code = error instanceof AppError ? error.code : 'local-control.failed';
      reply = { ok: false, error: { code, message: errorText(error) } };
    }
    await new Promise<void>((resolve) => {
      if (socket.destroyed) resolve();
      else socket.write(`${JSON.stringify(reply)}\n`, () => resolve());
    });
    then();
  }
}

/** A daemon that was killed leaves its socket behind; one that runs answers. */
async function clearStale(path: string): Promise<void> {
  const state = await new Promise<'none' | 'stale' | 'in use'>((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('in use');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve('none');
      else if (error.code === 'ECONNREFUSED') resolve('stale');
      else reject(error);
    });
  });
  if (state === 'stale') await unlink(path);
  if (state !== 'in use') return;
  throw new AppError(
    'local-control.in-use',
    `another daemon has the socket ${path}, so peercamctl reaches that one. For a second camera on this machine name ` +
      'another socket with --control',
  );
}
