import { newSealingKey, newSigningKey, type SealingKey, type SigningKey, thumbprintOf } from '#identity/keys.ts';
import { hashOf, isSealed, randomName, seal, sign } from '#identity/seal.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import type { PublicKeyJwk } from '#protocol/status.ts';
import type { Judge } from './trust-judge.ts';
import type { SeededRandom } from './trust-random.ts';
import type { Address, Fate, Letter, WorldCamera, WorldPage } from './trust-world.ts';

/** A hello as every server can read it: what it needs to forge the camera's reply. */
interface Overheard {
  readonly page: string;
  readonly uid: string;
  readonly enc: PublicKeyJwk;
  readonly hash: string;
  readonly claims: Record<string, unknown>;
  readonly text: string;
}

export interface Attack {
  attempts: number;
  refused: number;
}

const KEPT = 3000;
const utf8 = new TextEncoder();
const text = (payload: Uint8Array) => new TextDecoder().decode(payload);

/**
 * A server in somebody else's hands. It carries what is said, or does something else with it; it remembers all, and
 * has accomplices: keys of its own, a viewer that is on the list of one camera, and the public keys and epochs of all
 * cameras, as a former user would know them.
 */
export class MaliciousPost {
  readonly attacks = new Map<string, Attack>();
  carriedHonestly = 0;
  private readonly judge: Judge;
  private readonly random: SeededRandom;
  private readonly cameras: readonly WorldCamera[];
  private readonly pages: readonly WorldPage[];
  private readonly waiting: Letter[] = [];
  private readonly delayed: Letter[] = [];
  private readonly kept: Letter[] = [];
  private readonly overheard: Overheard[] = [];
  private readonly own: SigningKey;
  private readonly ownSealing: SealingKey;
  /** On the list of the first camera, and in league with the server. */
  private readonly insider: SigningKey;
  private honest = false;

  private constructor(options: {
    judge: Judge;
    random: SeededRandom;
    cameras: readonly WorldCamera[];
    pages: readonly WorldPage[];
    own: SigningKey;
    ownSealing: SealingKey;
    insider: SigningKey;
  }) {
    this.judge = options.judge;
    this.random = options.random;
    this.cameras = options.cameras;
    this.pages = options.pages;
    this.own = options.own;
    this.ownSealing = options.ownSealing;
    this.insider = options.insider;
    this.cameras[0]!.people.set(this.insider.thumbprint, { rights: ['view'] });
  }

  static async create(options: {
    judge: Judge;
    random: SeededRandom;
    cameras: readonly WorldCamera[];
    pages: readonly WorldPage[];
  }): Promise<MaliciousPost> {
    const [own, ownSealing, insider] = [await newSigningKey(), await newSealingKey(), await newSigningKey()];
    return new MaliciousPost({ ...options, own, ownSealing, insider });
  }

  get attempts(): number {
    return [...this.attacks.values()].reduce((sum, { attempts }) => sum + attempts, 0);
  }

  /** What an honest party hands over. */
  readonly take = (letter: Letter): void => {
    this.judge.search(letter.payload);
    this.waiting.push(letter);
  };

  /** From now on it only carries. */
  reform(): void {
    this.honest = true;
    this.delayed.length = 0;
  }

  /** Carries what waits, in its own way, and adds some of its own. */
  async work(): Promise<void> {
    for (let letter = this.waiting.shift(); letter; letter = this.waiting.shift()) {
      await this.keep(letter);
      if (this.honest || this.random.chance(0.35)) {
        this.carriedHonestly++;
        await this.deliver(letter);
      } else await this.attack(this.random.pick(WITH_LETTERS), letter);
    }
    if (this.honest) return;
    if (this.delayed.length > 0 && this.random.chance(0.5)) {
      await this.deliver(this.delayed.splice(this.random.below(this.delayed.length), 1)[0]!);
    }
    await this.attack(this.random.pick(WITHOUT_LETTERS), undefined);
  }

  private async attack(kind: string, letter: Letter | undefined): Promise<void> {
    const tally = this.attacks.get(kind) ?? { attempts: 0, refused: 0 };
    this.attacks.set(kind, tally);
    const fate = letter ? await this.spoil(kind, letter) : await this.invent(kind);
    if (fate === undefined) return;
    tally.attempts++;
    if (fate === 'refused') tally.refused++;
  }

