import type * as v from 'valibot';
import {
  type ByeMessage,
  type CallMessage,
  type CandidateMessage,
  claimsToCameraSchema,
  type HereMessage,
  helloSchema,
  MAX_MESSAGE,
  type PairedMessage,
  type PairMessage,
  type RefusalMessage,
  SIGNED_TYPE,
  type ToViewer,
} from '#protocol/message.ts';
import { ProtocolError, parseAs } from '#protocol/parse.ts';
import { mayDo, type Right } from '#protocol/rights.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import type { Uid } from '#protocol/uid.ts';
import type { GrantIssuer } from './grant.ts';
import { type SealingKey, type SigningKey, thumbprintOf } from './keys.ts';
import { pairingProofFits } from './pairing-proof.ts';
import { hashOf, isSealed, randomName, type Signed, seal, sign, unseal, verify } from './seal.ts';

/** A code that lets a newcomer in just now: the label's, or an invitation's. */
export interface AcceptableCode {
  readonly id: string;
  readonly code: SetupCode;
}

/** Who may use the camera, as the parley needs it. */
export interface AccessList<Code extends AcceptableCode = AcceptableCode> {
  readonly hasOwner: boolean;
  find(thumbprint: string): { readonly rights: readonly Right[] } | undefined;
  acceptableCodes(): readonly Code[];
  /** Whoever knows one of these is told why it does not count; a used invitation, the label's code of a camera with an owner. */
  spentCodes(): readonly { readonly code: SetupCode; readonly refusal: PairingRefusal }[];
  noteFailure(): Promise<void>;
  /** Rejects with an AppError where the code has been used up meanwhile. */
  admit(
    code: Code,
    newcomer: { readonly thumbprint: string; readonly key: PublicKeyJwk; readonly name: string },
  ): Promise<{ readonly rights: readonly Right[] }>;
}

export interface PairingRefusal {
  readonly code: string;
  readonly message: string;
}

/** Something that was refused, for the log of the camera and its audit. `viewer` where the signature told who. */
export class Refused extends Error {
  readonly reason: RefusalReason;
  readonly viewer: string | undefined;

  constructor(reason: RefusalReason, message: string, viewer?: string) {
    super(message);
    this.name = 'Refused';
    this.reason = reason;
    this.viewer = viewer;
  }
}

export type RefusalReason =
  | 'malformed'
  | 'not-for-us'
  | 'replayed'
  | 'out-of-order'
  | 'unknown-viewer'
  | 'wrong-code'
  | 'no-such-call'
  | 'no-right';

/** One call, from its offer to its end: what is said in it goes to one viewer, sealed, numbered, bound to its offer. */
export interface Talk {
  readonly viewer: string;
  readonly call: string;
  seal(message: ToViewer): Promise<Uint8Array>;
  /** Nothing of this call is taken any more. */
  close(): void;
}

export type Incoming =
  /** Answer this at once; there is nothing else to do. */
  | {
      readonly kind: 'reply';
      readonly to: string;
      readonly payload: Uint8Array;
      readonly event: ReplyEvent;
      /** The id of the code that was shown. */
      readonly code?: string;
    }
  | { readonly kind: 'call'; readonly talk: Talk; readonly message: CallMessage }
  | { readonly kind: 'in-call'; readonly talk: Talk; readonly message: CandidateMessage | ByeMessage };

export type ReplyEvent = 'here' | 'greeted' | 'paired' | 'pairing-refused' | 'stale';

export interface CameraParleyOptions<Code extends AcceptableCode> {
  readonly uid: Uid;
  readonly key: SigningKey;
  readonly sealing: SealingKey;
  readonly access: AccessList<Code>;
  readonly grants: Pick<GrantIssuer, 'issue'>;
  /** ms since 1970, as well as this camera knows. */
  now(): number;
  /** For people. */
  describe(): { readonly name: string; readonly firmware: string };
}

/** How far a call's time may be from ours, ms. Only bounds what must be remembered: `epoch` and `jti` stop replays. */
const WINDOW_MS = 5 * 60_000;
/** A newcomer that was greeted has this long to pair. */
const GREETING_MS = 2 * 60_000;
const MAX_GREETINGS = 64;
const MAX_HELLOS = 1024;
/** Calls remembered. With more of them a new epoch begins, which makes all former calls stale instead of remembering them. */
const MAX_CALLS = 20_000;
const MAX_TALKS = 512;
/** An answer brings a fresh grant when the last one is older than this, ms. */
const GRANT_EVERY_MS = 24 * 3_600_000;

