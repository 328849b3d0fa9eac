import { type ReadonlySignal, type Signal, signal } from '@preact/signals';
import type * as v from 'valibot';
import type { ControlNotification, SessionInfo, SourceState } from '#protocol/control.ts';
import { REVOKED, type RefusalMessage, type ToCamera, type ToViewer } from '#protocol/message.ts';
import type { Right } from '#protocol/rights.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Status } from '#protocol/status.ts';
import type { IceServerEntry, ViewerConfig } from '#protocol/viewer-config.ts';
import type { Admission } from './admission.ts';
import { Call } from './call.ts';
import { type Facts, type Phase, phaseOf } from './phase.ts';
import { RetryPause } from './retry.ts';
import { type Measurement, type Statistics, statisticsOf } from './statistics.ts';
import type { Timer } from './timer.ts';

/**
 * The camera's mailbox and presence, and the way in, as a connection needs them. Keeps connecting by itself between
 * start and stop. Everything it tells has been opened and checked.
 */
export interface Signalling {
  start(events: SignallingEvents): void;
  stop(): void;
  /** Tries again now instead of at the end of the pause. */
  hurry(): void;
  /** Lost without a word where there is no connection: whoever waits for an answer notices. */
  send(message: ToCamera): void;
  /** Asks to be let in, with a code where one is given or at hand. */
  pair(code?: SetupCode): void;
  /** The address has brought a code along. */
  offer(code: SetupCode): void;
  /** The person does not want the code at hand used. */
  dropCode(): void;
  /** A call stayed unanswered. */
  unanswered(): void;
  /** The camera has said that this viewer may no longer. */
  lostAccess(): void;
  rightsChanged(rights: readonly Right[]): void;
}

export interface SignallingEvents {
  /** Which servers help to find a path; again whenever their credentials change. */
  relays(iceServers: IceServerEntry[]): void;
  /** `readable`: this camera's presence will be told. */
  online(readable: boolean): void;
  lost(problem: string): void;
  /** The retained status, undefined where it was cleared; `fresh` when it was published just now. */
  status(status: Status | undefined, fresh: boolean): void;
  message(message: ToViewer): void;
  admission(admission: Admission): void;
  /** A message was refused: forged, replayed, damaged. */
  suspicious(problem: string): void;
}

/**
 * How it is known whose picture it is. In every case the answer was signed by the key of the camera's UID;
 * `certificate`, `statistics`: and its certificate was compared here; `browser`: by the browser alone.
 */
export type Verified = 'certificate' | 'statistics' | 'browser';

/** One peer connection, as a call needs it. */
export interface Peer<Stream> {
  readonly stream: Stream | undefined;
  start(): void;
  readonly verified: Verified | undefined;
  prepare(iceServers: ViewerConfig['iceServers']): Promise<void>;
  localSdp(): string;
  accept(sdp: string): Promise<void>;
  addCandidate(candidate: string, mid: string): void;
  sendControl(text: string): void;
  measure(): Promise<Measurement>;
  close(): void;
}

export interface PeerEvents {
  candidate(candidate: string, mid: string): void;
  /** `secured` means: to the camera itself, which was checked. */
  progress(step: 'path' | 'secured'): void;
  controlOpened(): void;
  controlMessage(text: string): void;
  ended(reason: string): void;
  /** Somebody else than the camera is at the other end. */
  forged(reason: string): void;
}

/** One line of the list people watch while it connects; `ms` is how long a finished step took. */
export interface StepView {
  readonly name: 'server' | 'camera' | 'path' | 'secure' | 'picture';
  readonly state: 'done' | 'current' | 'waiting';
  readonly ms: number | undefined;
}

/** Everything about a connection that a page shows, but the statistics. */
export interface ConnectionView<Stream> {
  readonly phase: Phase;
  readonly steps: readonly StepView[];
  readonly stream: Stream | undefined;
  readonly status: Status | undefined;
  readonly info: SessionInfo | undefined;
  readonly source: SourceState | undefined;
  readonly viewers: number | undefined;
  readonly refusal: RefusalMessage | undefined;
  readonly admission: Admission;
  /** Set while a picture is shown whose origin was checked. */
  readonly verified: Verified | undefined;
  /** Messages and connections that were refused, since the page was opened. */
  readonly warnings: { readonly count: number; readonly last: string | undefined };
  readonly serverOnline: boolean;
  /** The program's words for why the server cannot be reached. */
  readonly serverProblem: string | undefined;
  /** From opening the page to the first picture, ms. */
  readonly firstPictureMs: number | undefined;
}