  private async spoil(kind: string, letter: Letter): Promise<Fate | undefined> {
    const { random } = this;
    const { payload, to } = letter;
    switch (kind) {
      case 'dropped':
        return 'ignored';
      case 'delayed, in another order':
        this.delayed.push(letter);
        return 'ignored';
      case 'delivered twice':
        await this.deliver(letter);
        return this.deliver(letter);
      case 'to another recipient of its kind':
        return this.deliver({ payload, to: this.another(to) });
      case 'to a recipient of the other kind':
        return this.deliver({ payload, to: to.kind === 'camera' ? this.anyViewer() : this.anyCamera() });
      case 'a bit turned': {
        const spoilt = Uint8Array.from(payload);
        spoilt[random.below(spoilt.length)]! ^= 1 << random.below(8);
        return this.deliver({ to, payload: spoilt });
      }
      case 'a character of the ciphertext or signature replaced': {
        const parts = text(payload).split('.');
        const index = parts.length === 5 ? 3 : 2;
        const at = random.below(parts[index]!.length - 1);
        const old = parts[index]![at]!;
        parts[index] = parts[index]!.slice(0, at) + (old === 'A' ? 'B' : 'A') + parts[index]!.slice(at + 1);
        return this.deliver({ to, payload: utf8.encode(parts.join('.')) });
      }
      case 'cut off':
        return this.deliver({ to, payload: payload.subarray(0, random.below(payload.length)) });
      case 'made longer':
        return this.deliver({
          to,
          payload: utf8.encode(text(payload) + random.pick(['A', '=', '.', ' ', '.A', 'AAAA'])),
        });
      case 'parts of two messages joined':
        return this.deliver({ to, payload: this.spliced(payload) });
      case 'header rewritten for another key': {
        const [head, ...rest] = text(payload).split('.');
        const header = JSON.parse(Buffer.from(head!, 'base64url').toString('latin1')) as Record<string, unknown>;
        const other = random.pick(this.cameras).sealing;
        const changed = random.pick([
          { kid: other.kid },
          { jwk: this.own.publicKey },
          { alg: 'none' },
          { alg: 'dir' },
          { typ: SIGNED_TYPE.toCamera },
          { epk: this.own.publicKey },
          { crit: ['exp'] },
        ]);
        const rewritten = Buffer.from(JSON.stringify({ ...header, ...changed })).toString('base64url');
        return this.deliver({ to, payload: utf8.encode([rewritten, ...rest].join('.')) });
      }
      default:
        throw new Error(kind);
    }
  }

  private async invent(kind: string): Promise<Fate | undefined> {
    const { random } = this;
    switch (kind) {
      case 'replayed': {
        const letter = this.kept.length > 0 ? random.pick(this.kept) : undefined;
        return letter && this.deliver(letter);
      }
      case 'replayed to another recipient': {
        const letter = this.kept.length > 0 ? random.pick(this.kept) : undefined;
        return letter && this.deliver({ payload: letter.payload, to: this.another(letter.to) });
      }
      case 'replayed after a restart of the camera': {
        const camera = random.pick(this.cameras);
        const old = this.kept.filter(({ to }) => to.kind === 'camera' && to.uid === camera.uid);
        if (old.length === 0) return undefined;
        const letter = random.pick(old);
        camera.restart();
        return this.deliver(letter);
      }
      case 'replayed with the clock turned forth and back': {
        const camera = random.pick(this.cameras);
        const old = this.kept.filter(({ to }) => to.kind === 'camera' && to.uid === camera.uid).slice(-20);
        if (old.length === 0) return undefined;
        const at = camera.clock;
        camera.clock = at + 3_600_000;
        // Something else comes meanwhile, by which the camera tidies up.
        await this.insiderCall(camera);
        camera.clock = at;
        return this.deliver(random.pick(old));
      }
      case 'here by its own key':
      case 'here in the name of the camera':
      case 'a camera that does not exist':
        return this.forgedHere(kind);
      case 'answer, candidate or bye for the camera, by its own key':
        return this.forgedReply(this.own);
      case 'answer, candidate or bye by another camera':
        return this.forgedReply(random.pick(this.cameras).key);
      case 'call by its own key':
        return this.forgedCall({ key: this.own });
      case 'call in the name of a viewer':
        return this.forgedCall({ key: this.own, iss: this.anyViewer().thumbprint });
      case 'call by an accomplice at a camera that does not know it':
        return this.forgedCall({ key: this.insider, camera: random.pick(this.cameras.slice(1)) });
      case 'candidate or bye by an accomplice in the call of another viewer':
        return this.forgedCall({ key: this.insider, camera: this.cameras[0]!, inCall: true });
      case 'call signed as something else':
        return this.forgedCall({ key: this.insider, camera: this.cameras[0]!, type: random.pick(OTHER_TYPES) });
      case 'hello with a wrong code':
      case 'hello with the proof of another':
      case 'hello sealed as a call':
        return this.forgedHello(kind);
      case 'pair without a greeting':
        return this.forgedPair();
      default:
        throw new Error(kind);
    }
  }

