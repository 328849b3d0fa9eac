import { randomInt } from 'node:crypto';
import { type Clock, monotonicUs } from '#lib/clock.ts';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { Hub } from '#media/hub.ts';
import type { Reader } from '#media/reader.ts';
import type { RtpPacketizer } from '#media/rtp-packetizer.ts';
import { RtpStream } from '#media/rtp-stream.ts';
import { CONTROL_LABEL, type SessionInfo, type SourceState } from '#protocol/control.ts';
import { type Caller, ControlDispatch, type ControlMethod, notification, query } from './control.ts';
import { isUsableCandidate, type Offer } from './offer.ts';
import type { IceServer, RtcChannel, RtcPeer, RtcPeerFactory, RtcPeerState } from './rtc-peer.ts';

export interface SessionOptions {
  /** Unique among the camera's sessions; for logs. */
  readonly id: string;
  readonly offer: Offer;
  readonly peers: RtcPeerFactory;
  readonly iceServers: readonly IceServer[];
  readonly hub: Hub;
  readonly packetizer: RtpPacketizer;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whose session it is, and what it may at this moment. */
  caller(): Caller;
  /** The camera's own methods, beside those of the session. */
  readonly methods: Readonly<Record<string, ControlMethod>>;
  /** What `session.info` answers. */
  info(): SessionInfo;
  onAnswer(sdp: string): void;
  onCandidate(candidate: string, mid: string): void;
  onGathered(): void;
  /** The first and only connection was made. */
  onConnected(): void;
  /** Somebody else than who signed the offer is at the other end; the session ends. */
  onImpostor(): void;
  /** The session is over and everything of it released; called once. */
  onEnded(reason: string): void;
}

const CONNECT_MS = 30_000;
/** Receiver reports come about once a second: silence this long is a dead path, long before ICE notices. */
const SILENCE_MS = 12_000;
const WATCH_MS = 2_000;
/** What may wait for a slow viewer: 2 s at 60 fps, or a large GOP. */
const QUEUE = { maxUnits: 150, maxBytes: 2_000_000 };

/** One viewer: a peer connection, an RTP stream over the hub's pictures, a control channel. */
export class Session {
  readonly id: string;
  private readonly options: SessionOptions;
  private readonly log: Logger;
  private readonly stream: RtpStream;
  private readonly control: ControlDispatch;
  private peer: RtcPeer | undefined;
  private reader: Reader | undefined;
  private channel: RtcChannel | undefined;
  private connected = false;
  private ended = false;
  private heardAt: number;
  private cancelWatch: (() => void) | undefined;
  private releaseHold: (() => void) | undefined;

  constructor(options: SessionOptions) {
    this.id = options.id;
    this.options = options;
    this.log = options.log.child({ session: options.id });
    this.heardAt = options.clock.now();
    const { offer } = options;
    this.stream = new RtpStream({
      identity: {
        ssrc: randomInt(1, 0x1_0000_0000),
        payloadType: offer.payloadType,
        transportCcId: offer.transportCcId,
        playoutDelayId: offer.playoutDelayId,
      },
      clock: options.clock,
      firstSequence: randomInt(0x8000),
      firstTimestamp: randomInt(0x1_0000_0000),
      send: (packet) => this.peer?.send(packet) ?? false,
      onKeyFrameRequest: () => this.reader?.recover(),
      onDrained: () => this.pump(),
    });
    this.control = new ControlDispatch({
      ...options.methods,
      'session.info': query(options.info),
      'clock.read': query(() => ({ rtp: this.stream.timestampOf(monotonicUs()) })),
    });
  }

  /** Whether media may flow. */
  get live(): boolean {
    return this.connected && !this.ended;
  }

  /** Answers the offer. Throws an AppError when it cannot; nothing stays open then. */
  start(): void {
    const { options } = this;
    this.peer = options.peers.create({
      name: this.id,
      iceServers: options.iceServers,
      events: {
        localDescription: (sdp) => options.onAnswer(sdp),
        localCandidate: (candidate, mid) => {
          // The library writes a line of SDP; what travels is the attribute alone, which is all some browsers take.
          const text = candidate.replace(/^a=/, '');
          if (isUsableCandidate(text)) options.onCandidate(text, mid);
        },
        gathered: () => options.onGathered(),
        state: (state) => this.follow(state),
        mediaOpen: () => this.openMedia(),
        rtcp: (packet) => this.hear(packet),
        channel: (channel) => this.addChannel(channel),
        handlerFailed: (error) => this.failed(error),
      },
    });
    const { offer } = options;
    try {
      this.peer.answer({
        sdp: offer.sdp,
        video: { mid: offer.mid, identity: this.stream.identity, formatParameters: offer.formatParameters },
      });
    } catch (error) {
      this.release();
      throw error;
    }
    // The encoder starts while ICE and DTLS still work: its first IDR is there when the transport opens.
    this.releaseHold = options.hub.hold();
    this.cancelWatch = options.clock.after(CONNECT_MS, () => this.end('no connection within 30 s'));
  }

