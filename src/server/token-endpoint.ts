import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GrantCheck } from '#identity/grant-check.ts';
import { verify } from '#identity/seal.ts';
import { Complaints } from '#lib/complaints.ts';
import type { Logger } from '#lib/logger.ts';
import { ProtocolError, parseAs, parseJsonAs } from '#protocol/parse.ts';
import { MAX_PROOF, PROOF_TYPE, proofRequestSchema, proofSchema, type Token } from '#protocol/token.ts';
import type { Uid } from '#protocol/uid.ts';
import type { IceServerEntry } from '#protocol/viewer-config.ts';
import type { Nonces } from './nonces.ts';
import type { Presence } from './presence.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Relay } from './relay.ts';
import { readBody, sendJson } from './reply.ts';
import type { ServerNames } from './server-names.ts';
import type { Tokens } from './tokens.ts';

export interface TokenEndpointOptions {
  readonly log: Logger;
  readonly nonces: Nonces;
  readonly tokens: Tokens;
  readonly grants: GrantCheck;
  readonly presence: Presence;
  readonly relay: Relay;
  /** Visits by address, shared with the broker's WebSocket. */
  readonly visits: RateLimit;
  /** STUN, for everybody. */
  readonly iceServers: readonly IceServerEntry[];
  readonly names: ServerNames;
}

/** Longest request, bytes: the proof and the JSON around it. */
const MAX_BODY = MAX_PROOF + 1024;

/** A page on any host may ask: what it gets follows from the key it holds, not from where it lies. */
const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST',
  'Access-Control-Allow-Headers': 'Content-Type',
  'Access-Control-Max-Age': '86400',
};

/** `GET` gives a nonce, `POST` a token for a proof of one's key; see protocol/token.ts. */
export class TokenEndpoint {
  private readonly options: TokenEndpointOptions;
  private readonly complaints: Complaints;

  constructor(options: TokenEndpointOptions) {
    this.options = options;
    this.complaints = new Complaints({ log: options.log });
  }

  /** @param address of the viewer */
  async respond(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value);
    response.setHeader('Cache-Control', 'no-store');
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end();
      return;
    }
    if (request.method !== 'GET' && request.method !== 'POST') {
      response.setHeader('Allow', 'GET, POST, OPTIONS');
      this.refuse(response, 405, 'only GET and POST');
      return;
    }
    if (!this.options.visits.tryTake(address)) {
      this.complaints.about(address, {}, 'token refused: too many requests from this address');
      response.setHeader('Retry-After', '10');
      this.refuse(response, 429, 'too many requests from your address: try again in a while');
      return;
    }
    if (request.method === 'GET') {
      sendJson(response, 200, { nonce: this.options.nonces.make() });
      return;
    }
    await this.exchange(request, response, address);
  }

  private async exchange(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    try {
      const { proof } = parseJsonAs(proofRequestSchema, await readBody(request, MAX_BODY), 'request', MAX_BODY);
      sendJson(response, 200, await this.tokenFor(proof, request.headers.host ?? ''));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.complaints.about(address, {}, `token refused: ${error.message}`);
      this.refuse(response, 400, error.message);
    }
  }

  private async tokenFor(proof: string, host: string): Promise<Token> {
    const { nonces, tokens, relay, iceServers } = this.options;
    const { thumbprint, payload } = await verify(PROOF_TYPE, proof, 'proof');
    const { aud, nonce, grants = [] } = parseAs(proofSchema, payload, 'proof');
    this.checkAudience(aud, host);
    if (!nonces.use(nonce, thumbprint)) throw new ProtocolError('proof', 'nonce', 'expired, used before, or not ours');
    const cameras = await this.granted(grants, thumbprint);
    return {
      token: await tokens.issue(thumbprint, cameras),
      expiresIn: tokens.lifeSeconds,
      iceServers: [...iceServers, ...(cameras.length > 0 ? relay.credentialsFor(thumbprint) : [])],
      cameras,
    };
  }

  /** A proof must have been made for the very name it came to, and that must be one of ours. */
  private checkAudience(audience: string, host: string): void {
    const url = URL.canParse(audience) ? new URL(audience) : undefined;
    const asked = url && URL.canParse(`${url.protocol}//${host}`) ? new URL(`${url.protocol}//${host}`) : undefined;
    if (!url || url.host === '' || url.host !== asked?.host) {
      throw new ProtocolError('proof', 'aud', 'made for another server');
    }
    if (this.options.names.include(url.hostname.replace(/^\[|\]$/g, ''))) return;
    throw new ProtocolError('proof', 'aud', 'this server does not know itself by that name; its --names setting does');
  }

  private async granted(grants: readonly string[], thumbprint: string): Promise<Uid[]> {
    const cameras = new Set<Uid>();
    for (const grant of grants) {
      const uid = await this.cameraOf(grant, thumbprint);
      if (uid) cameras.add(uid);
    }
    return [...cameras];
  }

  /** Undefined where a grant is not (or no longer) good: whoever shows it need not know why. */
  private async cameraOf(jws: string, thumbprint: string): Promise<Uid | undefined> {
    const { grants, presence, log } = this.options;
    try {
      const { iss } = await grants.check(jws, thumbprint, Date.now());
      if (!presence.hasRevoked(iss, thumbprint)) return iss;
      log.info({ from: thumbprint, uid: iss }, 'grant refused: the camera has revoked it');
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      log.info({ from: thumbprint }, `grant refused: ${error.message}`);
    }
    return undefined;
  }

  private refuse(response: ServerResponse, status: number, error: string): void {
    // Whatever is still being sent is not waited for.
    response.setHeader('Connection', 'close');
    sendJson(response, status, { error });
  }
}
