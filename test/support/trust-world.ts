import { type AccessList, CameraParley, type Incoming, Refused, type Talk } from '#identity/camera-parley.ts';
import { newSealingKey, newSigningKey, type SealingKey, type SigningKey, uidOfKey } from '#identity/keys.ts';
import { hashOf, randomName } from '#identity/seal.ts';
import { ViewerParley } from '#identity/viewer-parley.ts';
import { AppError } from '#lib/error.ts';
import type { ToCamera, ToViewer } from '#protocol/message.ts';
import { ProtocolError } from '#protocol/parse.ts';
import type { Right } from '#protocol/rights.ts';
import { type SetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Judge } from './trust-judge.ts';

/** Where a payload goes: a camera's mailbox or a viewer's. */
export type Address =
  | { readonly kind: 'camera'; readonly uid: Uid }
  | { readonly kind: 'viewer'; readonly thumbprint: string };

export interface Letter {
  readonly to: Address;
  readonly payload: Uint8Array;
}

/** What became of a letter: refused is noted in the camera's or the viewer's log; ignored belongs to another page. */
export type Fate = 'taken' | 'refused' | 'ignored';

export type Carry = (letter: Letter) => void;

interface Code {
  readonly id: string;
  readonly code: SetupCode;
}

interface World {
  readonly judge: Judge;
  /** Hands a letter to whoever carries it: the server. */
  readonly carry: Carry;
}

let number = 0;
const unique = (kind: string) => `${kind}-${++number}-${randomName(6)}`;

/** A camera's conversation, by the product's own code, reporting to the judge all that it says and takes. */
export class WorldCamera {
  readonly uid: Uid;
  readonly key: SigningKey;
  readonly sealing: SealingKey;
  readonly people = new Map<string, { readonly rights: readonly Right[] }>();
  /** ms since 1970; the attacker can turn it. */
  clock = Date.now();
  private readonly world: World;
  private readonly codes: Code[] = [];
  private parley: CameraParley<Code>;
  private talks: { talk: Talk; offer: string; answered: boolean }[] = [];
  private failed = 0;
  private lastName = '';

  private constructor(world: World, identity: { uid: Uid; key: SigningKey; sealing: SealingKey }) {
    this.world = world;
    this.uid = identity.uid;
    this.key = identity.key;
    this.sealing = identity.sealing;
    this.parley = this.freshParley();
  }

  static async create(world: World): Promise<WorldCamera> {
    const key = await newSigningKey();
    return new WorldCamera(world, { key, uid: await uidOfKey(key.publicKey), sealing: await newSealingKey() });
  }

  get wrongCodes(): number {
    return this.failed;
  }

  get epoch(): string {
    return this.parley.epoch;
  }

  /** A code that counts once, told to one viewer only. */
  invite(viewer: string): SetupCode {
    const code = setupCodeFrom(crypto.getRandomValues(new Uint8Array(10)));
    this.world.judge.keepSecret(code);
    this.world.judge.toldCode(viewer, code);
    this.codes.push({ id: code, code });
    return code;
  }

  restart(): void {
    this.talks = [];
    this.parley = this.freshParley();
  }

  revoke(viewer: string): void {
    this.people.delete(viewer);
    this.parley.forget(viewer);
    this.talks = this.talks.filter(({ talk }) => talk.viewer !== viewer);
  }

  async receive(payload: Uint8Array): Promise<Fate> {
    let incoming: Incoming;
    const hash = await hashOf(new TextDecoder().decode(payload));
    try {
      incoming = await this.parley.receive(payload);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return 'refused';
    }
    if (incoming.kind === 'reply') {
      const { event, to: viewer } = incoming;
      if (event === 'paired') this.world.judge.says(this.lastName, { uid: this.uid, viewer });
      else if (event !== 'stale') this.world.judge.says(this.lastName, { uid: this.uid, viewer, to: hash });
      this.world.carry({ to: { kind: 'viewer', thumbprint: incoming.to }, payload: incoming.payload });
      return 'taken';
    }
    const { talk, message } = incoming;
    const said = { uid: this.uid, viewer: talk.viewer, call: message.call };
    if (!this.people.has(talk.viewer)) this.world.judge.wrong(`${talk.viewer} is not on the list of ${this.uid}`);
    if (message.type === 'call') {
      this.world.judge.takes('a camera', message.sdp, said);
      this.talks.push({ talk, offer: message.sdp, answered: false });
    } else if (message.type === 'candidate') this.world.judge.takes('a camera', message.candidate, said);
    else {
      this.world.judge.takes('a camera', message.reason ?? '', said);
      this.drop(talk);
    }
    return 'taken';
  }