export interface ConnectionOptions<Stream> {
  readonly timer: Timer;
  readonly supported: boolean;
  readonly signalling: Signalling;
  readonly loadConfig: () => Promise<ViewerConfig>;
  readonly makePeer: (events: PeerEvents) => Peer<Stream>;
  /** Whether nobody can see the page: it need not decode then. */
  readonly hidden: () => boolean;
  /** The camera tells something that is not about this session: access has changed. */
  readonly notified?: (notification: ControlNotification) => void;
}

/** A picture that stands still this long means a new call, unless the camera has said why. */
const STILL_MS = 3000;
/** The same once the camera is known to be away. */
const STILL_WITHOUT_CAMERA_MS = 1000;
/** A call without pictures (source down) is alive as long as the camera answers on the control channel. */
const SILENT_MS = 7000;
const FIRST_PICTURE_MS = 8000;
const ANSWER_MS = 6000;
const CONNECT_MS = 20_000;
/** How long a broker may take to hand out a retained status. */
const PRESENCE_MS = 5000;
/** How long a try that a person asked for is shown before the old verdict returns. */
const TRYING_MS = 3000;
/** A camera that is away is tried all the same, now and then: its status may be wrong. */
const PROBE_MS = 30_000;
/** Candidates gathered longer ago than this may belong to a network that is gone. */
const STALE_OFFER_MS = 10_000;
const TICK_MS = 500;
const TICK_BEFORE_PICTURE_MS = 100;
/** How long a replaced call's last picture is needed. */
const FAREWELL_MS = 300;
const RATES_OVER_MS = 2000;
const LATENCIES = 31;
/** Somebody who answers in the camera's place is given up on after this many tries; a person may order more. */
const MAX_FORGED = 3;

type TimerName = 'config' | 'call' | 'presence' | 'tick' | 'doubt' | 'farewell';

/**
 * A viewer's connection to one camera, from the first word to the server until the page closes: a state machine (see
 * phase.ts) over one signalling connection, the call whose picture is shown, and the call that is being set up.
 * A call is never repaired, it is replaced: the old one is kept until the new one plays.
 */
export class Connection<Stream> {
  readonly view: ReadonlySignal<ConnectionView<Stream>>;
  readonly statistics: ReadonlySignal<Statistics | undefined>;
  private readonly options: ConnectionOptions<Stream>;
  private readonly shown: Signal<ConnectionView<Stream>>;
  private readonly figures: Signal<Statistics | undefined> = signal(undefined);
  private readonly configPause = new RetryPause({ firstMs: 500, maxMs: 15_000 });
  private readonly callPause = new RetryPause({ firstMs: 1000, maxMs: PROBE_MS });
  private running = false;
  private startedAt = 0;
  private config: ViewerConfig | undefined;
  private iceServers: IceServerEntry[] | undefined;
  private admission: Admission = { state: 'asking' };
  private forgeries = 0;
  private silent = false;
  private warnings: ConnectionView<Stream>['warnings'] = { count: 0, last: undefined };
  private configState: Facts['config'] = 'loading';
  private server: Facts['server'] = 'connecting';
  private serverProblem: string | undefined;
  private serverAt: number | undefined;
  private presence: Facts['presence'] = 'unheard';
  private readable = false;
  private status: Status | undefined;
  private refusal: RefusalMessage | undefined;
  private playing: Call<Stream> | undefined;
  private calling: Call<Stream> | undefined;
  /** Calls that were replaced; their picture stands until the page has taken over the new one. */
  private readonly departing = new Set<Call<Stream>>();
  private lastCallAt = Number.NEGATIVE_INFINITY;
  private firstPictureMs: number | undefined;
  private samples: { readonly at: number; readonly measured: Measurement }[] = [];
  private latencies: number[] = [];
  private readonly timers = new Map<TimerName, () => void>();

  constructor(options: ConnectionOptions<Stream>) {
    this.options = options;
    this.shown = signal(this.describe());
    this.view = this.shown;
    this.statistics = this.figures;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.startedAt = this.now();
    if (this.options.supported) {
      void this.loadConfig();
      // The offer needs neither server nor settings: it is made while they are on their way.
      this.calling = this.newCall();
      this.tick();
    }
    this.publish();
  }

