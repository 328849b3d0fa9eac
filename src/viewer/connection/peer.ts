import { fingerprintOf, fingerprintsOf } from '#identity/fingerprint.ts';
import { CONTROL_LABEL } from '#protocol/control.ts';
import type { Peer, PeerEvents, Verified } from './connection.ts';
import { type PathEnd, pathOf } from './path.ts';
import type { Measurement } from './statistics.ts';

/** The first candidate comes within 2 ms where there is a network at all; it is not worth a longer wait. */
const FIRST_CANDIDATE_MS = 25;

/** Whether this browser can do what a call needs: WebRTC, and H.264 in it. */
export function browserCanPlay(): boolean {
  return typeof RTCPeerConnection === 'function' && playableCodecs().length > 0;
}

/** One call's RTCPeerConnection: one received video and the control channel. */
export class BrowserPeer implements Peer<MediaStream> {
  private readonly events: PeerEvents;
  private connection: RTCPeerConnection | undefined;
  private receiver: RTCRtpReceiver | undefined;
  private control: RTCDataChannel | undefined;
  private offer: Promise<RTCSessionDescriptionInit> | undefined;
  private early: RTCIceCandidateInit[] | undefined = [];
  private media: MediaStream | undefined;
  private answer = '';
  private proof: Verified | undefined;
  private verifying: Promise<boolean> | undefined;

  constructor(events: PeerEvents) {
    this.events = events;
  }

  get stream(): MediaStream | undefined {
    return this.media;
  }

  get verified(): Verified | undefined {
    return this.proof;
  }

  /** Makes keys and offer at once, before anybody knows which STUN servers there are. */
  start(): void {
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.connection = connection;
    const transceiver = connection.addTransceiver('video', { direction: 'recvonly' });
    transceiver.setCodecPreferences?.(playableCodecs());
    const { receiver } = transceiver;
    playWithoutDelay(receiver);
    this.receiver = receiver;
    this.media = new MediaStream([receiver.track]);
    this.control = connection.createDataChannel(CONTROL_LABEL, { ordered: true });
    // Nothing is said or heard before it is known who is there; what comes meanwhile waits in order.
    this.control.onopen = () => this.whenVerified(() => this.events.controlOpened());
    this.control.onclose = () => this.events.ended('the camera closed the session');
    this.control.onmessage = ({ data }) => {
      if (typeof data === 'string') this.whenVerified(() => this.events.controlMessage(data));
    };
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.events.candidate(candidate.candidate, candidate.sdpMid ?? '0');
    };
    connection.oniceconnectionstatechange = () => {
      const state = connection.iceConnectionState;
      if (state === 'connected' || state === 'completed') this.events.progress('path');
    };
    connection.onconnectionstatechange = () => {
      const state = connection.connectionState;
      if (state === 'connected') this.whenVerified(() => this.events.progress('secured'));
      if (state === 'failed') this.events.ended('no path between this browser and the camera, or it broke');
    };
    this.offer = connection.createOffer();
    // Read in `describe`; until then a failure is nobody's unhandled rejection.
    this.offer.catch(() => {});
  }

  /** Resolves with the first candidate: the camera connects at once only where the offer itself holds one. */
  async prepare(iceServers: RTCIceServer[]): Promise<void> {
    const connection = this.connection!;
    if (iceServers.length > 0) connection.setConfiguration({ ...connection.getConfiguration(), iceServers });
    const firstCandidate = new Promise<void>((resolve) => {
      connection.addEventListener('icecandidate', () => resolve(), { once: true });
      setTimeout(resolve, FIRST_CANDIDATE_MS);
    });
    await connection.setLocalDescription(await this.offer);
    await firstCandidate;
  }

  localSdp(): string {
    return this.connection?.localDescription?.sdp ?? '';
  }

  async accept(sdp: string): Promise<void> {
    this.answer = sdp;
    await this.connection!.setRemoteDescription({ type: 'answer', sdp });
    const early = this.early ?? [];
    this.early = undefined;
    for (const candidate of early) this.add(candidate);
  }

  addCandidate(candidate: string, mid: string): void {
    const init = { candidate, sdpMid: mid };
    if (this.early) this.early.push(init);
    else this.add(init);
  }

  sendControl(text: string): void {
    if (this.control?.readyState === 'open') this.control.send(text);
  }

  async measure(): Promise<Measurement> {
    const report = await this.connection!.getStats();
    const all = new Map<string, StatsRecord>();
    for (const [id, stats] of report as unknown as Map<string, StatsRecord>) all.set(id, stats);
    const of = (type: string) => [...all.values()].find((stats) => stats.type === type);
    const video = of('inbound-rtp') ?? NOTHING;
    const transport = of('transport') ?? NOTHING;
    const pair = all.get(transport.selectedCandidatePairId ?? '') ?? [...all.values()].find(isPairInUse);
    const local = pathEnd(all.get(pair?.localCandidateId ?? ''));
    const remote = pathEnd(all.get(pair?.remoteCandidateId ?? ''));
    const protocol = all.get(pair?.localCandidateId ?? '')?.protocol ?? 'udp';
    return {
      framesDecoded: video.framesDecoded ?? 0,
      framesDropped: video.framesDropped ?? 0,
      packetsReceived: video.packetsReceived ?? 0,
      packetsLost: video.packetsLost ?? 0,
      bytesReceived: video.bytesReceived ?? 0,
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      path: local && remote && pathOf(local, remote),
      route: local && remote && `${local.type} → ${remote.type}, ${protocol.toUpperCase()}`,
      roundTripMs: pair?.currentRoundTripTime === undefined ? undefined : pair.currentRoundTripTime * 1000,
      codec: all.get(video.codecId ?? '')?.mimeType?.replace('video/', ''),
      decoder: video.decoderImplementation,
      bufferSeconds: video.jitterBufferDelay ?? 0,
      decodeSeconds: video.totalDecodeTime ?? 0,
    };
  }

  close(): void {
    const connection = this.connection;
    if (!connection) return;
    connection.onicecandidate = null;
    connection.oniceconnectionstatechange = null;
    connection.onconnectionstatechange = null;
    if (this.control) {
      this.control.onopen = null;
      this.control.onclose = null;
      this.control.onmessage = null;
      this.control.close();
    }
    this.receiver?.track.stop();
    connection.close();
  }

  private whenVerified(run: () => void): void {
    // Once the answer stands, each step is taken in the same turn.
    if (this.proof) {
      run();
      return;
    }
    this.verifying ??= this.verify();
    void this.verifying.then((good) => good && run());
  }

  /**
   * Whether the certificate that this connection runs on is the one whose fingerprint the camera has signed. The browser
   * compares the two as well; what a person is told to rely on is not left to it where it lets us look.
   */
  private async verify(): Promise<boolean> {
    try {
      const inUse = await this.certificateInUse();
      const signed = fingerprintsOf(this.answer);
      if (signed.length === 0 || (inUse && !signed.includes(inUse.fingerprint))) {
        this.events.forged('the connection runs on a certificate that is not the one the camera has signed');
        return false;
      }
      this.proof = inUse ? inUse.from : 'browser';
      return true;
    } catch (error) {
      this.events.ended(`the certificate of the connection cannot be checked: ${String(error)}`);
      return false;
    }
  }

  private async certificateInUse(): Promise<{ fingerprint: string; from: Verified } | undefined> {
    const certificate = remoteCertificateOf(this.receiver!);
    if (certificate) return { fingerprint: await fingerprintOf(certificate), from: 'certificate' };
    const report = (await this.connection!.getStats()) as unknown as Map<string, StatsRecord>;
    const transport = [...report.values()].find(({ type }) => type === 'transport');
    const { fingerprint, fingerprintAlgorithm } = report.get(transport?.remoteCertificateId ?? '') ?? NOTHING;
    if (!fingerprint || fingerprintAlgorithm?.toLowerCase() !== 'sha-256') return undefined;
    return { fingerprint: fingerprint.toUpperCase(), from: 'statistics' };
  }

  private add(candidate: RTCIceCandidateInit): void {
    // A candidate of a kind this browser does not know is one path less, not the end of the call.
    this.connection
      ?.addIceCandidate(candidate)
      .catch((error: unknown) => console.warn('peercam: a candidate that cannot be used', error));
  }
}

