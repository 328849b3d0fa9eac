import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import type { ViewerConfig } from '#protocol/viewer-config.ts';
import type { Broker } from './broker.ts';
import { listen } from './listen.ts';
import type { Site } from './site.ts';

export interface WebOptions {
  readonly host: string;
  readonly port: number;
  readonly site: Site;
  readonly broker: Broker;
  readonly viewerConfig: ViewerConfig;
  /** HTTP and WebSocket connections at once. */
  readonly maxConnections: number;
}

/** Where the broker's WebSocket is. */
const MQTT_PATH = '/mqtt';
/** One WebSocket message; MQTT packets may span several. */
const MAX_WS_MESSAGE = 256 * 1024;

/**
 * The viewer connects to the broker of its configuration (any host), scans QR codes with the camera and talks
 * through the microphone; nothing else a page could do is allowed.
 */
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'self'",
    "connect-src 'self' ws: wss:",
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

/** The web server: the viewer's files, its configuration, a health check, and the broker's WebSocket. */
export class Web {
  private readonly options: WebOptions;
  private readonly server: Server;
  private readonly sockets: WebSocketServer;

  constructor(options: WebOptions) {
    this.options = options;
    this.server = createServer((request, response) => this.respond(request, response));
    this.server.maxConnections = options.maxConnections;
    this.sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_WS_MESSAGE,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : false),
    });
  }

  /** Listens; answers the port. Rejects with an AppError when the port cannot be had. */
  async start(): Promise<number> {
    this.server.on('upgrade', (request, socket, head) => this.upgrade(request, socket as Socket, head));
    return await listen(this.server, { ...this.options, flag: '--http-port' });
  }

  /** Closes every connection, WebSockets too. */
  async stop(): Promise<void> {
    for (const socket of this.sockets.clients) socket.terminate();
    if (!this.server.listening) return;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private respond(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      // What else it wanted to send is of no interest.
      response.setHeader('Connection', 'close');
      text(response, 405, 'This server only answers GET and HEAD.');
      return;
    }
    const path = (request.url ?? '/').split('?')[0]!;
    if (path === '/config.json') json(response, { ...this.options.viewerConfig, address: addressOf(request) });
    else if (path === '/healthz') json(response, { status: 'ok' });
    else if (!this.options.site.respond(path, request, response)) this.missing(path, response);
  }

  private missing(path: string, response: ServerResponse): void {
    if (path !== '/') text(response, 404, 'There is nothing here.');
    else
      text(
        response,
        404,
        'The viewer is not installed here. Build it with scripts/build, or name its folder with --viewer-folder.',
      );
  }

  private upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    if ((request.url ?? '').split('?')[0] !== MQTT_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.sockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      this.options.broker.accept(createWebSocketStream(webSocket), request.socket.remoteAddress, request);
    });
  }
}

/** The viewer's address without an IPv4-in-IPv6 prefix or a zone; undefined when the connection is gone already. */
function addressOf(request: IncomingMessage): string | undefined {
  return request.socket.remoteAddress?.replace(/^::ffff:/, '').replace(/%.*$/, '');
}

function json(response: ServerResponse, value: object): void {
  const body = JSON.stringify(value);
  response.setHeader('Cache-Control', 'no-cache');
  send(response, 200, 'application/json', body);
}

function text(response: ServerResponse, status: number, body: string): void {
  send(response, status, 'text/plain; charset=utf-8', `${body}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}
