import type { SerialPort } from 'serialport';
import { AppError, errorText } from '#lib/error.ts';
import type { Link } from './link.ts';

/**
 * A board at a serial console, 8 data bits, no parity, no flow control.
 * @param startLine typed when nobody answers: what a shell there is to start
 */
export async function openSerialLink(options: { path: string; baudRate: number; startLine: string }): Promise<Link> {
  const { path, baudRate, startLine } = options;
  // Only who has a serial console needs the native package.
  const { SerialPort } = await import('serialport');
  const port = new SerialPort({ path, baudRate, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((error) => (error ? reject(notOpened(path, error)) : resolve()));
  });
  const lost = new Promise<never>((_resolve, reject) => {
    port.once('close', (error?: Error) => reject(unplugged(path, error)));
    port.once('error', (error) => reject(unplugged(path, error)));
  });
  lost.catch(() => {});
  return { input: port, output: port, lost, startLine, close: () => closePort(port) };
}

function closePort(port: SerialPort): Promise<void> {
  return new Promise((resolve) => {
    if (!port.isOpen) return resolve();
    port.drain(() => port.close(() => resolve()));
  });
}

function notOpened(path: string, error: Error): AppError {
  return new AppError(
    'factory.no-serial-port',
    `the serial port ${path} cannot be opened (${errorText(error)}): check the cable and the name (ls /dev/serial/by-id), ` +
      'that no terminal program holds it, and that this user is in the group dialout',
    { cause: error },
  );
}

function unplugged(path: string, error: Error | undefined): AppError {
  return new AppError(
    'factory.link-lost',
    `the serial port ${path} was closed${error ? ` (${errorText(error)})` : ''}: check the cable and run the command again`,
  );
}