/** What is read of getStats (W3C webrtc-stats); every field may be missing. */
interface StatsRecord {
  readonly type: string;
  readonly framesDecoded?: number;
  readonly framesDropped?: number;
  readonly packetsReceived?: number;
  readonly packetsLost?: number;
  readonly bytesReceived?: number;
  readonly frameWidth?: number;
  readonly frameHeight?: number;
  readonly codecId?: string;
  readonly mimeType?: string;
  readonly decoderImplementation?: string;
  readonly jitterBufferDelay?: number;
  readonly totalDecodeTime?: number;
  readonly selectedCandidatePairId?: string;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly currentRoundTripTime?: number;
  readonly nominated?: boolean;
  readonly state?: string;
  readonly candidateType?: PathEnd['type'];
  readonly address?: string;
  readonly protocol?: string;
  readonly remoteCertificateId?: string;
  readonly fingerprint?: string;
  readonly fingerprintAlgorithm?: string;
}

/** The DER certificate at the other end; undefined where this browser does not tell. */
function remoteCertificateOf(receiver: RTCRtpReceiver): ArrayBuffer | undefined {
  // Only some browsers have this part of RTCDtlsTransport, and TypeScript's library has not.
  const transport = receiver.transport as { getRemoteCertificates?(): ArrayBuffer[] } | null;
  try {
    return transport?.getRemoteCertificates?.()[0];
  } catch (error) {
    console.warn('peercam: getRemoteCertificates', error);
    return undefined;
  }
}

/** For browsers that name no selected pair in their transport statistics. */
function isPairInUse({ type, nominated, state }: StatsRecord): boolean {
  return type === 'candidate-pair' && nominated === true && state === 'succeeded';
}

const NOTHING: StatsRecord = { type: 'none' };

function pathEnd(candidate: StatsRecord | undefined): PathEnd | undefined {
  return candidate?.candidateType && { type: candidate.candidateType, address: candidate.address || undefined };
}

/** H.264 and its retransmissions: the only codec cameras encode in hardware, and a shorter offer travels faster. */
function playableCodecs(): RTCRtpCodec[] {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs ?? [];
  const h264 = codecs.filter(({ mimeType }) => /^video\/h264$/i.test(mimeType));
  // Packetization mode 1 first: mode 0 cannot carry a NAL unit larger than a packet (RFC 6184, 6.2).
  const mode1 = h264.filter(({ sdpFmtpLine }) => sdpFmtpLine?.includes('packetization-mode=1'));
  const mode0 = h264.filter((codec) => !mode1.includes(codec));
  const resend = codecs.filter(({ mimeType }) => /^video\/rtx$/i.test(mimeType));
  return h264.length > 0 ? [...mode1, ...mode0, ...resend] : [];
}

/** A live picture is shown when it is here; browsers that know neither property choose for themselves. */
function playWithoutDelay(receiver: RTCRtpReceiver & { playoutDelayHint?: number | null }): void {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
  if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
}
