import type * as v from 'valibot';
import { randomName } from '#identity/seal.ts';
import {
  type ControlNotification,
  clockSchema,
  type SessionInfo,
  type SourceState,
  sessionInfoSchema,
} from '#protocol/control.ts';
import type { ViewerConfig } from '#protocol/viewer-config.ts';
import { CaptureClock } from './capture-clock.ts';
import type { Peer, PeerEvents, Verified } from './connection.ts';
import { ControlClient } from './control-client.ts';
import type { CallStep } from './phase.ts';
import type { Measurement } from './statistics.ts';
import type { Timer } from './timer.ts';

/** The camera's clock is read this often; the reading is also the sign that the camera still lives. */
const READ_CLOCK_EVERY_MS = 2000;

const ORDER: readonly CallStep[] = ['preparing', 'asked', 'answered', 'checking', 'path', 'secured', 'picture'];

/** One attempt at one session with the camera: its peer, its control channel, and how far it has come. */
export class Call<Stream> {
  readonly id = randomName(16);
  readonly clock = new CaptureClock();
  readonly reachedAt: { [step in CallStep]?: number } = {};
  step: CallStep = 'preparing';
  /** Why it is over, when it is. */
  over: string | undefined;
  /** It is over because somebody else than the camera was at the other end. */
  forged = false;
  info: SessionInfo | undefined;
  source: SourceState | undefined;
  viewers: number | undefined;
  measured: Measurement | undefined;
  /** When the picture last moved, and when the camera last said anything on the control channel; ms. */
  pictureAt: number;
  heardAt: number;
  private readonly timer: Timer;
  private readonly changed: (call: Call<Stream>) => void;
  private readonly passOn: (notification: ControlNotification) => void;
  private readonly peer: Peer<Stream>;
  private readonly control: ControlClient;
  private prepared: Promise<void> | undefined;
  private cancelClock: (() => void) | undefined;
  private answerTaken = false;
  private closed = false;

  constructor(options: {
    readonly timer: Timer;
    readonly makePeer: (events: PeerEvents) => Peer<Stream>;
    /** A candidate to be sent to the camera. */
    readonly candidate: (call: Call<Stream>, candidate: string, mid: string) => void;
    readonly changed: (call: Call<Stream>) => void;
    /** A notification of the camera that is not the call's own business. */
    readonly notified: (notification: ControlNotification) => void;
  }) {
    this.timer = options.timer;
    this.changed = options.changed;
    this.passOn = options.notified;
    this.reachedAt.preparing = this.timer.now();
    this.pictureAt = this.timer.now();
    this.heardAt = this.timer.now();
    this.control = new ControlClient({
      timer: this.timer,
      transmit: (text) => this.peer.sendControl(text),
      notified: (notification) => this.notified(notification),
    });
    this.peer = options.makePeer({
      candidate: (candidate, mid) => options.candidate(this, candidate, mid),
      progress: (step) => this.reach(step),
      controlOpened: () => void this.controlOpened(),
      controlMessage: (text) => this.controlMessage(text),
      ended: (reason) => this.end(reason),
      forged: (reason) => {
        this.forged = true;
        this.end(reason);
      },
    });
  }

  /** How it is known that the camera itself is at the other end; undefined until it is. */
  get verified(): Verified | undefined {
    return this.has('secured') ? this.peer.verified : undefined;
  }

  /** Asks the camera on the control channel. */
  request<const S extends v.GenericSchema>(method: string, schema: S, params?: object): Promise<v.InferOutput<S>> {
    return this.control.request(method, schema, params);
  }

  get stream(): Stream | undefined {
    return this.peer.stream;
  }

  get sourceDown(): boolean {
    return this.source?.state === 'down';
  }

  /** Whether pictures should be arriving now, as far as the camera has told. */
  get picturesExpected(): boolean {
    return this.source === undefined || this.source.state === 'live';
  }

  /** Whether it has come at least this far. */
  has(step: CallStep): boolean {
    return ORDER.indexOf(this.step) >= ORDER.indexOf(step);
  }