  /** Says something in one of its open calls (-1: the latest): the answer first. */
  async speak(choice: number): Promise<void> {
    const open = this.talks.at(choice % Math.max(1, this.talks.length));
    if (!open) return;
    const { talk, offer } = open;
    const said = { uid: this.uid, viewer: talk.viewer, call: talk.call };
    let message: ToViewer;
    if (!open.answered) {
      open.answered = true;
      message = { type: 'answer', call: talk.call, sdp: this.secret('answer', { ...said, to: offer }) };
    } else if (choice % 5 === 0) {
      message = { type: 'bye', call: talk.call, reason: this.secret('bye', said) };
      this.drop(talk);
    } else {
      message = { type: 'candidate', call: talk.call, candidate: this.secret('candidate', said), mid: '0' };
    }
    const payload = await talk.seal(message);
    if (message.type === 'bye') talk.close();
    this.world.carry({ to: { kind: 'viewer', thumbprint: talk.viewer }, payload });
  }

  private secret(kind: string, said: Parameters<Judge['says']>[1]): string {
    const text = this.world.judge.keepSecret(unique(kind));
    this.world.judge.says(text, said);
    return text;
  }

  private drop(talk: Talk): void {
    talk.close();
    this.talks = this.talks.filter((other) => other.talk !== talk);
  }

  private freshParley(): CameraParley<Code> {
    const { judge } = this.world;
    const { people, codes } = this;
    const access: AccessList<Code> = {
      get hasOwner() {
        return people.size > 0;
      },
      find: (viewer) => people.get(viewer),
      acceptableCodes: () => codes,
      spentCodes: () => [],
      noteFailure: async () => {
        this.failed++;
      },
      admit: async (code, { thumbprint }) => {
        const index = codes.indexOf(code);
        if (index < 0) throw new AppError('pairing.used', 'this code has been used');
        codes.splice(index, 1);
        judge.admitted(thumbprint, code.code);
        const entry = { rights: ['view'] as const };
        people.set(thumbprint, entry);
        return entry;
      },
    };
    return new CameraParley({
      uid: this.uid,
      key: this.key,
      sealing: this.sealing,
      access,
      grants: { issue: async (viewer) => judge.keepSecret(`grant.${viewer}.${unique('grant')}`) },
      now: () => this.clock,
      describe: () => {
        this.lastName = judge.keepSecret(unique('name'));
        return { name: this.lastName, firmware: '1.2.3' };
      },
    });
  }
}

/** One page of one viewer, open at one camera. */
export class WorldPage {
  readonly viewer: SigningKey;
  readonly camera: WorldCamera;
  private readonly world: World;
  private parley: ViewerParley;
  private code: SetupCode | undefined;
  private greeted = false;
  private helloHash: string | undefined;
  private calls = new Map<string, { offer: string; answered: boolean }>();

  constructor(world: World, options: { readonly viewer: SigningKey; readonly camera: WorldCamera }) {
    this.world = world;
    this.viewer = options.viewer;
    this.camera = options.camera;
    this.parley = this.freshParley();
  }

  get letIn(): boolean {
    return this.camera.people.has(this.viewer.thumbprint);
  }

  /** Ids of the calls it has made and not ended. */
  get openCalls(): string[] {
    return [...this.calls.keys()];
  }

  /** The page is loaded anew: what it remembers of the camera stays, its sealing key does not. */
  reload(): void {
    const { known } = this.parley;
    this.calls.clear();
    this.greeted = false;
    this.parley = this.freshParley(known);
  }

