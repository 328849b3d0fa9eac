import {
  claimsToViewerSchema,
  type HereMessage,
  MAX_MESSAGE,
  type PairedMessage,
  type PairMessage,
  type RefusalMessage,
  SIGNED_TYPE,
  type ToCamera,
  type ToViewer,
} from '#protocol/message.ts';
import { ProtocolError, parseAs } from '#protocol/parse.ts';
import type { Right } from '#protocol/rights.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import type { Uid } from '#protocol/uid.ts';
import { newSealingKey, type SealingKey, type SigningKey, thumbprintOf, uidOfKey } from './keys.ts';
import { pairingProof } from './pairing-proof.ts';
import { hashOf, isSealed, randomName, recipientOf, seal, sign, unseal, verify } from './seal.ts';

/** What a viewer remembers of a camera, to call it without asking first. Plain JSON. */
export interface KnownCamera {
  readonly uid: Uid;
  /** The device key; it was checked against the UID. */
  readonly key: PublicKeyJwk;
  readonly sealing: PublicKeyJwk;
  readonly epoch: string;
  /** The camera's clock less this viewer's, ms. */
  readonly clockOffset: number;
  /** What this viewer may; undefined as long as it is not on the camera's list. */
  readonly rights: readonly Right[] | undefined;
  /** To be shown to the server. */
  readonly grant: string | undefined;
  /** Under which key of this viewer it was met. */
  readonly name: string;
}

/** What a message from the camera turned out to be. Every one has been opened, checked and is meant for us. */
export type News =
  | { readonly kind: 'here'; readonly here: HereMessage; readonly pairing: boolean }
  | { readonly kind: 'paired'; readonly paired: PairedMessage }
  | { readonly kind: 'pairing-refused'; readonly refusal: RefusalMessage }
  | { readonly kind: 'call'; readonly message: ToViewer }
  /** The camera has restarted, or our clock is off: the same call, sealed anew with `sealCall`, will do. */
  | { readonly kind: 'stale'; readonly call: string };

interface OpenCall {
  readonly hash: string;
  /** Number of our next message. */
  seq: number;
  /** Number of the last message of the camera that was taken. */
  heard: number;
  answered: boolean;
}

interface Greeting {
  readonly hash: string;
  readonly code: SetupCode | undefined;
  /** Hash of the camera's `here`, once it has come. */
  here?: string;
  /** Hash of our `pair`, once it was sent. */
  pair?: string;
}

/**
 * The viewer's side of everything that is said to one camera: seals what goes out, opens and checks what comes in, and
 * takes it only where the state machine (README.md) expects it. Nothing here trusts the server or the clock.
 */
export class ViewerParley {
  readonly uid: Uid;
  private readonly key: SigningKey;
  private readonly now: () => number;
  private readonly sealing: Promise<SealingKey>;
  private readonly changed: (known: KnownCamera) => void;
  private readonly calls = new Map<string, OpenCall>();
  private camera: KnownCamera | undefined;
  private cameraKid: Promise<string> | undefined;
  private greeting: Greeting | undefined;

  constructor(options: {
    readonly uid: Uid;
    readonly key: SigningKey;
    /** From an earlier visit. */
    readonly known?: KnownCamera;
    /** What is known of the camera has changed: to be remembered. */
    readonly changed?: (known: KnownCamera) => void;
    /** ms since 1970. */
    readonly now?: () => number;
  }) {
    this.uid = options.uid;
    this.key = options.key;
    this.camera = options.known;
    this.changed = options.changed ?? (() => {});
    this.now = options.now ?? Date.now;
    // Made once for each page: whoever takes this device tomorrow cannot open what was said today.
    this.sealing = newSealingKey();
    this.sealing.catch(() => {});
  }

  /** What is known of the camera; `rights` are there once this viewer is on its list. */
  get known(): KnownCamera | undefined {
    return this.camera;
  }

  /** Asks the camera for its keys; with a code, as the first half of pairing. Answered by `here`, or never. */
  async hello(code?: SetupCode): Promise<Uint8Array> {
    const { uid, key } = this;
    const enc = (await this.sealing).publicKey;
    const jti = randomName(16);
    const proof = code && {
      proof: await pairingProof({
        step: 'hello',
        code,
        uid,
        thumbprint: key.thumbprint,
        transcript: [await thumbprintOf(enc), jti],
      }),
    };
    const claims = { iss: key.thumbprint, aud: uid, jti, iat: this.now(), enc, ...proof };
    const hello = await sign(SIGNED_TYPE.hello, claims, key);
    this.greeting = { hash: await hashOf(hello), code };
    return utf8.encode(hello);
  }

  /** The second half, after a `here` that answered a `hello` with a code. @param name of this viewer, for people */
  async pair(name: string): Promise<Uint8Array> {
    const { uid, key, greeting } = this;
    if (!greeting?.here || !greeting.code) throw new Error('pair without a hello that was answered');
    const { code, hash, here } = greeting;
    const transcript = [hash, here];
    const message: PairMessage = {
      type: 'pair',
      name,
      proof: await pairingProof({ step: 'pair', code, uid, thumbprint: key.thumbprint, transcript }),
    };
    const { payload, hash: pair } = await this.seal(message, 0, true);
    greeting.pair = pair;
    return payload;
  }

