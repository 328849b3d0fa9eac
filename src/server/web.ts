import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import { Complaints } from '#lib/complaints.ts';
import type { Logger } from '#lib/logger.ts';
import type { ViewerConfig } from '#protocol/viewer-config.ts';
import type { Broker } from './broker.ts';
import { listen } from './listen.ts';
import type { Nonces } from './nonces.ts';
import type { RateLimit } from './rate-limit.ts';
import { sendJson, sendText } from './reply.ts';
import type { Site } from './site.ts';
import type { TokenEndpoint } from './token-endpoint.ts';
import type { Tokens } from './tokens.ts';

export interface WebOptions {
  readonly http: { readonly host: string; readonly port: number; readonly behindProxy: boolean };
  readonly https: { readonly host: string; readonly port: number | null };
  readonly log: Logger;
  readonly site: Site;
  readonly broker: Broker;
  readonly tokens: Tokens;
  readonly nonces: Nonces;
  readonly tokenEndpoint: TokenEndpoint;
  /** Visits by address, shared with the token endpoint. */
  readonly visits: RateLimit;
  readonly viewerConfig: Omit<ViewerConfig, 'address' | 'nonce'>;
  /** HTTP and WebSocket connections at once. */
  readonly maxConnections: number;
  /** For HTTPS, PEM. */
  certificate(): { readonly cert: Buffer; readonly key: Buffer } | undefined;
}

/** Where the broker's WebSocket is. */
const MQTT_PATH = '/mqtt';
/** Where viewers get their tokens, see protocol/token.ts. */
export const TOKEN_PATH = '/token';
const JWKS_PATH = '/.well-known/jwks.json';
/** One WebSocket message; MQTT packets may span several. */
const MAX_WS_MESSAGE = 256 * 1024;
/** A request that has not arrived as a whole by then will not, ms. */
const REQUEST_LIMIT_MS = 15_000;

/**
 * The viewer connects to the broker of its configuration (any host), scans QR codes with the camera and talks
 * through the microphone; nothing else a page could do is allowed.
 */
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'self'",
    "connect-src 'self' ws: wss: https:",
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'Permissions-Policy': 'camera=(self), microphone=(self), fullscreen=(self), geolocation=(), payment=(), usb=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** The web server: the viewer's files, its configuration, tokens, a health check, and the broker's WebSocket. */
export class Web {
  private readonly options: WebOptions;
  private readonly complaints: Complaints;
  private readonly sockets: WebSocketServer;
  private servers: Server[] = [];
  private tlsServer: TlsServer | undefined;

  constructor(options: WebOptions) {
    this.options = options;
    this.complaints = new Complaints({ log: options.log });
    this.sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_WS_MESSAGE,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
    });
  }

  /** Listens; answers the ports. Rejects with an AppError when one cannot be had. */
  async start(): Promise<{ http: number; https: number | undefined }> {
    const { http, https } = this.options;
    const server = this.prepare(createServer());
    const httpPort = await listen(server, { ...http, flag: '--http-port' });
    if (https.port === null) return { http: httpPort, https: undefined };
    this.tlsServer = createTlsServer({ ...this.options.certificate(), minVersion: 'TLSv1.2' });
    this.prepare(this.tlsServer);
    const httpsPort = await listen(this.tlsServer, { host: https.host, port: https.port, flag: '--https-port' });
    return { http: httpPort, https: httpsPort };
  }

  /** New handshakes use the certificate of now; connections stay. */
  renew(): void {
    const certificate = this.options.certificate();
    if (certificate) this.tlsServer?.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' });
  }

  /** Closes every connection, WebSockets too. */
  async stop(): Promise<void> {
    for (const socket of this.sockets.clients) socket.terminate();
    const closed = this.servers.map(async (server) => {
      if (!server.listening) return;
      const done = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await done;
    });
    await Promise.all(closed);
  }

  private prepare<S extends Server>(server: S): S {
    server.maxConnections = this.options.maxConnections;
    server.requestTimeout = REQUEST_LIMIT_MS;
    server.headersTimeout = REQUEST_LIMIT_MS;
    server.on('request', (request, response) => this.respond(request, response));
    server.on('upgrade', (request, socket, head) => this.upgrade(request, socket as Socket, head));
    this.servers.push(server);
    return server;
  }

  private respond(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const path = (request.url ?? '/').split('?')[0]!;
    if (path === TOKEN_PATH) {
      void this.options.tokenEndpoint.respond(request, response, this.addressOf(request) ?? '').catch((error) => {
        this.options.log.error({ err: error }, 'the token endpoint failed');
        response.destroy();
      });
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      // What else it wanted to send is of no interest.
      response.setHeader('Connection', 'close');
      sendText(response, 405, 'This server only answers GET and HEAD.');
      return;
    }
    if (path === '/config.json') this.respondConfig(request, response);
    else if (path === '/healthz') sendJson(response, 200, { status: 'ok' });
    else if (path === JWKS_PATH) sendJson(response, 200, this.options.tokens.jwks);
    else if (!this.options.site.respond(path, request, response)) this.missing(path, response);
  }

  private respondConfig(request: IncomingMessage, response: ServerResponse): void {
    const { viewerConfig, nonces } = this.options;
    // The nonce in it is good for two minutes only.
    response.setHeader('Cache-Control', 'no-store');
    sendJson(response, 200, { ...viewerConfig, address: this.addressOf(request), nonce: nonces.make() });
  }

  private missing(path: string, response: ServerResponse): void {
    if (path !== '/') sendText(response, 404, 'There is nothing here.');
    else
      sendText(
        response,
        404,
        'The viewer is not installed here. Build it with scripts/build, or name its folder with --viewer-folder.',
      );
  }

  private upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const address = this.addressOf(request);
    if ((request.url ?? '').split('?')[0] !== MQTT_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (!this.options.visits.tryTake(address ?? '')) {
      this.complaints.about(address ?? 'unknown', {}, 'connection refused: too many from this address');
      socket.end('HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      this.options.broker.accept(createWebSocketStream(webSocket), { address });
    });
  }

  /**
   * The viewer's address without an IPv4-in-IPv6 prefix or a zone; undefined when the connection is gone already.
   * Behind a proxy it is the last one that the proxy named: those before it are what the viewer claims.
   */
  private addressOf(request: IncomingMessage): string | undefined {
    const forwarded = this.options.http.behindProxy ? request.headers['x-forwarded-for'] : undefined;
    const named = String(forwarded ?? '')
      .split(',')
      .at(-1)!
      .trim();
    const address = isIP(named) ? named : request.socket.remoteAddress;
    return address?.replace(/^::ffff:/, '').replace(/%.*$/, '');
  }
}