  start(): void {
    this.peer.start();
  }

  /** Makes the local description; its candidates are on their way from here on. A failure ends the call. */
  prepare(iceServers: ViewerConfig['iceServers']): Promise<void> {
    this.prepared ??= this.peer
      .prepare(iceServers)
      .catch((error: unknown) => this.end(`this browser makes no offer: ${String(error)}`));
    return this.prepared;
  }

  /** The offer with all candidates found so far; the call counts as asked from here on. */
  ask(): string {
    this.reach('asked');
    return this.peer.localSdp();
  }

  /** Takes the camera's answer; one that comes twice (QoS 1) is taken once. */
  async answered(sdp: string): Promise<void> {
    if (this.answerTaken) return;
    this.answerTaken = true;
    this.reach('answered');
    try {
      await this.peer.accept(sdp);
      this.reach('checking');
    } catch (error) {
      this.end(`this browser does not accept the camera's answer: ${String(error)}`);
    }
  }

  addCandidate(candidate: string, mid: string): void {
    if (!this.closed) this.peer.addCandidate(candidate, mid);
  }

  /** Looks at the peer's counters: has the picture moved? `hidden` pages need not decode. */
  async measure(hidden: boolean): Promise<void> {
    if (this.closed || !this.has('answered')) return;
    const earlier = this.measured;
    const measured = await this.peer.measure().catch(() => undefined);
    if (this.closed || !measured) return;
    this.measured = measured;
    const moved = measured.framesDecoded > (earlier?.framesDecoded ?? 0);
    if (moved || (hidden && measured.packetsReceived > (earlier?.packetsReceived ?? 0)))
      this.pictureAt = this.timer.now();
    if (moved) this.reach('picture');
  }

  /** A picture of this call was put on the screen. */
  pictureShown(): void {
    this.pictureAt = this.timer.now();
    this.reach('picture');
  }

  /** Ends it here; nothing is reported any more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.cancelClock?.();
    this.control.close();
    this.peer.close();
  }

  /** Marks it as over, for a reason from outside. */
  end(reason: string): void {
    if (this.closed || this.over !== undefined) return;
    this.over = reason;
    this.changed(this);
  }

  private reach(step: CallStep): void {
    if (this.closed || this.has(step)) return;
    this.step = step;
    this.reachedAt[step] = this.timer.now();
    if (step === 'secured') this.pictureAt = this.timer.now();
    this.changed(this);
  }

  private async controlOpened(): Promise<void> {
    this.heardAt = this.timer.now();
    void this.readClock();
    try {
      const info = await this.control.request('session.info', sessionInfoSchema);
      this.info = info;
      this.source ??= info.source;
      this.viewers ??= info.viewers;
      this.changed(this);
    } catch (error) {
      if (!this.closed) console.warn('peercam: session.info', error);
    }
  }

  private async readClock(): Promise<void> {
    const asked = this.timer.now();
    try {
      const { rtp } = await this.control.request('clock.read', clockSchema);
      this.clock.add(rtp, asked, this.timer.now());
    } catch {
      // Silence shows in `heardAt`; a camera without the method just has no latency to show.
    }
    if (!this.closed) this.cancelClock = this.timer.after(READ_CLOCK_EVERY_MS, () => void this.readClock());
  }

  private controlMessage(text: string): void {
    this.heardAt = this.timer.now();
    try {
      this.control.receive(text);
    } catch (error) {
      console.warn('peercam: a control message that cannot be read', error);
    }
  }

  private notified(notification: ControlNotification): void {
    if (notification.method === 'session.viewers') this.viewers = notification.params.viewers;
    else if (notification.method === 'source.changed') {
      this.source = notification.params;
      // The picture has as long to come as after a fresh start.
      this.pictureAt = this.timer.now();
    } else {
      if (notification.method === 'camera.renamed' && this.info) this.info = { ...this.info, ...notification.params };
      this.passOn(notification);
    }
    this.changed(this);
  }
}
