import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { MAX_PIECE } from '#identity/enrolment-message.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { BoardTalk } from './board-talk.ts';
import { makeRoot, makeServerCertificate, pemOf, readIssuer } from './certificates.ts';

const LIMIT_MS = 30_000;
/** With nothing to say for so long, the server asks the board for more, ms. */
const QUIET_MS = 300;

/**
 * A TLS server that boards prove themselves to, one after the other. Its key and its CA exist in memory only.
 */
export class TlsCheck {
  private readonly caPem: string;
  private readonly server: Server;
  private connection: CheckedConnection | undefined;

  private constructor(caPem: string, server: Server) {
    this.caPem = caPem;
    this.server = server;
    server.on('tlsClientError', (error) => this.connection?.fail(refused(errorText(error))));
    server.on('secureConnection', (socket) => this.connection?.onSecure(socket));
  }

  /** @param factoryCaPem the root that a board's chain must lead to */
  static async create(factoryCaPem: string): Promise<TlsCheck> {
    const ca = await makeRoot({ name: 'Factory Check CA', pathLength: 0 });
    const caPem = pemOf(ca.certificate);
    const { certificate, keyPem } = await makeServerCertificate(await readIssuer(caPem, ca.keyPem), {
      hosts: ['localhost'],
      days: 30,
    });
    const server = createServer({
      key: keyPem,
      cert: pemOf(certificate),
      ca: factoryCaPem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    return new TlsCheck(caPem, server);
  }

  /**
   * Has a board prove what it stores as a broker will one day: a mutual TLS 1.3 handshake, in which the board signs with
   * its private key, carried over the link; then a random line that the board must send back.
   * @param certificate the board's, DER
   * Throws an AppError (`factory.tls-refused`) unless the board comes with exactly this certificate.
   */
  async run(talk: BoardTalk, certificate: Uint8Array): Promise<void> {
    const connection = new CheckedConnection(certificate);
    this.connection = connection;
    this.server.emit('connection', connection.wire);
    const deadline = performance.now() + LIMIT_MS;
    try {
      let fromBoard = pieceOf((await talk.ask('challenge', { caPem: this.caPem })).data);
      for (;;) {
        const toBoard = await connection.exchange(fromBoard);
        if (connection.proved) return;
        if (performance.now() > deadline) throw refused('it did not finish');
        fromBoard = await deliver(talk, toBoard);
      }
    } finally {
      connection.close();
      this.connection = undefined;
    }
  }
}

/** Brings bytes to the board, in pieces that fit a frame, and its own back. */
async function deliver(talk: BoardTalk, toBoard: Buffer): Promise<Buffer> {
  const answers: Buffer[] = [];
  for (let at = 0; at === 0 || at < toBoard.length; at += MAX_PIECE) {
    const data = toBoard.subarray(at, at + MAX_PIECE).toString('base64');
    answers.push(pieceOf((await talk.ask('tls', { data })).data));
  }
  return Buffer.concat(answers);
}

function pieceOf(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}

/** The server's end of one handshake. */
class CheckedConnection {
  proved = false;
  readonly wire: Duplex;
  private readonly certificate: Uint8Array;
  private outgoing = Buffer.alloc(0);
  private failure: AppError | undefined;
  private wake: () => void = () => {};

  constructor(certificate: Uint8Array) {
    this.certificate = certificate;
    this.wire = new Duplex({
      read() {},
      write: (chunk: Buffer, _encoding, done) => {
        this.outgoing = Buffer.concat([this.outgoing, chunk]);
        this.wake();
        done();
      },
    });
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

  onSecure(socket: TLSSocket): void {
    const shown = socket.getPeerX509Certificate()?.raw;
    socket.on('error', (error) => this.fail(refused(errorText(error))));
    if (!shown?.equals(this.certificate)) {
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

  fail(error: AppError): void {
    this.failure ??= error;
    this.wake();
  }

  close(): void {
    this.wire.destroy();
  }

  /** Resolves a little after something happened: the pieces of one flight come in one go. */
  private news(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, QUIET_MS);
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
