import { spawn } from 'node:child_process';
import { AppError } from '#lib/error.ts';
import type { Link } from './link.ts';

const MAX_COMPLAINT = 500;

/**
 * A board that SSH reaches. `ssh` is started with a list of arguments, never through a shell; keys, known hosts and
 * ports are those of its own configuration (`~/.ssh/config`).
 * @param host `[user@]host`, checked by `parseBoardSpec`
 * @param command what the board runs
 */
export function openSshLink(host: string, command: string): Link {
  const args = ['-T', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '--', host, command];
  const child = spawn('ssh', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString('utf8')).slice(-MAX_COMPLAINT);
  });
  // The end of the process tells it better.
  child.stdin.on('error', () => {});
  const gone = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  const lost = new Promise<never>((_resolve, reject) => {
    child.once('error', (error) => reject(notStarted(error)));
    child.once('close', (code, signal) => reject(ended(host, code ?? signal, complaint)));
  });
  lost.catch(() => {});
  return {
    input: child.stdout,
    output: child.stdin,
    lost,
    async close() {
      child.stdin.end();
      child.kill('SIGTERM');
      await gone;
    },
  };
}

function notStarted(error: Error): AppError {
  return new AppError('factory.no-ssh', `ssh cannot be started (${error.message}): install the OpenSSH client`, {
    cause: error,
  });
}

function ended(host: string, how: number | string | null, complaint: string): AppError {
  const words = complaint.trim();
  return new AppError(
    'factory.link-lost',
    `the connection to ${host} ended (${how})${words ? `: ${words}` : ''}. Try \`ssh ${host} peercamctl --help\`: it must ` +
      'work without a password, and peercamctl must be on the board',
  );
}
