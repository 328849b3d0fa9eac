import { type KnownCamera, type News, ViewerParley } from '#identity/viewer-parley.ts';
import type { RefusalMessage, ToCamera, ToViewer } from '#protocol/message.ts';
import type { Right } from '#protocol/rights.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Self } from '../memory/self.ts';
import type { Admission } from './admission.ts';
import type { BrokerEvents, Post } from './broker.ts';
import type { Signalling, SignallingEvents } from './connection.ts';
import type { Timer } from './timer.ts';

/** A camera that has not answered a code by then is not going to: it is off, or the code is not the right one. */
const ANSWER_WITHIN_MS = 6000;
/** When the same hello is sent again, ms after the first: it cannot count as a second attempt. */
const AGAIN_AFTER_MS = [ANSWER_WITHIN_MS, 20_000];
/** How long the first call after pairing waits for a relay's credentials. */
const RELAY_WAIT_MS = 700;
/** A camera that wants a call sealed anew again and again is not to be believed. */
const MAX_RESEALED = 1;

interface SentCall {
  /** The call and what followed it, in order. */
  readonly messages: ToCamera[];
  resealed: number;
}

/**
 * What this viewer and one camera say to each other through the broker, sealed and opened by `ViewerParley`; and how
 * the viewer is let in: by what it remembers, by being on the camera's list, or by a code.
 */
export class MqttSignalling implements Signalling {
  private readonly uid: Uid;
  private readonly self: Promise<Self>;
  private readonly post: Post;
  private readonly timer: Timer;
  private readonly deviceName: string;
  private events: SignallingEvents | undefined;
  private leave: (() => void) | undefined;
  private parley: Promise<ViewerParley> | undefined;
  private code: SetupCode | undefined;
  private admission: Admission = { state: 'asking' };
  private online = false;
  /** The hello that waits for its answer, to be sent again as it is. */
  private hello: Uint8Array | undefined;
  private cancelTimers: (() => void)[] = [];
  private readonly calls = new Map<string, SentCall>();
  /** Messages go out and come in one after the other, however long sealing and opening takes. */
  private sending: Promise<void> = Promise.resolve();
  private opening: Promise<void> = Promise.resolve();

  /**
   * @param options.code from a label or an invitation; used where the camera is not remembered, and never kept
   * @param options.deviceName what this viewer calls itself to the camera's owner
   */
  constructor(options: {
    readonly uid: Uid;
    readonly self: Promise<Self>;
    readonly post: Post;
    readonly timer: Timer;
    readonly code: SetupCode | undefined;
    readonly deviceName: string;
  }) {
    this.uid = options.uid;
    this.self = options.self;
    this.post = options.post;
    this.timer = options.timer;
    this.code = options.code;
    this.deviceName = options.deviceName;
  }

  start(events: SignallingEvents): void {
    this.events = events;
    this.parley ??= this.self.then((self) => this.meet(self));
    void this.parley.then((parley) => this.begin(parley));
    this.leave = this.post.join(this.brokerEvents(events));
  }

  stop(): void {
    this.cancelWaiting();
    const leave = this.leave;
    this.leave = undefined;
    this.events = undefined;
    this.online = false;
    this.calls.clear();
    // A goodbye that is being sealed still leaves.
    void this.sending.then(() => leave?.());
  }

  hurry(): void {
    this.post.hurry();
  }

  send(message: ToCamera): void {
    if (!this.online) return;
    if (message.type === 'call') this.calls.set(message.call, { messages: [message], resealed: 0 });
    else this.calls.get(message.call)?.messages.push(message);
    this.transmit(message);
  }

  /** A person has typed or scanned a code, or wants the one at hand tried (again). */
  pair(code: SetupCode | undefined = this.code): void {
    this.code = code;
    this.hello = undefined;
    if (this.admission.state === 'in') this.change({ ...this.admission, code: 'trying' });
    else this.change({ state: code ? 'pairing' : 'asking' });
    void this.introduce();
  }

  /** The address has brought a code along: used at once by who is not let in yet, else kept for the person to decide. */
  offer(code: SetupCode): void {
    this.code = code;
    if (this.admission.state === 'in') this.change({ ...this.admission, code: 'unused' });
    else this.pair();
  }

  /** The person does not want the code at hand used. */
  dropCode(): void {
    this.code = undefined;
    this.hello = undefined;
    this.cancelWaiting();
    if (this.admission.state === 'in') this.change({ ...this.admission, code: undefined });
  }

  /** A call stayed unanswered: the camera may have new keys since it was met. */
  unanswered(): void {
    if (this.admission.state === 'in') void this.greet(undefined);
  }

  /** The camera has said that this viewer may no longer. */
  lostAccess(): void {
    void this.self.then((self) => self.lostAccess(this.uid));
    this.change({ state: 'out' });
  }

  /** The camera has given this viewer other rights. */
  rightsChanged(rights: readonly Right[]): void {
    if (this.admission.state === 'in') this.change({ ...this.admission, rights });
  }

  private meet(self: Self): ViewerParley {
    return new ViewerParley({
      uid: this.uid,
      key: self.key,
      known: self.camera(this.uid)?.known,
      changed: (known) => this.learn(known),
    });
  }

  private learn(known: KnownCamera): void {
    void this.self.then((self) => self.learn(known));
    if (known.rights) this.rightsChanged(known.rights);
  }

  private begin(parley: ViewerParley): void {
    const { known } = parley;
    if (this.admission.state !== 'asking') this.change(this.admission);
    else if (known?.rights) this.change(this.atHand(known.rights));
    else if (this.code) this.change({ state: 'pairing' });
    else this.change({ state: known ? 'out' : 'code-needed' });
  }