  /** A remote candidate of unknown content; throws an AppError that names it. */
  addCandidate(candidate: string, mid: string): void {
    const text = candidate.replace(/^a=/, '');
    // An empty candidate says that no more will come (RFC 8838); a `.local` name cannot be resolved here.
    if (text === '' || !isUsableCandidate(text)) return;
    try {
      this.peer?.addCandidate(text, mid);
    } catch (error) {
      throw new AppError('candidate.refused', `field "candidate": ${errorText(error)}`, { cause: error });
    }
  }

  notifySource(state: SourceState): void {
    this.notify({ method: 'source.changed', params: state });
  }

  /** Tells the viewer something, where its control channel is open. */
  notify(message: Parameters<typeof notification>[0]): void {
    this.channel?.send(notification(message));
  }

  notifyViewers(viewers: number): void {
    this.notify({ method: 'session.viewers', params: { viewers } });
  }

  /** Ends the session and releases everything. */
  end(reason: string): void {
    if (this.ended) return;
    const { packets, retransmitted, refusedRetransmissions } = this.stream.stats;
    const overflows = this.reader?.stats.overflows ?? 0;
    this.release();
    this.log.info({ reason, packets, retransmitted, refusedRetransmissions, overflows }, `viewer left: ${reason}`);
    this.options.onEnded(reason);
  }

  private release(): void {
    this.ended = true;
    this.cancelWatch?.();
    this.reader?.detach();
    this.dropHold();
    this.stream.discard();
    this.peer?.close();
    this.channel = undefined;
    this.peer = undefined;
  }

  private follow(state: RtcPeerState): void {
    if (state === 'connected' && !this.connected && this.checkCertificate()) {
      this.connected = true;
      this.heardAt = this.options.clock.now();
      this.cancelWatch?.();
      this.watch();
      this.log.info({ path: this.peer?.selectedPair() }, 'viewer connected');
      this.options.onConnected();
    }
    if (state === 'failed') this.end('no path, or the path broke');
    if (state === 'closed') this.end('closed by the viewer');
  }

  private openMedia(): void {
    if (this.reader !== undefined || !this.checkCertificate()) return;
    this.reader = this.options.hub.attach({
      name: this.id,
      ...QUEUE,
      onReadable: () => this.pump(),
      onRestart: () => this.stream.discard(),
    });
    this.pump();
    this.dropHold();
  }

  /**
   * Whether the DTLS certificate in use is the one that the signed offer names. The library compares too; but what
   * nothing may flow without is not left to one place alone.
   */
  private checkCertificate(): boolean {
    if (this.ended) return false;
    const inUse = this.peer?.remoteFingerprint();
    if (inUse !== undefined && this.options.offer.fingerprints.includes(inUse)) return true;
    this.log.warn({ inUse }, 'the certificate of the connection is not the one the viewer has signed');
    this.options.onImpostor();
    this.end('the certificate is not the one that was signed');
    return false;
  }

  private pump(): void {
    const { reader, stream } = this;
    if (reader === undefined) return;
    while (!stream.busy) {
      const unit = reader.take();
      if (unit === undefined) return;
      stream.sendUnit(unit, this.options.packetizer.packetsOf(unit));
    }
  }

  private dropHold(): void {
    this.releaseHold?.();
    this.releaseHold = undefined;
  }

  private hear(packet: Uint8Array): void {
    this.heardAt = this.options.clock.now();
    this.stream.receive(packet);
  }

  private watch(): void {
    this.cancelWatch = this.options.clock.after(WATCH_MS, () => {
      if (this.options.clock.now() - this.heardAt > SILENCE_MS) this.end('nothing heard from the viewer for 12 s');
      else this.watch();
    });
  }

  private addChannel(channel: RtcChannel): void {
    if (!this.checkCertificate()) return;
    if (channel.label !== CONTROL_LABEL || this.channel !== undefined) {
      this.log.debug({ label: channel.label.slice(0, 32) }, 'a data channel that is not ours was closed');
      channel.close();
      return;
    }
    this.channel = channel;
    channel.onMessage((text) => {
      this.heardAt = this.options.clock.now();
      const reply = this.control.handle(text, this.options.caller());
      if (reply instanceof Promise)
        reply.then(
          (late) => this.reply(late),
          (error: unknown) => this.failed(error),
        );
      else this.reply(reply);
    });
  }

  private reply(text: string | undefined): void {
    if (text !== undefined) this.channel?.send(text);
  }

  private failed(error: unknown): void {
    this.log.error({ err: error }, 'a session handler failed; the session is closed');
    this.end('internal error');
  }
}