  /** Says goodbye to the camera and lets go of everything. It may be started again. */
  stop(): void {
    if (!this.running) return;
    this.running = false;
    for (const cancel of this.timers.values()) cancel();
    this.timers.clear();
    for (const call of [this.playing, this.calling]) this.hangUp(call);
    this.dismiss();
    this.playing = undefined;
    this.calling = undefined;
    this.options.signalling.stop();
    this.server = 'connecting';
    this.presence = 'unheard';
    this.configState = 'loading';
    this.config = undefined;
    this.iceServers = undefined;
    this.figures.value = undefined;
  }

  /** Asks to be let in with this code, or with the one that the address brought along. */
  pair(code?: SetupCode): void {
    if (!this.running) return;
    this.callPause.reset();
    this.refusal = undefined;
    this.options.signalling.pair(code);
    this.options.signalling.hurry();
  }

  /** The address has brought a code along. */
  offer(code: SetupCode): void {
    if (this.running) this.options.signalling.offer(code);
  }

  /** The person does not want the code at hand used. */
  dropCode(): void {
    this.options.signalling.dropCode();
  }

  /** The camera has given this viewer other rights. */
  rightsChanged(rights: readonly Right[]): void {
    this.options.signalling.rightsChanged(rights);
  }

  /** This viewer has left the camera's list. */
  lostAccess(): void {
    this.options.signalling.lostAccess();
  }

  /** Asks the camera on the control channel; rejects where no picture plays. */
  async request<const S extends v.GenericSchema>(
    method: string,
    schema: S,
    params?: object,
  ): Promise<v.InferOutput<S>> {
    const call = this.playing;
    if (!call) throw new Error('there is no connection to the camera just now');
    return await call.request(method, schema, params);
  }

  /** A person wants it tried again, now. */
  retry(): void {
    if (!this.running) return;
    this.refusal = undefined;
    this.forgeries = 0;
    this.silent = false;
    this.callPause.reset();
    this.configPause.reset();
    if (this.configState === 'failed') void this.loadConfig();
    if (this.server === 'lost') this.server = 'connecting';
    this.options.signalling.hurry();
    this.showTrying();
    if (this.admission.state === 'in') this.callNow();
    else this.options.signalling.pair();
    this.publish();
  }

  /** For a moment what was known of the camera does not count, so that the person sees it being asked. */
  private showTrying(): void {
    if (this.server !== 'online') return;
    this.presence = 'unheard';
    this.later('presence', TRYING_MS, () => {
      this.presence = this.status?.state ?? (this.readable ? 'missing' : 'unreadable');
      this.publish();
    });
  }

  /** The network or the page came back: what waits for its turn need not wait longer. */
  hurry(): void {
    if (!this.running) return;
    if (this.configState === 'failed') void this.loadConfig();
    this.options.signalling.hurry();
    if (this.timers.has('call') || (this.playing && this.isStill(this.playing))) {
      this.callPause.reset();
      if (!this.calling) this.callNow();
    }
  }

  /** A picture of this stream is on the screen: `rtp` its timestamp, `atMs` when it is displayed. */
  pictureShown(stream: Stream, rtp: number | undefined, atMs: number): void {
    const { playing } = this;
    if (playing?.stream !== stream) return;
    playing.pictureShown();
    const age = rtp === undefined ? undefined : playing.clock.ageMs(rtp, atMs);
    if (age === undefined) return;
    this.latencies.push(age);
    if (this.latencies.length > LATENCIES) this.latencies.shift();
  }

  private async loadConfig(): Promise<void> {
    this.cancel('config');
    if (this.configState === 'failed') this.configState = 'loading';
    try {
      const config = await this.options.loadConfig();
      if (!this.running || this.config) return;
      this.config = config;
      this.configState = 'ready';
      this.serverProblem = undefined;
      this.options.signalling.start({
        relays: (iceServers) => this.relaysKnown(iceServers),
        online: (readable) => this.serverOnline(readable),
        lost: (problem) => this.serverLost(problem),
        status: (status, fresh) => this.statusChanged(status, fresh),
        message: (message) => this.receive(message),
        admission: (admission) => this.admitted(admission),
        suspicious: (problem) => this.warn(problem),
      });
    } catch (error) {
      if (!this.running) return;
      this.configState = 'failed';
      this.serverProblem = error instanceof Error ? error.message : String(error);
      this.later('config', this.configPause.next(), () => void this.loadConfig());
    }
    this.publish();
  }

  private relaysKnown(iceServers: IceServerEntry[]): void {
    this.iceServers = iceServers;
    this.prepareCall();
  }