  private async forgedHere(kind: string): Promise<Fate | undefined> {
    const heard = this.anyOverheard();
    if (!heard) return undefined;
    const camera = this.cameras.find(({ uid }) => uid === heard.uid)!;
    const invented = kind === 'a camera that does not exist' ? await newSigningKey() : this.own;
    const jwkOf = kind === 'here in the name of the camera' ? camera.key.publicKey : invented.publicKey;
    const claims = {
      iss: heard.uid,
      aud: heard.page,
      iat: camera.clock,
      seq: 0,
      re: heard.hash,
      msg: {
        type: 'here',
        name: 'forged',
        firmware: '6.6.6',
        epoch: camera.epoch,
        now: camera.clock,
        sealing: this.ownSealing.publicKey,
        owned: false,
      },
    };
    const jws = await sign(SIGNED_TYPE.toViewer, claims, { ...invented, publicKey: jwkOf });
    return this.deliver(await this.toPage(heard, jws));
  }

  private async forgedReply(key: SigningKey): Promise<Fate | undefined> {
    const heard = this.anyOverheard();
    if (!heard) return undefined;
    const camera = this.cameras.find(({ uid }) => uid === heard.uid)!;
    if (key.thumbprint === camera.key.thumbprint) return undefined;
    const call = randomName(16);
    const msg = this.random.pick([
      { type: 'answer', call, sdp: 'forged answer' },
      { type: 'candidate', call, candidate: 'forged candidate', mid: '0' },
      { type: 'bye', call, reason: 'forged bye' },
      { type: 'paired', name: 'forged', rights: ['view', 'owner'], grant: 'a.b.c' },
      { type: 'refusal', code: 'pairing.closed', message: 'forged', retry: false },
    ]);
    const claims = { iss: heard.uid, aud: heard.page, iat: camera.clock, seq: 1000, re: heard.hash, msg };
    return this.deliver(await this.toPage(heard, await sign(SIGNED_TYPE.toViewer, claims, key)));
  }

  private async forgedCall(options: {
    key: SigningKey;
    iss?: string;
    camera?: WorldCamera;
    inCall?: boolean;
    type?: string;
  }): Promise<Fate> {
    const { key, iss = key.thumbprint, camera = this.random.pick(this.cameras), type = SIGNED_TYPE.toCamera } = options;
    const call = this.random.pick([...this.pages.flatMap((page) => page.openCalls), randomName(16)]);
    const msg = options.inCall
      ? this.random.pick([
          { type: 'candidate', call, candidate: 'forged candidate', mid: '0' },
          { type: 'bye', call, reason: 'forged bye' },
        ])
      : { type: 'call', call, sdp: 'forged offer' };
    const claims = {
      iss,
      aud: camera.uid,
      jti: randomName(16),
      iat: camera.clock,
      epoch: camera.epoch,
      seq: 1000,
      enc: this.ownSealing.publicKey,
      msg,
    };
    return this.deliver(await this.toCamera(camera, await sign(type, claims, key)));
  }

  private async forgedHello(kind: string): Promise<Fate | undefined> {
    const heard = this.anyOverheard();
    if (!heard) return undefined;
    const camera = this.cameras.find(({ uid }) => uid === heard.uid)!;
    if (kind === 'hello sealed as a call') return this.deliver(await this.toCamera(camera, heard.text));
    const proof = kind === 'hello with a wrong code' ? randomName(32) : heard.claims.proof;
    if (proof === undefined) return undefined;
    const claims = { ...heard.claims, iss: this.own.thumbprint, proof };
    const hello = await sign(SIGNED_TYPE.hello, claims, this.own);
    return this.deliver({ to: { kind: 'camera', uid: camera.uid }, payload: utf8.encode(hello) });
  }

  private async forgedPair(): Promise<Fate> {
    const camera = this.random.pick(this.cameras);
    const claims = {
      iss: this.own.thumbprint,
      aud: camera.uid,
      jti: randomName(16),
      iat: camera.clock,
      epoch: camera.epoch,
      seq: 0,
      enc: this.ownSealing.publicKey,
      msg: { type: 'pair', name: 'me', proof: randomName(32) },
    };
    return this.deliver(await this.toCamera(camera, await sign(SIGNED_TYPE.toCamera, claims, this.own)));
  }

