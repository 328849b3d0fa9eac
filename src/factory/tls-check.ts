import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import { MAX_PIECE } from '#identity/enrolment-message.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { BoardTalk } from './board-talk.ts';
import { makeRoot, makeServerCertificate, pemOf, readIssuer } from './certificates.ts';

const LIMIT_MS = 30_000;

/** A TLS server for one run of the station: its key and its CA exist in memory only. */
export interface CheckServer {
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caPem: string;
  /** The factory CA, PEM: who signed the boards that may come. */
  readonly factoryCaPem: string;
}

/** @param factoryCaPem the root that a board's chain must lead to */
export async function makeCheckServer(factoryCaPem: string): Promise<CheckServer> {
  const ca = await makeRoot({ name: 'Factory Check CA', pathLength: 0 });
  const caPem = pemOf(ca.certificate);
  const server = await makeServerCertificate(await readIssuer(caPem, ca.keyPem), { hosts: ['localhost'], days: 30 });
  return { keyPem: server.keyPem, certificatePem: pemOf(server.certificate), caPem, factoryCaPem };
}

/**
 * Has a board prove what it stores as a broker will one day: a mutual TLS 1.3 handshake, in which the board signs with
 * its private key, carried over the link; then a random line that the board must send back.
 * @param certificate the board's, DER
 * Throws an AppError (`factory.tls-refused`) unless the board comes with exactly this certificate.
 */
export async function checkByTls(talk: BoardTalk, server: CheckServer, certificate: Uint8Array): Promise<void> {
  const connection = new CheckedConnection(server, certificate);
  const deadline = performance.now() + LIMIT_MS;
  try {
    let fromBoard = (await talk.ask('challenge', { caPem: server.caPem })).data;
    for (;;) {
      const toBoard = await connection.exchange(Buffer.from(fromBoard, 'base64'));
      if (connection.proved) return;
      if (performance.now() > deadline) throw refused('it did not finish');
      fromBoard = '';
      for (let at = 0; at === 0 || at < toBoard.length; at += MAX_PIECE) {
        const data = toBoard.subarray(at, at + MAX_PIECE).toString('base64');
        const answer = await talk.ask('tls', { data });
        fromBoard = Buffer.concat([Buffer.from(fromBoard, 'base64'), Buffer.from(answer.data, 'base64')]).toString(
          'base64',
        );
      }
    }
  } finally {
    connection.close();
  }
}

/** The server's end of one handshake. */
class CheckedConnection {
  proved = false;
  private readonly wire: Duplex;
  private readonly server;
  private outgoing = Buffer.alloc(0);
  private failure: AppError | undefined;
  private wake: () => void = () => {};

  constructor(server: CheckServer, certificate: Uint8Array) {
    this.wire = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        this.outgoing = Buffer.concat([this.outgoing, chunk]);
        this.wake();
        done();
      },
    });
    this.server = createServer({
      key: server.keyPem,
      cert: server.certificatePem,
      ca: server.factoryCaPem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    this.server.on('tlsClientError', (error) => this.fail(refused(errorText(error))));
    this.server.on('secureConnection', (socket) => this.onSecure(socket, certificate));
    this.server.emit('connection', this.wire);
  }

  /** Takes the board's bytes and gives the server's, once there are some, or all is proved. */
  async exchange(bytes: Buffer): Promise<Buffer> {
    if (bytes.length > 0) this.wire.push(bytes);
    if (this.outgoing.length === 0 && !this.proved && !this.failure) await this.news();
    if (this.failure) throw this.failure;
    const { outgoing } = this;
    this.outgoing = Buffer.alloc(0);
    return outgoing;
  }

  close(): void {
    this.wire.destroy();
  }

  private onSecure(socket: TLSSocket, expected: Uint8Array): void {
    const shown = socket.getPeerX509Certificate()?.raw;
    socket.on('error', (error) => this.fail(refused(errorText(error))));
    if (!shown?.equals(expected)) {
      this.fail(refused('it came with another certificate than the one installed'));
      return;
    }
    const nonce = randomBytes(16).toString('hex');
    let echoed = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      echoed += text;
      if (echoed === nonce) this.proved = true;
      else if (!nonce.startsWith(echoed)) this.failure = refused('it sent back something else');
      this.wake();
    });
    socket.write(nonce);
  }

  private fail(error: AppError): void {
    this.failure ??= error;
    this.wake();
  }

  /** Resolves a little after something happened: the pieces of one flight come in one go. */
  private news(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 300);
      this.wake = () => {
        clearTimeout(timer);
        setImmediate(resolve);
      };
    });
  }
}

function refused(problem: string): AppError {
  return new AppError(
    'factory.tls-refused',
    `the board's certificate was installed, but the test connection with it failed: ${problem}. The board would not get ` +
      'onto a server: provision it again with --replace, and set it aside if that fails too',
  );
}