  /** Candidates are gathered only for a call that will be made, and with the relays that it may use. */
  private prepareCall(): void {
    if (this.iceServers && this.admission.state === 'in') void this.calling?.prepare(this.iceServers);
  }

  private admitted(admission: Admission): void {
    const before = this.admission;
    this.admission = admission;
    if (admission.state === 'in') {
      if (before.state !== 'in') this.letIn();
    } else if (admission.state === 'out') {
      this.dropCalling();
      this.dropPlaying();
      this.cancel('call');
    }
    this.publish();
  }

  private letIn(): void {
    this.silent = false;
    const call = this.calling;
    if (call && !call.has('answered') && this.age(call) > STALE_OFFER_MS) this.dropCalling();
    this.prepareCall();
    if (this.server !== 'online') return;
    if (this.calling) void this.ask(this.calling);
    else if (!this.playing || this.isStill(this.playing)) this.callNow();
  }

  private dropPlaying(): void {
    const { playing } = this;
    this.playing = undefined;
    this.figures.value = undefined;
    this.hangUp(playing);
  }

  private warn(problem: string): void {
    this.warnings = { count: this.warnings.count + 1, last: problem };
    this.publish();
  }

  private serverOnline(readable: boolean): void {
    this.server = 'online';
    this.readable = readable;
    this.serverProblem = undefined;
    this.serverAt ??= this.now();
    this.presence = readable ? 'unheard' : 'unreadable';
    if (!readable) this.status = undefined;
    this.later('presence', PRESENCE_MS, () => {
      if (this.presence === 'unheard') this.presence = 'missing';
      this.publish();
    });
    const call = this.calling;
    // An answer that was sent while we were away is lost, and an old offer may be worthless.
    const useless = call && !call.has('answered') && (call.has('asked') || this.age(call) > STALE_OFFER_MS);
    if (useless) this.dropCalling();
    if (this.calling) void this.ask(this.calling);
    else if (!this.playing || this.isStill(this.playing)) this.callNow();
    this.publish();
  }

  private serverLost(problem: string): void {
    this.server = 'lost';
    this.serverProblem = problem;
    this.cancel('presence');
    this.publish();
  }

  private statusChanged(status: Status | undefined, fresh: boolean): void {
    const before = this.status;
    this.cancel('presence');
    this.status = status;
    this.presence = status?.state ?? 'missing';
    if (status?.state === 'online') {
      const newer = before !== undefined && (status.since ?? 0) > (before.since ?? 0);
      if (newer || (before ? before.state !== 'online' : fresh)) this.cameraCameBack();
    } else if (!this.isPlaying() && this.calling && !this.calling.has('answered')) {
      this.dropCalling();
      this.callLater();
    }
    this.publish();
  }

  /** It has (re)connected to the server: perhaps only that, perhaps it was restarted and our session is dead. */
  private cameraCameBack(): void {
    this.callPause.reset();
    const playing = this.playing;
    if (!playing) {
      if (!this.calling?.has('answered')) this.callNow();
    } else if (this.now() - playing.pictureAt > STILL_WITHOUT_CAMERA_MS) {
      this.callNow();
    } else {
      this.later('doubt', STILL_WITHOUT_CAMERA_MS + TICK_MS, () => {
        const still = this.now() - playing.pictureAt >= STILL_WITHOUT_CAMERA_MS;
        if (this.playing === playing && still) this.callNow();
      });
    }
  }

  private receive(message: ToViewer): void {
    const call = [this.calling, this.playing].find((one) => one?.id === message.call);
    if (!call) return;
    if (message.type === 'answer') {
      this.refusal = undefined;
      this.silent = false;
      void call.answered(message.sdp);
    } else if (message.type === 'candidate') {
      call.addCandidate(message.candidate, message.mid);
    } else if (message.type === 'bye') {
      if (message.reason === REVOKED) this.options.signalling.lostAccess();
      else call.end(message.reason ?? 'the camera ended the session');
    } else if (call === this.calling) {
      this.refusal = message;
      this.dropCalling({ goodbye: false });
      if (message.retry) this.callLater();
      this.publish();
    }
  }

  private callChanged(call: Call<Stream>): void {
    if (call === this.calling) {
      if (call.over !== undefined) this.callFailed();
      else if (this.maySucceed(call)) this.promote(call);
    } else if (call === this.playing && call.over !== undefined) {
      this.replacePlaying();
    }
    if (call.step === 'secured') this.later('tick', TICK_BEFORE_PICTURE_MS, () => this.tick());
    if (call.has('picture') && call === this.playing) this.firstPictureMs ??= this.now() - this.startedAt;
    this.publish();
  }

