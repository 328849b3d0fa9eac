import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, type DetailedPeerCertificate, rootCertificates, type TLSSocket } from 'node:tls';
import { AppError, errorText } from '#lib/error.ts';
import { checkPath, untrusted, type Validity, validityOf } from './certificate-path.ts';

/** The time, as far as the camera knows it; TrustedTime fits. */
export interface KnownTime {
  /** Whether the system's clock is wrong for sure. */
  readonly clockIsBehind: boolean;
  /** ms since 1970: it is certainly not earlier than this. */
  readonly floor: number;
  certified(validity: Validity): void;
}

export interface BrokerStreamOptions {
  /** `mqtts://host[:8883]`; `mqtt://` without any protection, for a broker on this very machine. */
  readonly url: string;
  /** The device's own: PKCS #8 PEM, and its certificate with the issuers. */
  readonly privateKeyPem: string;
  readonly certificatePem: string;
  /** PEM of the authorities trusted, see `readAuthorities`; undefined: the public ones. */
  readonly authorities: string | undefined;
  readonly time: KnownTime;
}

/** The content of the file of `--server-ca`; undefined where none is named. Rejects with an AppError that says why. */
export async function readAuthorities(path: string): Promise<string | undefined> {
  if (path === '') return undefined;
  try {
    const pem = await readFile(path, 'utf8');
    if (certificatesIn(pem).length === 0) throw new Error('it holds no certificate');
    return pem;
  } catch (error) {
    const text = `the server's authority ${path} cannot be used (${errorText(error)}): give a PEM file with --server-ca`;
    throw new AppError('server.bad-authority', text, { cause: error });
  }
}

/**
 * A connection to the broker by mutual TLS. Resolves once the server has shown who it is, before a single byte was
 * written to it. Where the clock is wrong for sure, its certificates are checked against the time floor instead of the
 * clock; there is no way not to check them. Rejects with an AppError; the stream's own errors are AppErrors too.
 * @param signal gives up while the connection is being made; has no effect on one that is
 */
export function openBrokerStream(options: BrokerStreamOptions, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const stream = gate({ ...openerOf(options), signal, opened: () => resolve(stream) });
    stream.once('error', reject);
  });
}

function openerOf(options: BrokerStreamOptions): Pick<GateOptions, 'host' | 'open'> {
  const { protocol, hostname, port } = new URL(options.url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol === 'mqtt:') return { host, open: (ready) => openPlain(host, Number(port || 1883), ready) };
  if (protocol === 'mqtts:') return { host, open: (ready) => openTls(host, Number(port || 8883), options, ready) };
  throw new AppError(
    'signalling.bad-url',
    `the server address "${options.url}" cannot be used by a camera: mqtts://host[:port] is expected`,
  );
}

type Ready = (error: Error | null) => void;

interface GateOptions {
  readonly host: string;
  readonly signal: AbortSignal;
  open(ready: Ready): Socket;
  opened(): void;
}

function openPlain(host: string, port: number, ready: Ready): Socket {
  return connectPlain({ host, port }, () => ready(null));
}

function openTls(host: string, port: number, options: BrokerStreamOptions, ready: Ready): TLSSocket {
  const { time, authorities } = options;
  const byHand = time.clockIsBehind;
  const socket = connect({
    host,
    port,
    ...(isIP(host) === 0 && { servername: host }),
    key: options.privateKeyPem,
    cert: options.certificatePem,
    ...(authorities !== undefined && { ca: authorities }),
    minVersion: 'TLSv1.2',
    // Only because `checkPath` below does it, by a time that cannot be wrong.
    rejectUnauthorized: !byHand,
  });
  socket.once('secureConnect', () => {
    try {
      const [leaf, ...offered] = certificatesOf(socket);
      if (!leaf) throw untrusted(host, 'it showed no certificate');
      const anchors = certificatesIn(authorities ?? rootCertificates.join('\n'));
      time.certified(
        byHand ? checkPath({ host, leaf, offered, anchors, floor: time.floor }) : validityOf([leaf, ...offered]),
      );
      ready(null);
    } catch (error) {
      ready(error instanceof AppError ? error : untrusted(host, `its certificate is damaged (${errorText(error)})`));
    }
  });
  return socket;
}