interface OpenTalk extends Talk {
  heard: number;
}

interface Greeting<Code> {
  readonly code: Code;
  readonly hello: string;
  readonly here: string;
  readonly enc: PublicKeyJwk;
  readonly epoch: string;
  readonly at: number;
}

/**
 * The camera's side of everything that is said to it. What is not sealed to this camera, signed by a viewer on its
 * list, meant for this run of it and new is refused here, before anything else sees it. README.md has the state machine.
 */
export class CameraParley<Code extends AcceptableCode> {
  private currentEpoch = randomName(16);
  private readonly options: CameraParleyOptions<Code>;
  private readonly hellos = new Set<string>();
  private readonly greetings = new Map<string, Greeting<Code>>();
  private readonly calls = new Map<string, number>();
  /** Times (`iat`, ms) of calls that are no longer remembered lie at or before this. */
  private forgottenUntil = Number.NEGATIVE_INFINITY;
  private readonly talks = new Map<string, OpenTalk>();
  private readonly grantedAt = new Map<string, number>();

  constructor(options: CameraParleyOptions<Code>) {
    this.options = options;
  }

  /** New at every start: what was said to an earlier run is no use against this one, whatever the clock says. */
  get epoch(): string {
    return this.currentEpoch;
  }

  /** Opens one payload of the mailbox. Throws `Refused` with the reason; the sender is told nothing. */
  async receive(payload: Uint8Array): Promise<Incoming> {
    if (payload.length > MAX_MESSAGE) throw new Refused('malformed', `message: ${payload.length} bytes long`);
    const text = utf8.decode(payload);
    try {
      return isSealed(text) ? await this.receiveSealed(text) : await this.receiveHello(text);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw new Refused('malformed', error.message);
    }
  }

  /** Ends all calls of one viewer: what it still says is refused. */
  forget(viewer: string): void {
    for (const talk of [...this.talks.values()]) if (talk.viewer === viewer) talk.close();
    this.greetings.delete(viewer);
    this.grantedAt.delete(viewer);
  }

  private async receiveHello(text: string): Promise<Incoming> {
    const { uid, access } = this.options;
    const signed = await verify(SIGNED_TYPE.hello, text, 'hello');
    const { thumbprint: viewer } = signed;
    const claims = claimsOf(helloSchema, signed, 'hello');
    if (claims.aud !== uid) throw new Refused('not-for-us', 'hello: field "aud": meant for another camera', viewer);
    if (claims.iss !== viewer) throw new Refused('malformed', 'hello: field "iss": not the signer', viewer);
    const once = `${viewer} ${claims.jti}`;
    if (this.hellos.has(once)) throw new Refused('replayed', 'hello: field "jti": seen before', viewer);
    remember(this.hellos, once, MAX_HELLOS);

    const hash = await hashOf(text);
    if (claims.proof !== undefined) {
      const proven = { viewer, proof: claims.proof, transcript: [await thumbprintOf(claims.enc), claims.jti] };
      for (const code of access.acceptableCodes()) {
        if (await this.proves(code.code, proven)) return this.greet(viewer, claims.enc, hash, code);
      }
      for (const { code, refusal } of access.spentCodes()) {
        if (await this.proves(code, proven)) return this.refusePairing(viewer, claims.enc, hash, refusal);
      }
      await access.noteFailure();
      throw new Refused('wrong-code', 'hello: the code is not one that counts', viewer);
    }
    if (!access.find(viewer)) throw new Refused('unknown-viewer', 'hello: this viewer is not on the list', viewer);
    return this.greet(viewer, claims.enc, hash, undefined);
  }

  private proves(
    code: SetupCode,
    { viewer, proof, transcript }: { viewer: string; proof: string; transcript: string[] },
  ) {
    return pairingProofFits(proof, { step: 'hello', code, uid: this.options.uid, thumbprint: viewer, transcript });
  }

  private async greet(viewer: string, enc: PublicKeyJwk, hello: string, code: Code | undefined): Promise<Incoming> {
    const { access, sealing, grants, now, describe } = this.options;
    const rights = access.find(viewer)?.rights;
    const message: HereMessage = {
      type: 'here',
      ...describe(),
      epoch: this.epoch,
      now: now(),
      sealing: sealing.publicKey,
      ...(rights && { rights: [...rights], grant: await grants.issue(viewer, rights) }),
      owned: access.hasOwner,
    };
    const { jws, payload } = await this.sealTo(viewer, enc, message, hello, 0);
    if (!code) return { kind: 'reply', to: viewer, payload, event: 'here' };
    const greeting = { code, hello, here: await hashOf(jws), enc, epoch: message.epoch, at: performance.now() };
    rememberIn(this.greetings, viewer, greeting, MAX_GREETINGS);
    return { kind: 'reply', to: viewer, payload, event: 'greeted', code: code.id };
  }