  private atHand(rights: readonly Right[]): Admission {
    return { state: 'in', rights, newly: false, ...(this.code && { code: 'unused' as const }) };
  }

  private brokerEvents(events: SignallingEvents): BrokerEvents {
    return {
      relays: (iceServers) => events.relays([...iceServers]),
      online: (readable) => {
        this.online = true;
        events.online(readable.has(this.uid));
        void this.introduce();
      },
      lost: (problem) => {
        this.online = false;
        events.lost(problem);
      },
      status: (uid, status, fresh) => {
        if (uid === this.uid) events.status(status, fresh);
      },
      mail: (payload) => {
        this.opening = this.opening.then(() => this.read(payload));
      },
    };
  }

  /** Whoever is not in yet says hello: with the code, where there is one. */
  private async introduce(): Promise<void> {
    await this.parley;
    const { admission, hello } = this;
    if (!this.online || (admission.state === 'in' && admission.code !== 'trying')) return;
    // The same words as before the connection broke: they may have been lost, and must not count twice.
    if (hello && this.code) this.post.publish(this.uid, hello);
    else await this.greet(this.code);
  }

  private async greet(code: SetupCode | undefined): Promise<void> {
    this.cancelWaiting();
    const parley = await this.parley!;
    const hello = await parley.hello(code);
    this.hello = hello;
    this.post.publish(this.uid, hello);
    if (!code) return;
    this.cancelTimers = AGAIN_AFTER_MS.map((ms) => this.timer.after(ms, () => this.nothingHeard(hello)));
  }

  private nothingHeard(hello: Uint8Array): void {
    if (this.hello !== hello) return;
    if (this.admission.state === 'pairing') this.change({ state: 'silent' });
    else if (this.admission.state === 'in') this.change({ ...this.admission, code: 'silent' });
    this.post.publish(this.uid, hello);
  }

  private async read(payload: Uint8Array): Promise<void> {
    try {
      const parley = await this.parley!;
      const news = await parley.open(payload);
      if (news && this.events) await this.take(news, parley);
    } catch (error) {
      console.warn('peercam: a message was refused', error);
      this.events?.suspicious(error instanceof Error ? error.message : String(error));
    }
  }

  private async take(news: News, parley: ViewerParley): Promise<void> {
    if (news.kind === 'here') return await this.met(parley, news.pairing);
    if (news.kind === 'paired') return await this.letIn(news.paired.rights);
    if (news.kind === 'pairing-refused') return this.turnedAway(news.refusal);
    if (news.kind === 'stale') return this.reseal(news.call);
    this.hearCall(news.message);
  }

  private async met(parley: ViewerParley, pairing: boolean): Promise<void> {
    this.cancelWaiting();
    this.hello = undefined;
    const rights = parley.known?.rights;
    const wanted = this.admission.state === 'in' && this.admission.code === 'trying';
    // A label that is scanned once more by one who is on the list already: its code is not needed.
    if (pairing && (!rights || wanted)) {
      this.post.publish(this.uid, await parley.pair(this.deviceName));
      this.cancelTimers = [this.timer.after(ANSWER_WITHIN_MS, () => void this.askWhetherIn())];
    } else if (rights) this.change(this.atHand(rights));
    else this.change({ state: 'code-needed' });
  }

  /** The word of being let in may have got lost on the way: whoever is on the list can ask for it. */
  private async askWhetherIn(): Promise<void> {
    await this.greet(undefined);
    const giveUp = () => {
      if (this.admission.state === 'pairing') this.change({ state: 'silent' });
    };
    this.cancelTimers = [this.timer.after(ANSWER_WITHIN_MS, giveUp)];
  }

  private async letIn(rights: readonly Right[]): Promise<void> {
    this.cancelWaiting();
    this.code = undefined;
    // With the fresh grant the server hands out a relay, which some networks need.
    const renewed = this.post.renew().catch((error: unknown) => console.warn('peercam: a fresh token', error));
    const waited = new Promise<void>((resolve) => this.timer.after(RELAY_WAIT_MS, resolve));
    await Promise.race([renewed, waited]);
    this.change({ state: 'in', rights, newly: true });
  }

  private turnedAway(refusal: RefusalMessage): void {
    this.cancelWaiting();
    this.hello = undefined;
    this.code = undefined;
    if (this.admission.state === 'in') this.change({ ...this.admission, code: refusal });
    else this.change({ state: 'refused', refusal });
  }

  /** The camera has restarted, or this clock is wrong: the same call once more, with what it just told us. */
  private reseal(id: string): void {
    const call = this.calls.get(id);
    if (!call) return;
    if (call.resealed++ >= MAX_RESEALED) {
      this.calls.delete(id);
      const message = 'the camera and this viewer do not agree on the time';
      this.events?.message({ type: 'refusal', call: id, code: 'call.stale', message, retry: true });
      return;
    }
    for (const message of call.messages) this.transmit(message);
  }

  private hearCall(message: ToViewer): void {
    if (message.type !== 'candidate') this.calls.delete(message.call);
    this.events?.message(message);
  }

  private transmit(message: ToCamera): void {
    this.sending = this.sending.then(async () => {
      try {
        const parley = await this.parley!;
        this.post.publish(this.uid, await parley.sealCall(message));
        if (message.type !== 'bye') return;
        parley.close(message.call);
        this.calls.delete(message.call);
      } catch (error) {
        // What is left of a call that the camera has ended meanwhile.
        if (message.type === 'call') console.warn('peercam: a call that cannot be sealed', error);
      }
    });
  }

  private change(admission: Admission): void {
    this.admission = admission;
    this.events?.admission(admission);
  }

  private cancelWaiting(): void {
    for (const cancel of this.cancelTimers) cancel();
    this.cancelTimers = [];
  }
}