  /** What the accomplice may do: a call of its own at the camera that knows it. */
  private async insiderCall(camera: WorldCamera): Promise<void> {
    camera.people.set(this.insider.thumbprint, { rights: ['view'] });
    const call = randomName(16);
    const sdp = `an accomplice's own offer ${call}`;
    this.judge.says(sdp, { uid: camera.uid, viewer: this.insider.thumbprint, call });
    const claims = {
      iss: this.insider.thumbprint,
      aud: camera.uid,
      jti: randomName(16),
      iat: camera.clock,
      epoch: camera.epoch,
      seq: 0,
      enc: this.ownSealing.publicKey,
      msg: { type: 'call', call, sdp },
    };
    await this.deliver(await this.toCamera(camera, await sign(SIGNED_TYPE.toCamera, claims, this.insider)));
    if (camera !== this.cameras[0]) camera.revoke(this.insider.thumbprint);
  }

  private async toCamera(camera: WorldCamera, jws: string): Promise<Letter> {
    return { to: { kind: 'camera', uid: camera.uid }, payload: await seal(jws, camera.sealing) };
  }

  private async toPage({ page, enc }: Overheard, jws: string): Promise<Letter> {
    const to = { kid: await thumbprintOf(enc), publicKey: enc };
    return { to: { kind: 'viewer', thumbprint: page }, payload: await seal(jws, to) };
  }

  private async deliver({ to, payload }: Letter): Promise<Fate> {
    if (to.kind === 'camera') return this.cameras.find(({ uid }) => uid === to.uid)!.receive(payload);
    const fates: Fate[] = [];
    for (const page of this.pages) {
      if (page.viewer.thumbprint === to.thumbprint) fates.push(await page.receive(payload));
    }
    return fates.find((fate) => fate === 'taken') ?? fates.find((fate) => fate === 'refused') ?? 'ignored';
  }

  private async keep(letter: Letter): Promise<void> {
    this.kept.push(letter);
    if (this.kept.length > KEPT) this.kept.splice(this.random.below(this.kept.length), 1);
    const hello = text(letter.payload);
    if (isSealed(hello)) return;
    const claims = JSON.parse(Buffer.from(hello.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
    const { iss, aud, enc } = claims as { iss: string; aud: string; enc: PublicKeyJwk };
    this.overheard.push({ page: iss, uid: aud, enc, hash: await hashOf(hello), claims, text: hello });
    if (this.overheard.length > 200) this.overheard.shift();
  }

  /** One of the latest: some still wait for their answer. */
  private anyOverheard(): Overheard | undefined {
    const last = this.overheard.slice(-20);
    return last.length > 0 ? this.random.pick(last) : undefined;
  }

  private spliced(payload: Uint8Array): Uint8Array {
    const parts = text(payload).split('.');
    const alike = this.kept.filter((letter) => text(letter.payload).split('.').length === parts.length);
    const other = text(this.random.pick(alike).payload).split('.');
    const first = this.random.below(parts.length);
    const count = 1 + this.random.below(parts.length - 1);
    return utf8.encode(
      parts.map((part, i) => ((i - first + parts.length) % parts.length < count ? other[i] : part)).join('.'),
    );
  }

  private another(to: Address): Address {
    if (to.kind === 'camera') {
      return { kind: 'camera', uid: this.random.pick(this.cameras.filter(({ uid }) => uid !== to.uid)).uid };
    }
    const others = this.pages.filter(({ viewer }) => viewer.thumbprint !== to.thumbprint);
    return { kind: 'viewer', thumbprint: this.random.pick(others).viewer.thumbprint };
  }

  private anyCamera(): Address {
    return { kind: 'camera', uid: this.random.pick(this.cameras).uid };
  }

  private anyViewer(): Address & { kind: 'viewer' } {
    return { kind: 'viewer', thumbprint: this.random.pick(this.pages).viewer.thumbprint };
  }
}

const WITH_LETTERS = [
  'dropped',
  'delayed, in another order',
  'delivered twice',
  'to another recipient of its kind',
  'to a recipient of the other kind',
  'a bit turned',
  'a character of the ciphertext or signature replaced',
  'cut off',
  'made longer',
  'parts of two messages joined',
  'header rewritten for another key',
] as const;

const WITHOUT_LETTERS = [
  'replayed',
  'replayed to another recipient',
  'replayed after a restart of the camera',
  'replayed with the clock turned forth and back',
  'here by its own key',
  'here in the name of the camera',
  'a camera that does not exist',
  'answer, candidate or bye for the camera, by its own key',
  'answer, candidate or bye by another camera',
  'call by its own key',
  'call in the name of a viewer',
  'call by an accomplice at a camera that does not know it',
  'candidate or bye by an accomplice in the call of another viewer',
  'call signed as something else',
  'hello with a wrong code',
  'hello with the proof of another',
  'hello sealed as a call',
  'pair without a greeting',
] as const;

const OTHER_TYPES = [SIGNED_TYPE.hello, SIGNED_TYPE.toViewer, 'peercam-grant+jws', 'peercam-proof+jws', 'JWT'];
