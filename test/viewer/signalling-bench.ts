import type { Incoming, Refused, ReplyEvent, Talk } from '#identity/camera-parley.ts';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { ViewerParley } from '#identity/viewer-parley.ts';
import type { ToViewer } from '#protocol/message.ts';
import type { Right } from '#protocol/rights.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Admission } from '#viewer/connection/admission.ts';
import type { BrokerEvents, Post } from '#viewer/connection/broker.ts';
import { MqttSignalling } from '#viewer/connection/signalling.ts';
import { Self } from '#viewer/memory/self.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { cameraParty, exchange, type TestParty } from '../support/parley.ts';
import { until } from '../support/wait.ts';
import { MemoryStore } from './memory-store.ts';

/** A broker with one camera behind it: the real camera's side of the conversation, and no wires. */
export class FakePost implements Post {
  readonly published: Uint8Array[] = [];
  events: BrokerEvents | undefined;
  renewals = 0;
  /** Takes messages and delivers none. */
  lossy = false;
  private readonly arrived: (payload: Uint8Array) => void;

  constructor(arrived: (payload: Uint8Array) => void) {
    this.arrived = arrived;
  }

  join(events: BrokerEvents): () => void {
    this.events = events;
    return () => {
      this.events = undefined;
    };
  }

  hurry(): void {}

  publish(_uid: string, payload: Uint8Array): void {
    this.published.push(payload);
    if (!this.lossy) this.arrived(payload);
  }

  async renew(): Promise<void> {
    this.renewals++;
  }
}

interface BenchOptions {
  /** The camera has let this viewer in before, and the viewer knows. */
  readonly remembered?: boolean;
  /** The camera has, and the viewer has forgotten. */
  readonly listed?: boolean;
  /** At hand when the page opens. */
  readonly code?: SetupCode | 'label';
}

/** `MqttSignalling` with the real cryptography of both sides. */
export class SignallingBench {
  readonly self: Self;
  readonly post: FakePost;
  readonly timer = new FakeClock();
  readonly signalling: MqttSignalling;
  readonly states: Admission['state'][] = [];
  readonly messages: ToViewer[] = [];
  readonly suspicions: string[] = [];
  readonly incoming: Exclude<Incoming, { kind: 'reply' }>[] = [];
  readonly refused: Refused[] = [];
  /** What of the camera's replies gets lost on the way. */
  lost: ReplyEvent | undefined;
  camera: TestParty;
  private admission: Admission | undefined;
  private working: Promise<void> = Promise.resolve();

  private constructor(camera: TestParty, self: Self, code: SetupCode | undefined) {
    this.camera = camera;
    this.self = self;
    this.post = new FakePost((payload) => this.arrive(payload));
    this.signalling = new MqttSignalling({
      uid: camera.uid,
      self: Promise.resolve(self),
      post: this.post,
      timer: this.timer,
      code,
      deviceName: 'Test on Linux',
    });
  }

  static async create({ remembered = false, listed = false, code }: BenchOptions): Promise<SignallingBench> {
    const camera = await cameraParty();
    const store = new MemoryStore();
    const key: SigningKey = await newSigningKey();
    await store.offerKey(key);
    if (remembered || listed) camera.list.people.set(key.thumbprint, { rights: ['view'] });
    const self = await Self.load(async () => store);
    if (remembered) {
      const viewer = new ViewerParley({ uid: camera.uid, key, changed: (known) => self.learn(known) });
      await exchange(camera, viewer, await viewer.hello());
    }
    return new SignallingBench(camera, self, code === 'label' ? camera.code : code);
  }

  get code() {
    return this.admission?.state === 'in' ? this.admission.code : undefined;
  }

  get rights(): readonly Right[] | undefined {
    return this.admission?.state === 'in' ? this.admission.rights : undefined;
  }

  get talk(): Talk {
    return this.incoming[0]!.talk;
  }

  /** The page opens, and the server is reached. */
  async start(): Promise<void> {
    this.signalling.start({
      relays: () => {},
      online: () => {},
      lost: () => {},
      status: () => {},
      message: (message) => this.messages.push(message),
      admission: (admission) => {
        if (this.states.at(-1) !== admission.state) this.states.push(admission.state);
        this.admission = admission;
      },
      suspicious: (problem) => this.suspicions.push(problem),
    });
    await this.quiet();
    this.post.events!.online(new Set());
  }

  async admitted(state: Admission['state']): Promise<void> {
    await until(
      `the viewer to be "${state}", and not "${this.admission?.state}"`,
      () => this.admission?.state === state,
    );
  }

  /** Makes a call; its id. */
  call(): string {
    const call = `call-${crypto.randomUUID().slice(0, 16)}`;
    this.signalling.send({ type: 'call', call, sdp: 'v=0' });
    return call;
  }

  deliver(payload: Uint8Array): void {
    this.post.events!.mail(payload);
  }

  /** The same camera in a new run. */
  restartCamera(): void {
    this.camera = this.camera.restart();
  }

  /** Everything that was under way has arrived. */
  async quiet(): Promise<void> {
    for (let before = -1; before !== this.post.published.length; ) {
      before = this.post.published.length;
      await this.working;
      // Sealing and opening take a few turns through the crypto threads.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  private arrive(payload: Uint8Array): void {
    this.working = this.working.then(async () => {
      try {
        const incoming = await this.camera.parley.receive(payload);
        if (incoming.kind === 'reply') {
          if (incoming.event !== this.lost) this.post.events?.mail(incoming.payload);
        } else this.incoming.push(incoming);
      } catch (error) {
        this.refused.push(error as Refused);
      }
    });
  }
}
