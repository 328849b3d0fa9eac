import { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { AppError, errorText } from '#lib/error.ts';
import { MAX_PIECE } from './enrolment-message.ts';

/** With nothing to say for so long, the board answers with no bytes, ms. */
const QUIET_MS = 300;

/**
 * The board's end of a TLS connection that is carried in questions and answers. A real client: the private key signs
 * the handshake, the server is checked against the CA given, and every line the server says is sent back to it.
 */
export class BoardTls {
  private readonly socket: TLSSocket;
  private readonly wire: Duplex;
  private outgoing = Buffer.alloc(0);
  private failure: Error | undefined;
  private wake: () => void = () => {};

  constructor(options: { privateKeyPem: string; certificatePem: string; caPem: string }) {
    this.wire = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        this.outgoing = Buffer.concat([this.outgoing, chunk]);
        this.wake();
        done();
      },
    });
    this.socket = connect({
      socket: this.wire,
      key: options.privateKeyPem,
      cert: options.certificatePem,
      ca: options.caPem,
      servername: 'localhost',
      minVersion: 'TLSv1.3',
    });
    this.socket.on('error', (error) => {
      this.failure = error;
      this.wake();
    });
    this.socket.on('data', (line: Buffer) => this.socket.write(line));
  }

  /** Takes bytes from the server and gives those for it, base64; none when there is nothing to say yet. */
  async exchange(data: string): Promise<string> {
    if (data !== '') this.wire.push(Buffer.from(data, 'base64'));
    if (this.outgoing.length === 0 && !this.failure) await this.somethingToSay();
    if (this.failure && this.outgoing.length === 0) {
      throw new AppError('enrolment.tls-failed', `the board's TLS handshake failed: ${errorText(this.failure)}`);
    }
    const piece = this.outgoing.subarray(0, MAX_PIECE);
    this.outgoing = this.outgoing.subarray(MAX_PIECE);
    return piece.toString('base64');
  }

  close(): void {
    this.socket.destroy();
    this.wire.destroy();
  }

  private somethingToSay(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, QUIET_MS);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = () => {};
        resolve();
      };
    });
  }
}
