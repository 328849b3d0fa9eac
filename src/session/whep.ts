import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '#lib/clock.ts';
import { AppError, errorText, toAppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { MAX_SDP } from '#protocol/message.ts';
import { newSessionId, type Viewers } from './viewers.ts';

export interface WhepOptions {
  readonly viewers: Viewers;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** At least 16 characters. */
  readonly token: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const PATH = '/whep';
/** A client without trickle needs the candidates in the answer: host candidates are there at once, STUN may not be. */
const GATHER_MS = 500;
/** Making the answer itself takes a slow board's processor a second and more (DTLS keys). */
const ANSWER_MS = 5_000;
/** The address under which all WHEP sessions count as one party's. */
const VIEWER_PREFIX = 'whep:';

/**
 * WHEP (draft-ietf-wish-whep): HTTP in place of the mailbox, for players and recorders on the same network. Same
 * offers, same sessions. Every request needs the bearer token.
 */
export class WhepServer {
  private readonly options: WhepOptions;
  private readonly server: Server;

  constructor(options: WhepOptions) {
    if (options.token.length < 16) {
      throw new AppError('whep.token', 'whep.token is too short: give at least 16 random characters, or turn WHEP off');
    }
    this.options = options;
    this.server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
      this.handle(request, response).catch((error: unknown) => this.fail(response, error));
    });
    this.server.maxConnections = 64;
  }

  /** Resolves with the URL of the endpoint. */
  start(): Promise<string> {
    const { host, port } = this.options;
    return new Promise((resolve, reject) => {
      this.server.once('error', (error) => {
        reject(
          new AppError('whep.listen', `WHEP cannot listen on ${host}:${port}: ${errorText(error)}`, { cause: error }),
        );
      });
      this.server.listen(port, host, () => {
        const { port: bound } = this.server.address() as AddressInfo;
        const name = host.includes(':') ? `[${host}]` : host;
        resolve(`http://${name}:${bound}${PATH}`);
      });
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // The token is the only key, cookies are not looked at: a page of any origin may ask.
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', 'Location');
    const path = (request.url ?? '').split('?')[0]!;
    const id = path.startsWith(`${PATH}/`) ? path.slice(PATH.length + 1) : undefined;
    if (path !== PATH && id === undefined) return reply(response, 404, 'nothing here: the endpoint is /whep');
    if (request.method === 'OPTIONS') {
      response.setHeader('Access-Control-Allow-Methods', 'POST, PATCH, DELETE');
      response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type');
      response.setHeader('Access-Control-Max-Age', '600');
      response.setHeader('Accept-Post', 'application/sdp');
      return reply(response, 204);
    }
    if (!this.authorized(request)) {
      response.setHeader('WWW-Authenticate', 'Bearer');
      return reply(response, 401, 'a bearer token is needed');
    }
    if (request.method === 'POST' && id === undefined) return this.open(request, response);
    if (request.method === 'PATCH' && id !== undefined) return this.trickle(id, request, response);
    if (request.method === 'DELETE' && id !== undefined) return this.close(id, response);
    return reply(response, 405, `${request.method} is not supported here`);
  }

  /** Compares digests, so that neither content nor length of the token shows in the time it takes. */
  private authorized(request: IncomingMessage): boolean {
    const digest = (text: string) => createHash('sha256').update(text).digest();
    return timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${this.options.token}`));
  }

  private async open(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!hasType(request, 'application/sdp')) return reply(response, 415, 'send the offer as application/sdp');
    const offer = await readBody(request, MAX_SDP);
    if (offer === undefined) return reply(response, 413, `an offer has at most ${MAX_SDP} bytes`);
    const id = newSessionId();
    const answer = await this.answer(id, offer, request.socket.remoteAddress?.replace(/^::ffff:/, ''));
    response.setHeader('Location', `${PATH}/${id}`);
    response.setHeader('Content-Type', 'application/sdp');
    reply(response, 201, answer);
  }

  /** The answer with the candidates found within `GATHER_MS` after it was made. */
  private answer(id: string, offer: string, address: string | undefined): Promise<string> {
    return new Promise((resolve, reject) => {
      let sdp: string | undefined;
      const candidates: string[] = [];
      let cancelWait: (() => void) | undefined;
      const finish = () => {
        cancelWait?.();
        if (sdp !== undefined) resolve(withCandidates(sdp, candidates));
        else reject(new AppError('whep.no-answer', 'the WebRTC stack made no answer', { retry: true }));
      };
      cancelWait = this.options.clock.after(ANSWER_MS, finish);
      try {
        this.options.viewers.open(id, offer, {
          viewer: VIEWER_PREFIX + id,
          address,
          rights: () => ['view'],
          answer: (text) => {
            sdp = text;
            cancelWait?.();
            cancelWait = this.options.clock.after(GATHER_MS, finish);
          },
          candidate: (candidate) => candidates.push(candidate),
          gathered: finish,
          ended: finish,
        });
      } catch (error) {
        cancelWait?.();
        reject(error);
      }
    });
  }

  /** RFC 8840 trickle: candidates in an SDP fragment. */
  private async trickle(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const session = this.options.viewers.find(id, VIEWER_PREFIX + id);
    if (session === undefined) return reply(response, 404, 'there is no such session');
    if (!hasType(request, 'application/trickle-ice-sdpfrag')) {
      return reply(response, 415, 'send candidates as application/trickle-ice-sdpfrag');
    }
    const fragment = await readBody(request, MAX_SDP);
    if (fragment === undefined) return reply(response, 413, `a fragment has at most ${MAX_SDP} bytes`);
    let mid = '0';
    for (const line of fragment.split(/\r?\n/)) {
      if (line.startsWith('a=mid:')) mid = line.slice(6);
      else if (line.startsWith('a=candidate:')) session.addCandidate(line, mid);
    }
    reply(response, 204);
  }

  private close(id: string, response: ServerResponse): void {
    const session = this.options.viewers.find(id, VIEWER_PREFIX + id);
    session?.end('the viewer said goodbye');
    reply(response, session ? 200 : 404, session ? undefined : 'there is no such session');
  }

  private fail(response: ServerResponse, error: unknown): void {
    const { code, message, retry } = toAppError(error, 'whep.failed');
    this.options.log.warn({ code }, `WHEP request refused: ${message}`);
    if (response.headersSent) response.destroy();
    else reply(response, retry ? 503 : 400, message);
  }
}

function reply(response: ServerResponse, status: number, text?: string): void {
  response.statusCode = status;
  if (text !== undefined && !response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain');
  response.end(text);
}

function hasType(request: IncomingMessage, type: string): boolean {
  return (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase() === type;
}

/** The body as text; undefined when it is longer than `limit` bytes. */
async function readBody(request: IncomingMessage, limit: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Puts the candidates into the first media section of a bundled answer. */
function withCandidates(sdp: string, candidates: readonly string[]): string {
  const lines = candidates
    .map((candidate) => (candidate.startsWith('a=') ? candidate : `a=${candidate}`))
    .filter((line) => !sdp.includes(line));
  const sections = sdp.split(/(?=^m=)/m);
  if (sections.length > 1) sections[1] += [...lines, 'a=end-of-candidates'].map((line) => `${line}\r\n`).join('');
  return sections.join('');
}