/** A duplex around a socket that holds back what is written until `open` says it is ready. */
function gate({ host, signal, open, opened }: GateOptions): Duplex {
  let socket: Socket | undefined;
  return new Duplex({
    construct(ready) {
      let waiting = true;
      let heard = false;
      const settle: Ready = (error) => {
        if (!waiting) return;
        waiting = false;
        signal.removeEventListener('abort', giveUp);
        ready(error && inWords(host, error));
        if (!error) opened();
      };
      // While it is being constructed, a stream cannot be destroyed from outside.
      const giveUp = () =>
        settle(new AppError('signalling.offline', 'no connection to the server in time', { retry: true }));
      signal.addEventListener('abort', giveUp);
      const inner = open(settle);
      socket = inner;
      inner.setNoDelay(true);
      if (signal.aborted) giveUp();
      inner.on('error', (error) => {
        if (waiting) settle(error);
        else this.destroy(heard || !isLoss(error) ? inWords(host, error) : refusal(error.message, error));
      });
      inner.on('close', () => {
        if (waiting) settle(new Error('the server closed the connection'));
        else this.destroy(heard ? undefined : refusal('it closed the connection without a word'));
      });
      inner.on('end', () => this.push(null));
      inner.on('data', (chunk) => {
        heard = true;
        if (!this.push(chunk)) inner.pause();
      });
    },
    read() {
      socket?.resume();
    },
    write(chunk, _encoding, done) {
      // A failure is told by the socket's own events, which know what it means.
      socket!.write(chunk, () => done());
    },
    final(done) {
      socket!.end(done);
    },
    destroy(error, done) {
      socket?.destroy();
      done(error);
    },
  });
}

/** The leaf first, then what the server sent and Node found above it. */
function certificatesOf(socket: TLSSocket): X509Certificate[] {
  const found: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw && !found.some(({ raw }) => raw.equals(next!.raw))) {
    found.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return found;
}

function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** OpenSSL's verdicts in words for people; https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const VERDICTS: Record<string, string> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  CERT_REVOKED: 'its certificate was revoked',
  CERT_UNTRUSTED: 'no authority trusted here has vouched for its certificate',
  CERT_SIGNATURE_FAILURE: 'its certificate is forged or damaged',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it vouches for its certificate itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'no authority trusted here has vouched for its certificate',
  UNABLE_TO_GET_ISSUER_CERT: 'no authority trusted here has vouched for its certificate',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'no authority trusted here has vouched for its certificate',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'no authority trusted here has vouched for its certificate',
  INVALID_CA: 'who vouches for its certificate is no authority',
  INVALID_PURPOSE: "its certificate is not one of a server, or one that vouches for it is no authority's",
  PATH_LENGTH_EXCEEDED: 'an authority vouches for it that may not so far down',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for somebody else',
};

function inWords(host: string, error: Error): AppError {
  if (error instanceof AppError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  const verdict = VERDICTS[code];
  if (verdict) return new AppError('server.untrusted', untrusted(host, verdict).message, { cause: error, retry: true });
  if (/^ERR_SSL_.*ALERT/.test(code)) {
    return refusal(errorText(error), error);
  }
  return new AppError('signalling.offline', errorText(error), { cause: error, retry: true });
}

/** In TLS 1.3 a server looks at the camera's certificate when the camera is through already; some then just hang up. */
function isLoss({ code = '' }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function refusal(how: string, cause?: Error): AppError {
  return new AppError(
    'server.refuses-camera',
    `the server does not let this camera in (${how}): does it know this camera's factory, and was the camera revoked?`,
    { cause, retry: true },
  );
}