  /** A new call takes over once it shows a picture, or where there is none to lose. */
  private maySucceed(call: Call<Stream>): boolean {
    if (call.has('picture')) return true;
    return call.has('secured') && (!this.playing || this.playing.over !== undefined || call.sourceDown);
  }

  private promote(call: Call<Stream>): void {
    if (this.playing) this.departing.add(this.playing);
    this.playing = call;
    this.forgeries = 0;
    this.calling = undefined;
    this.samples = [];
    this.latencies = [];
    this.callPause.reset();
    this.cancel('call');
    this.later('farewell', FAREWELL_MS, () => this.dismiss());
  }

  private dismiss(): void {
    for (const call of this.departing) this.hangUp(call);
    this.departing.clear();
  }

  private callFailed(): void {
    const call = this.calling;
    if (call?.has('asked') && !call.has('answered')) {
      this.silent = this.presence !== 'online' && this.presence !== 'unheard';
      this.options.signalling.unanswered();
    }
    if (call?.forged) {
      this.forgeries++;
      this.warn(call.over!);
    }
    this.dropCalling();
    if (this.forgeries <= MAX_FORGED) this.callLater();
  }

  /** The shown call is over or stands still: at once the first time, with pauses when that happens again and again. */
  private replacePlaying(): void {
    if (this.calling || this.timers.has('call')) return;
    if (this.now() - this.lastCallAt > STILL_MS && !this.isAway()) this.callNow();
    else this.callLater();
  }

  private callLater(): void {
    if (this.timers.has('call')) return;
    const pause = this.callPause.next();
    this.later('call', this.isAway() ? PROBE_MS : pause, () => this.callNow());
  }

  private callNow(): void {
    this.cancel('call');
    // Whoever reaches the server later, or is let in later, calls then.
    if (!this.running || !this.iceServers || this.server !== 'online' || this.admission.state !== 'in') return;
    if ((this.refusal && !this.refusal.retry) || this.forgeries > MAX_FORGED) return;
    this.dropCalling();
    this.calling = this.newCall();
    this.prepareCall();
    void this.ask(this.calling);
    this.publish();
  }

  private newCall(): Call<Stream> {
    const { timer, makePeer, signalling } = this.options;
    const call = new Call<Stream>({
      timer,
      makePeer,
      // What was found before the offer left is in it.
      candidate: (from, candidate, mid) => {
        if (from.has('asked')) signalling.send({ type: 'candidate', call: from.id, candidate, mid });
      },
      changed: (changed) => this.callChanged(changed),
      notified: (notification) => this.options.notified?.(notification),
    });
    call.start();
    return call;
  }

  private async ask(call: Call<Stream>): Promise<void> {
    if (!this.iceServers || this.admission.state !== 'in') return;
    await call.prepare(this.iceServers);
    if (this.calling !== call || this.server !== 'online' || call.has('asked')) return;
    this.lastCallAt = this.now();
    const sdp = call.ask();
    this.options.signalling.send({ type: 'call', call: call.id, sdp, address: this.config?.address });
  }

  private dropCalling(how: { readonly goodbye: boolean } = { goodbye: true }): void {
    const call = this.calling;
    this.calling = undefined;
    if (how.goodbye) this.hangUp(call);
    else call?.close();
  }

  private hangUp(call: Call<Stream> | undefined): void {
    if (call?.has('asked')) this.options.signalling.send({ type: 'bye', call: call.id });
    call?.close();
  }

  private tick(): void {
    void this.measure().finally(() => {
      if (!this.running) return;
      this.watch();
      this.publish();
      const soon = this.calling?.has('secured') || (this.playing && !this.playing.has('picture'));
      this.later('tick', soon ? TICK_BEFORE_PICTURE_MS : TICK_MS, () => this.tick());
    });
  }

  private async measure(): Promise<void> {
    const hidden = this.options.hidden();
    const { playing } = this;
    await Promise.all([playing?.measure(hidden), this.calling?.measure(hidden)]);
    if (!playing?.measured || playing !== this.playing) return;
    this.samples.push({ at: this.now(), measured: playing.measured });
    const oldest = this.samples[0]!;
    this.figures.value = statisticsOf(
      oldest.measured,
      playing.measured,
      this.now() - oldest.at,
      median(this.latencies),
    );
    // Rates over the last two seconds: steady to read, and quick to follow.
    while (this.samples.length > 1 && this.now() - this.samples[0]!.at > RATES_OVER_MS) this.samples.shift();
  }