  async receive(payload: Uint8Array): Promise<Fate> {
    try {
      const news = await this.parley.open(payload);
      if (!news) return 'ignored';
      const { judge } = this.world;
      const said = { uid: this.camera.uid, viewer: this.viewer.thumbprint };
      if (news.kind === 'here') {
        judge.takes('a viewer', news.here.name, { ...said, ...(this.helloHash && { to: this.helloHash }) });
        if (news.here.sealing.x !== this.camera.sealing.publicKey.x) judge.wrong('a viewer took another sealing key');
        this.greeted = news.pairing;
      } else if (news.kind === 'paired') {
        judge.takes('a viewer', news.paired.name, said);
        this.code = undefined;
      } else if (news.kind === 'stale') await this.callAgain(news.call);
      else if (news.kind === 'call') this.hear(news.message);
      return 'taken';
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return 'refused';
    }
  }

  /** Does what an honest viewer would do next. */
  async speak(choice: number): Promise<void> {
    const { parley } = this;
    if (this.greeted && this.code) {
      this.greeted = false;
      return this.post(await parley.pair(this.world.judge.keepSecret(unique('viewer'))));
    }
    if (!this.letIn) {
      this.code ??= this.camera.invite(this.viewer.thumbprint);
      return this.greet();
    }
    // Where the word that it was let in got lost, its code is used up: it asks as one who is on the list.
    this.code = undefined;
    if (!parley.known?.rights || choice % 29 === 0) return this.greet();
    const [id] = [...this.calls.keys()].slice(-1);
    if (id === undefined || choice % 3 === 0) return this.call();
    await this.sayIn(id, choice);
  }

  private async greet(): Promise<void> {
    const hello = await this.parley.hello(this.code);
    this.helloHash = await hashOf(new TextDecoder().decode(hello));
    this.post(hello);
  }

  private async call(): Promise<void> {
    const call = randomName(16);
    const offer = this.secret('offer', call);
    this.calls.set(call, { offer, answered: false });
    this.post(await this.parley.sealCall({ type: 'call', call, sdp: offer }));
  }

  /** As the product does: the same call in a seal that names the epoch and time it was told; a new text for the judge. */
  private async callAgain(call: string): Promise<void> {
    if (this.calls.get(call)?.answered !== false) return;
    const offer = this.secret('offer', call);
    this.calls.set(call, { offer, answered: false });
    this.post(await this.parley.sealCall({ type: 'call', call, sdp: offer }));
  }

  private async sayIn(call: string, choice: number): Promise<void> {
    const over = choice % 11 === 0;
    const message: ToCamera = over
      ? { type: 'bye', call, reason: this.secret('bye', call) }
      : { type: 'candidate', call, candidate: this.secret('candidate', call), mid: '0' };
    try {
      this.post(await this.parley.sealCall(message));
    } catch {
      // The camera has ended this call.
      this.calls.delete(call);
    }
    if (!over) return;
    this.parley.close(call);
    this.calls.delete(call);
  }

  private hear(message: ToViewer): void {
    const { judge } = this.world;
    const said = { uid: this.camera.uid, viewer: this.viewer.thumbprint, call: message.call };
    const call = this.calls.get(message.call);
    if (!call) {
      judge.wrong('a viewer heard of a call it has not made');
      return;
    }
    if (message.type === 'answer') {
      if (call.answered) judge.wrong('a viewer took two answers to one offer');
      call.answered = true;
      judge.takes('a viewer', message.sdp, { ...said, to: call.offer });
    } else if (message.type === 'candidate') judge.takes('a viewer', message.candidate, said);
    else if (message.type === 'bye') judge.takes('a viewer', message.reason ?? '', said);
    if (message.type === 'bye' || message.type === 'refusal') this.calls.delete(message.call);
  }

  private secret(kind: string, call: string): string {
    const text = this.world.judge.keepSecret(unique(kind));
    this.world.judge.says(text, { uid: this.camera.uid, viewer: this.viewer.thumbprint, call });
    return text;
  }

  private post(payload: Uint8Array): void {
    this.world.carry({ to: { kind: 'camera', uid: this.camera.uid }, payload });
  }

  private freshParley(known?: ViewerParley['known']): ViewerParley {
    return new ViewerParley({
      uid: this.camera.uid,
      key: this.viewer,
      ...(known && { known }),
      now: () => this.camera.clock,
    });
  }
}
