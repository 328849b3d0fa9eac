import { constants } from 'node:crypto';
import { createServer, type PeerCertificate, type Server, type TLSSocket } from 'node:tls';
import { certifiedUid } from '#identity/device-certificate.ts';
import { Complaints } from '#lib/complaints.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError } from '#protocol/parse.ts';
import type { Broker } from './broker.ts';
import type { Credentials } from './credentials.ts';
import { listen } from './listen.ts';
import { serialsOf } from './revocation-list.ts';

export interface CameraPortOptions {
  readonly host: string;
  readonly port: number;
  readonly log: Logger;
  readonly broker: Broker;
  /** TCP connections at once, those under way included. */
  readonly maxConnections: number;
  /** With the server's own certificate. */
  credentials(): Credentials;
}

const HANDSHAKE_LIMIT_MS = 10_000;

/**
 * Where cameras connect: MQTT over mutual TLS. OpenSSL checks the chain to the factory CA and that the camera holds
 * the key; here follow what it does not know: that the name is the key's own UID, and that nothing has been revoked.
 */
export class CameraPort {
  private readonly options: CameraPortOptions;
  private readonly complaints: Complaints;
  private server: Server | undefined;

  constructor(options: CameraPortOptions) {
    this.options = options;
    this.complaints = new Complaints({ log: options.log });
  }

  /** Listens; answers the port. Rejects with an AppError when the port cannot be had. */
  async start(): Promise<number> {
    const server = createServer({
      ...contextOf(this.options.credentials()),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_LIMIT_MS,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    });
    server.maxConnections = this.options.maxConnections;
    server.on('secureConnection', (socket) => this.meet(socket));
    server.on('tlsClientError', (error, socket) => this.turnAway(socket, error));
    this.server = server;
    return await listen(server, { ...this.options, flag: '--mqtt-port' });
  }

  /** New handshakes use what the files hold now; connections stay. */
  renew(): void {
    this.server?.setSecureContext(contextOf(this.options.credentials()));
  }

  /** Only stops listening: the connections are the broker's. */
  stop(): void {
    this.server?.close();
  }

  private meet(socket: TLSSocket): void {
    const address = socket.remoteAddress;
    try {
      const certificate = socket.getPeerX509Certificate();
      if (!socket.authorized || !certificate) throw new ProtocolError('device certificate', '', 'not verified');
      const uid = certifiedUid(certificate);
      const serials = serialsOf(chainOf(socket.getPeerCertificate(true)));
      if (this.options.credentials().revoked.hasAny(serials)) {
        throw new ProtocolError('device certificate', '', `${uid} is revoked`);
      }
      this.options.broker.accept(socket, { address, camera: { uid, serials } });
    } catch (error) {
      socket.on('error', () => {});
      socket.destroy();
      if (!(error instanceof ProtocolError)) throw error;
      this.complaints.about(address ?? 'unknown', {}, `camera refused: ${error.message}`);
    }
  }

  private turnAway(socket: TLSSocket, error: Error): void {
    const address = socket.remoteAddress ?? 'unknown';
    const { authorizationError } = socket as { authorizationError?: unknown };
    const cause = authorizationError ? String(authorizationError) : errorText(error);
    this.complaints.about(address, { cause }, 'camera refused: no TLS connection, or no certificate of the factory');
  }
}

function contextOf({ tls, ca }: Credentials) {
  return {
    cert: tls!.cert,
    key: tls!.key,
    ca,
    minVersion: 'TLSv1.3',
    // Every connection shows its certificate anew: a resumed one would stand on what was true yesterday.
    secureOptions: constants.SSL_OP_NO_TICKET,
  } as const;
}

/** The certificate and its issuers, as verified; Node ends the chain with a certificate that is its own issuer. */
function chainOf(leaf: PeerCertificate): PeerCertificate[] {
  type Link = PeerCertificate & { issuerCertificate?: Link };
  const chain: Link[] = [];
  for (let link: Link | undefined = leaf as Link; link?.raw && !chain.includes(link); link = link.issuerCertificate) {
    chain.push(link);
  }
  return chain;
}
