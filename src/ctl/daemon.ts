import { connect } from 'node:net';
import type * as v from 'valibot';
import { AppError, errorText } from '#lib/error.ts';
import { type LocalCommand, localReplySchema, MAX_LOCAL_LINE } from '#protocol/local-control.ts';
import { parseAs, parseJsonAs } from '#protocol/parse.ts';

const ANSWER_WITHIN_MS = 10_000;
/** A full list of people and invitations. */
const MAX_REPLY = 4 * MAX_LOCAL_LINE;

/**
 * Asks the running daemon. Rejects with an AppError: `ctl.no-daemon` where none listens at the socket, the daemon's own
 * where it refuses.
 */
export async function askDaemon<const S extends v.GenericSchema>(
  socketPath: string,
  command: LocalCommand,
  schema: S,
): Promise<v.InferOutput<S>> {
  const reply = parseJsonAs(localReplySchema, await exchange(socketPath, command), 'reply of the daemon', MAX_REPLY);
  if (!reply.ok) throw new AppError(reply.error.code, reply.error.message);
  return parseAs(schema, reply.result, 'reply of the daemon');
}

function exchange(socketPath: string, command: LocalCommand): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy(silent()));
    socket.on('connect', () => socket.write(`${JSON.stringify({ command })}\n`));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0 && text.length <= MAX_REPLY) return;
      socket.destroy();
      resolve(text.slice(0, end));
    });
    socket.on('error', (error) => reject(inWords(socketPath, error)));
    socket.on('close', () => reject(silent()));
  });
}

function inWords(path: string, error: Error): AppError {
  if (error instanceof AppError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new AppError(
      'ctl.no-daemon',
      `the peercam daemon is not running here (nothing listens at ${path}). Start it with ` +
        '`systemctl start peercamd`; where it runs with another socket, name that with --control',
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new AppError(
      'ctl.forbidden',
      `only root and the daemon's own user may do that: try again with sudo (${path})`,
    );
  }
  return new AppError('ctl.failed', `the daemon cannot be reached at ${path}: ${errorText(error)}`);
}

function silent(): AppError {
  return new AppError('ctl.failed', 'the daemon did not answer: see its log (`journalctl -u peercamd`)');
}