  private watch(): void {
    const { playing, calling } = this;
    if (playing && this.isStill(playing)) this.replacePlaying();
    // It plays again by itself: the replacement is not needed.
    else if (playing && calling && !calling.has('answered') && playing.pictureAt > calling.reachedAt.preparing!) {
      this.dropCalling();
    }
    if (calling && calling === this.calling && this.isOverdue(calling)) this.callFailed();
  }

  private isPlaying(): boolean {
    return this.playing !== undefined && !this.isStill(this.playing);
  }

  private isStill(call: Call<Stream>): boolean {
    if (call.over !== undefined) return true;
    if (!call.picturesExpected) return this.now() - call.heardAt > SILENT_MS;
    const patience = this.isAway() ? STILL_WITHOUT_CAMERA_MS : call.has('picture') ? STILL_MS : FIRST_PICTURE_MS;
    return this.now() - call.pictureAt > patience;
  }

  private isOverdue(call: Call<Stream>): boolean {
    if (call.has('secured')) return this.isStill(call);
    if (call.has('answered')) return this.now() - call.reachedAt.answered! > CONNECT_MS;
    return call.has('asked') && this.now() - call.reachedAt.asked! > ANSWER_MS;
  }

  private isAway(): boolean {
    return this.presence === 'offline' || this.presence === 'leaving';
  }

  private age(call: Call<Stream>): number {
    return this.now() - call.reachedAt.preparing!;
  }

  private publish(): void {
    if (this.running) this.shown.value = this.describe();
  }

  private describe(): ConnectionView<Stream> {
    const { playing, calling } = this;
    const phase = phaseOf({
      supported: this.options.supported,
      config: this.configState,
      server: this.server,
      admission: this.admission.state,
      presence: this.presence,
      silent: this.silent,
      forged: this.forgeries > MAX_FORGED,
      playing: this.isPlaying() ? playing?.step : undefined,
      calling: calling?.step,
      sourceDown: playing?.sourceDown ?? false,
      refused: this.refusal !== undefined,
      seen: this.firstPictureMs !== undefined,
    });
    return {
      phase,
      steps: this.describeSteps(),
      // Not before pictures can come: a video element with nothing to show keeps the page from finishing its load.
      stream: playing?.stream,
      status: this.status,
      info: playing?.info,
      source: playing?.source,
      viewers: playing?.viewers,
      refusal: this.refusal,
      admission: this.admission,
      verified: playing?.verified,
      warnings: this.warnings,
      serverOnline: this.server === 'online',
      serverProblem: this.serverProblem,
      firstPictureMs: this.firstPictureMs,
    };
  }

  private describeSteps(): StepView[] {
    const call = this.calling ?? this.playing;
    const at = call?.reachedAt ?? {};
    const between = (from: number | undefined, to: number | undefined) =>
      from === undefined || to === undefined ? undefined : to - from;
    const answered = call?.has('answered') ?? false;
    // Later calls find the server reached already.
    const reaching = (at.preparing ?? 0) < (this.serverAt ?? 0) ? between(this.startedAt, this.serverAt) : undefined;
    const lines: { name: StepView['name']; done: boolean; ms: number | undefined }[] = [
      { name: 'server', done: this.server === 'online' || answered, ms: reaching },
      { name: 'camera', done: answered, ms: between(at.asked, at.answered) },
      { name: 'path', done: call?.has('path') ?? false, ms: between(at.answered, at.path) },
      { name: 'secure', done: call?.has('secured') ?? false, ms: between(at.path, at.secured) },
      { name: 'picture', done: call?.has('picture') ?? false, ms: between(at.secured, at.picture) },
    ];
    const current = lines.findIndex(({ done }) => !done);
    return lines.map(({ name, done, ms }, index) => ({
      name,
      state: done ? 'done' : index === current ? 'current' : 'waiting',
      ms: done ? ms : undefined,
    }));
  }

  private now(): number {
    return this.options.timer.now();
  }

  private later(name: TimerName, ms: number, run: () => void): void {
    this.cancel(name);
    const cancel = this.options.timer.after(ms, () => {
      this.timers.delete(name);
      run();
    });
    this.timers.set(name, cancel);
  }

  private cancel(name: TimerName): void {
    this.timers.get(name)?.();
    this.timers.delete(name);
  }
}

function median(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : [...values].sort((a, b) => a - b)[values.length >> 1];
}