  private async receiveSealed(text: string): Promise<Incoming> {
    const { uid, access } = this.options;
    const jws = await unseal(text, this.options.sealing);
    const signed = await verify(SIGNED_TYPE.toCamera, jws, 'message');
    const { thumbprint: viewer, key } = signed;
    const claims = claimsOf(claimsToCameraSchema, signed, 'message');
    if (claims.iss !== viewer) throw new Refused('malformed', 'message: field "iss": not the signer', viewer);
    if (claims.aud !== uid) throw new Refused('not-for-us', 'message: field "aud": meant for another camera', viewer);
    if (claims.msg.type === 'pair') return this.pair(viewer, key, claims.msg, claims.epoch, jws);

    const rights = access.find(viewer)?.rights;
    if (!rights) throw new Refused('unknown-viewer', `${claims.msg.type}: this viewer is not on the list`, viewer);
    if (claims.msg.type !== 'call') return this.receiveInCall(viewer, claims.msg, claims.seq);
    if (!mayDo(rights, 'view')) throw new Refused('no-right', 'call: this viewer may not watch', viewer);
    return this.receiveCall({ viewer, claims, message: claims.msg, jws });
  }

  private async receiveCall(received: {
    viewer: string;
    claims: v.InferOutput<typeof claimsToCameraSchema>;
    message: CallMessage;
    jws: string;
  }): Promise<Incoming> {
    const { viewer, claims, message, jws } = received;
    const { enc } = claims;
    if (!enc) throw new Refused('malformed', 'call: field "enc" is missing', viewer);
    const re = await hashOf(jws);
    const now = this.options.now();
    this.expireCalls(now);
    if (claims.epoch !== this.epoch || Math.abs(claims.iat - now) > WINDOW_MS || this.mayBeForgotten(claims.iat)) {
      const stale: RefusalMessage = {
        type: 'refusal',
        call: message.call,
        code: 'call.stale',
        message: 'the camera was started anew, or the clocks differ: call again with this epoch and time',
        retry: true,
        epoch: this.epoch,
        now,
      };
      const { payload } = await this.sealTo(viewer, enc, stale, re, 0);
      return { kind: 'reply', to: viewer, payload, event: 'stale' };
    }
    const id = `${viewer} ${message.call}`;
    if (this.calls.has(id)) throw new Refused('replayed', 'call: this call was made before', viewer);
    this.calls.set(id, claims.iat);
    if (this.talks.size >= MAX_TALKS) throw new Refused('no-such-call', 'call: too many calls are open', viewer);
    const talk = this.openTalk({ id, viewer, call: message.call, enc, re });
    return { kind: 'call', talk, message };
  }

  private receiveInCall(viewer: string, message: CandidateMessage | ByeMessage, seq: number): Incoming {
    const talk = this.talks.get(`${viewer} ${message.call}`);
    if (!talk) throw new Refused('no-such-call', `${message.type}: no such call of this viewer is open`, viewer);
    if (seq <= talk.heard)
      throw new Refused('out-of-order', `${message.type}: field "seq": seen before, or late`, viewer);
    talk.heard = seq;
    return { kind: 'in-call', talk, message };
  }

  private async pair(
    viewer: string,
    key: PublicKeyJwk,
    message: PairMessage,
    epoch: string,
    jws: string,
  ): Promise<Incoming> {
    const { uid, access, grants, describe } = this.options;
    const greeting = this.greetings.get(viewer);
    // One try for each greeting: whatever comes of it, the next one starts with a hello.
    this.greetings.delete(viewer);
    if (!greeting || epoch !== greeting.epoch || performance.now() - greeting.at > GREETING_MS) {
      throw new Refused('replayed', 'pair: it follows no greeting of this camera', viewer);
    }
    const { code, hello, here, enc } = greeting;
    const bound = { step: 'pair', code: code.code, uid, thumbprint: viewer, transcript: [hello, here] } as const;
    if (!(await pairingProofFits(message.proof, bound))) {
      await access.noteFailure();
      throw new Refused('wrong-code', 'pair: field "proof": it does not fit', viewer);
    }
    const re = await hashOf(jws);
    let rights: readonly Right[];
    try {
      ({ rights } = await access.admit(code, { thumbprint: viewer, key, name: message.name }));
    } catch (error) {
      const { code: reason = 'pairing.failed', message: text } = error as { code?: string; message: string };
      return this.refusePairing(viewer, enc, re, { code: reason, message: text });
    }
    const { name } = describe();
    const paired: PairedMessage = {
      type: 'paired',
      name,
      rights: [...rights],
      grant: await grants.issue(viewer, rights),
    };
    const { payload } = await this.sealTo(viewer, enc, paired, re, 0);
    return { kind: 'reply', to: viewer, payload, event: 'paired', code: code.id };
  }