  /** Seals a message of a call; the call itself first. Throws where the camera's keys are not known yet (`hello`). */
  async sealCall(message: ToCamera): Promise<Uint8Array> {
    if (message.type === 'call') {
      const { payload, hash } = await this.seal(message, 0, true);
      this.calls.set(message.call, { hash, seq: 1, heard: -1, answered: false });
      return payload;
    }
    const call = this.calls.get(message.call);
    if (!call) throw new Error(`a ${message.type} outside of a call`);
    const { payload } = await this.seal(message, call.seq++, false);
    return payload;
  }

  /** The call is over: whatever the camera still says about it is refused. */
  close(call: string): void {
    this.calls.delete(call);
  }

  /**
   * Opens one payload of the mailbox. Undefined where it is for another page of the same viewer, or belongs to no
   * call that is open. Throws a ProtocolError where it is forged, replayed, out of order or malformed.
   */
  async open(payload: Uint8Array): Promise<News | undefined> {
    if (payload.length > MAX_MESSAGE) throw new ProtocolError('sealed message', '', 'too long');
    const text = new TextDecoder().decode(payload);
    if (!isSealed(text)) throw new ProtocolError('message', '', 'it is not sealed');
    const own = await this.sealing;
    if (recipientOf(text) !== own.kid) return undefined;
    const jws = await unseal(text, own);
    const signed = await verify(SIGNED_TYPE.toViewer, jws, 'message');
    // The UID is the hash of the key: this check needs neither server nor certificate authority.
    if ((await uidOfKey(signed.key)) !== this.uid) throw wrong('signature', 'made by a key that is not this UID’s');
    const claims = parseAs(claimsToViewerSchema, signed.payload, 'message');
    if (claims.iss !== this.uid) throw wrong('iss', 'another camera');
    if (claims.aud !== this.key.thumbprint) throw wrong('aud', 'meant for another viewer');
    const { msg, re, seq } = claims;
    if (msg.type === 'here') return this.takeHere(msg, signed.key, re, jws);
    if (msg.type === 'paired' || (msg.type === 'refusal' && msg.call === undefined)) return this.takePairing(msg, re);
    return this.takeCall(msg as ToViewer, re, seq);
  }

  private async takeHere(here: HereMessage, key: PublicKeyJwk, re: string, jws: string): Promise<News> {
    const { greeting } = this;
    if (!greeting || greeting.here !== undefined) throw wrong('msg.type', 'a "here" that nobody waits for');
    if (re !== greeting.hash) throw wrong('re', 'it answers another hello');
    greeting.here = await hashOf(jws);
    const { sealing, epoch, rights, grant, name } = here;
    const clockOffset = here.now - this.now();
    this.remember({ uid: this.uid, key, sealing, epoch, clockOffset, rights, grant, name });
    return { kind: 'here', here, pairing: greeting.code !== undefined };
  }

  private takePairing(message: PairedMessage | RefusalMessage, re: string): News {
    const { greeting } = this;
    const expected = message.type === 'paired' ? greeting?.pair : (greeting?.pair ?? greeting?.hash);
    if (!greeting || expected === undefined) throw wrong('msg.type', `a "${message.type}" that nobody waits for`);
    if (re !== expected) throw wrong('re', 'it answers another message');
    this.greeting = undefined;
    if (message.type === 'refusal') return { kind: 'pairing-refused', refusal: message };
    const { name, rights, grant } = message;
    this.remember({ ...this.camera!, name, rights, grant });
    return { kind: 'paired', paired: message };
  }

  private takeCall(message: ToViewer, re: string, seq: number): News | undefined {
    const call = this.calls.get(message.call);
    if (!call) return undefined;
    if (re !== call.hash) throw wrong('re', 'it answers another offer');
    if (seq <= call.heard) throw wrong('seq', 'replayed, or out of order');
    if (message.type === 'answer' && call.answered) throw wrong('msg.type', 'a second answer to one offer');
    call.heard = seq;
    if (message.type === 'answer') {
      call.answered = true;
      if (message.grant) this.remember({ ...this.camera!, grant: message.grant });
    }
    if (message.type === 'refusal') {
      this.calls.delete(message.call);
      if (message.code === 'call.stale' && message.epoch && message.now !== undefined) {
        this.remember({ ...this.camera!, epoch: message.epoch, clockOffset: message.now - this.now() });
        return { kind: 'stale', call: message.call };
      }
    }
    if (message.type === 'bye') this.calls.delete(message.call);
    return { kind: 'call', message };
  }

  private async seal(msg: ToCamera | PairMessage, seq: number, opening: boolean) {
    const { camera, uid, key } = this;
    if (!camera) throw new Error('the camera’s keys are not known yet');
    const claims = {
      iss: key.thumbprint,
      aud: uid,
      jti: randomName(16),
      iat: Math.max(0, Math.round(this.now() + camera.clockOffset)),
      epoch: camera.epoch,
      seq,
      ...(opening && { enc: (await this.sealing).publicKey }),
      msg,
    };
    const jws = await sign(SIGNED_TYPE.toCamera, claims, key);
    this.cameraKid ??= thumbprintOf(camera.sealing);
    const to = { kid: await this.cameraKid, publicKey: camera.sealing };
    return { payload: await seal(jws, to), hash: await hashOf(jws) };
  }

  private remember(known: KnownCamera): void {
    if (known.sealing.x !== this.camera?.sealing.x) this.cameraKid = undefined;
    this.camera = known;
    this.changed(known);
  }
}

const utf8 = new TextEncoder();

function wrong(field: string, problem: string): ProtocolError {
  return new ProtocolError('message', field, problem);
}