  private async refusePairing(
    viewer: string,
    enc: PublicKeyJwk,
    re: string,
    { code, message }: PairingRefusal,
  ): Promise<Incoming> {
    const refusal: RefusalMessage = { type: 'refusal', code, message, retry: false };
    const { payload } = await this.sealTo(viewer, enc, refusal, re, 0);
    return { kind: 'reply', to: viewer, payload, event: 'pairing-refused' };
  }

  private openTalk(about: { id: string; viewer: string; call: string; enc: PublicKeyJwk; re: string }): Talk {
    const { id, viewer, call, enc, re } = about;
    let seq = 0;
    // Numbered when asked for and sealed one after the other, so that they leave in the order of their numbers.
    let last: Promise<unknown> = Promise.resolve();
    const talk: OpenTalk = {
      viewer,
      call,
      heard: 0,
      seal: (message) => {
        const number = seq++;
        const sealed = last.then(async () => {
          const full = message.type === 'answer' ? { ...message, ...(await this.freshGrant(viewer)) } : message;
          return (await this.sealTo(viewer, enc, full, re, number)).payload;
        });
        last = sealed.catch(() => {});
        return sealed;
      },
      close: () => {
        if (this.talks.get(id) === talk) this.talks.delete(id);
      },
    };
    this.talks.set(id, talk);
    return talk;
  }

  private async freshGrant(viewer: string): Promise<{ grant?: string }> {
    const rights = this.options.access.find(viewer)?.rights;
    const now = performance.now();
    if (!rights || now - (this.grantedAt.get(viewer) ?? Number.NEGATIVE_INFINITY) < GRANT_EVERY_MS) return {};
    this.grantedAt.set(viewer, now);
    return { grant: await this.options.grants.issue(viewer, rights) };
  }

  private async sealTo(
    viewer: string,
    enc: PublicKeyJwk,
    msg: HereMessage | PairedMessage | RefusalMessage | ToViewer,
    re: string,
    seq: number,
  ) {
    const { uid, key, now } = this.options;
    const jws = await sign(SIGNED_TYPE.toViewer, { iss: uid, aud: viewer, iat: now(), seq, re, msg }, key);
    return { jws, payload: await seal(jws, { kid: await thumbprintOf(enc), publicKey: enc }) };
  }

  /** Beyond the window a call is refused by its time, so it need not be remembered. Oldest first, as they came. */
  private expireCalls(now: number): void {
    for (const [id, iat] of this.calls) {
      if (now - iat <= 2 * WINDOW_MS) break;
      this.calls.delete(id);
      this.forgottenUntil = Math.max(this.forgottenUntil, iat);
    }
  }

  /**
   * The clock was turned back, so that a call in time may be one that was forgotten; or there are too many to
   * remember. A new epoch begins then: all former calls are stale, and who calls now is told.
   */
  private mayBeForgotten(iat: number): boolean {
    if (iat > this.forgottenUntil && this.calls.size < MAX_CALLS) return false;
    this.currentEpoch = randomName(16);
    this.calls.clear();
    this.forgottenUntil = Number.NEGATIVE_INFINITY;
    return true;
  }
}

const utf8 = new TextDecoder();

/** The claims of a message whose signature holds: what is wrong with them is its signer's doing. */
function claimsOf<const S extends v.GenericSchema>(schema: S, signed: Signed, what: string): v.InferOutput<S> {
  try {
    return parseAs(schema, signed.payload, what);
  } catch (error) {
    throw new Refused('malformed', (error as ProtocolError).message, signed.thumbprint);
  }
}

function remember(set: Set<string>, entry: string, limit: number): void {
  if (set.size >= limit) set.delete(set.values().next().value!);
  set.add(entry);
}

function rememberIn<T>(map: Map<string, T>, key: string, entry: T, limit: number): void {
  map.delete(key);
  if (map.size >= limit) map.delete(map.keys().next().value!);
  map.set(key, entry);
}
