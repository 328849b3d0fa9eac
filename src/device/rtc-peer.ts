import { type DataChannel, initLogger, PeerConnection, type Track, Video } from 'node-datachannel';
import { AppError, errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { PLAYOUT_DELAY_URI, TRANSPORT_CC_URI } from '#media/rtp-packet.ts';
import type {
  IceServer,
  OfferToAnswer,
  RtcChannel,
  RtcPeer,
  RtcPeerEvents,
  RtcPeerFactory,
  RtcPeerState,
} from '#session/rtc-peer.ts';

/** A control message waits in the channel at most this long, bytes; a viewer that reads nothing is not queued for. */
const MAX_CHANNEL_BACKLOG = 256 * 1024;
/** A viewer that is gone in the middle of it is not waited for longer than this. */
const SETTLE_MS = 2_000;
/** What a viewer may send on a data channel in one message, bytes (announced in the SDP). */
const MAX_CHANNEL_MESSAGE = 64 * 1024;

/** WebRTC by node-datachannel (libdatachannel, libjuice). */
export function nodeDataChannelPeers(options: { readonly log: Logger }): RtcPeerFactory {
  initLogger('Warning', (level, message) => {
    // The library's warnings are about single packets and peers; an operator can do nothing about them.
    if (level === 'Fatal') options.log.error({ library: 'libdatachannel' }, message);
    else options.log.debug({ library: 'libdatachannel' }, message);
  });
  return { create: (peer) => new NodeDataChannelPeer(peer) };
}

class NodeDataChannelPeer implements RtcPeer {
  private readonly connection: PeerConnection;
  private readonly events: RtcPeerEvents;
  // Referenced for as long as the peer lives: a collected track or channel closes itself.
  private track: Track | undefined;
  private readonly channels = new Set<NodeDataChannel>();
  private mediaOpen = false;
  private closed = false;
  /** Between DTLS being up and the library's `connected`, SCTP is at work on its handshake. */
  private sctp: 'before' | 'handshake' | 'settled' = 'before';
  private closeTimer: NodeJS.Timeout | undefined;

  constructor(options: { name: string; iceServers: readonly IceServer[]; events: RtcPeerEvents }) {
    this.events = options.events;
    this.connection = new PeerConnection(options.name, {
      iceServers: options.iceServers.map((server) => ({
        ...server,
        // libjuice speaks TURN over UDP only.
        ...(server.username !== undefined && { relayType: 'TurnUdp' as const }),
      })),
      maxMessageSize: MAX_CHANNEL_MESSAGE,
      // The answer is made by setRemoteDescription, after the track was added.
      disableAutoNegotiation: false,
    });
    const { events } = this;
    this.connection.onLocalDescription(this.guard((sdp) => events.localDescription(sdp)));
    this.connection.onLocalCandidate(this.guard((candidate, mid) => events.localCandidate(candidate, mid)));
    this.connection.onGatheringStateChange(this.guard((state) => state === 'complete' && events.gathered()));
    this.connection.onStateChange(guarded((state) => this.follow(state), events.handlerFailed));
    this.connection.onDataChannel(guarded((channel) => this.addChannel(channel), events.handlerFailed));
  }

  answer({ sdp, video }: OfferToAnswer): void {
    const { identity, mid } = video;
    const description = new Video(mid, 'SendOnly');
    description.addH264Codec(identity.payloadType, video.formatParameters);
    description.parseSdpLine(`a=rtcp-fb:${identity.payloadType} ccm fir`);
    if (identity.transportCcId > 0) {
      description.parseSdpLine(`a=rtcp-fb:${identity.payloadType} transport-cc`);
      description.parseSdpLine(`a=extmap:${identity.transportCcId} ${TRANSPORT_CC_URI}`);
    }
    if (identity.playoutDelayId > 0)
      description.parseSdpLine(`a=extmap:${identity.playoutDelayId} ${PLAYOUT_DELAY_URI}`);
    // Without a named SSRC the library hands no RTCP to the track.
    description.addSSRC(identity.ssrc, 'cam', 'peercam', 'video');
    try {
      const track = this.connection.addTrack(description);
      this.track = track;
      track.onOpen(this.guard(() => this.openMedia()));
      track.onClosed(this.guard(() => this.closeMedia()));
      track.onMessage(this.guard((packet) => this.events.rtcp(packet)));
      this.connection.setRemoteDescription(sdp, 'offer');
    } catch (error) {
      throw new AppError('offer.refused', `the viewer's offer was refused by the WebRTC stack: ${errorText(error)}`, {
        cause: error,
      });
    }
  }

  addCandidate(candidate: string, mid: string): void {
    if (!this.closed) this.connection.addRemoteCandidate(candidate, mid);
  }

  send(packet: Buffer): boolean {
    if (!this.mediaOpen) return false;
    try {
      return this.track!.sendMessageBinary(packet);
    } catch {
      // The transport closed between two events; its own event tells the session.
      return false;
    }
  }

  selectedPair(): { local: string; remote: string } | undefined {
    if (this.closed) return undefined;
    const pair = this.connection.getSelectedCandidatePair();
    if (pair === null) return undefined;
    const text = (side: typeof pair.local) => `${side.type} ${side.address}:${side.port}`;
    return { local: text(pair.local), remote: text(pair.remote) };
  }

  remoteFingerprint(): string | undefined {
    if (this.closed) return undefined;
    const { algorithm, value } = this.connection.remoteFingerprint();
    return algorithm === 'sha-256' ? value.toUpperCase() : undefined;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.mediaOpen = false;
    // usrsctp corrupts memory, about once in two thousand times, when an association is torn down in its handshake.
    if (this.sctp === 'handshake') this.closeTimer = setTimeout(() => this.release(), SETTLE_MS);
    else this.release();
  }

  /** Each track or channel left open costs 33 KB for good. */
  private release(): void {
    clearTimeout(this.closeTimer);
    this.closeTimer = undefined;
    for (const channel of this.channels) channel.close();
    this.channels.clear();
    quietly(() => this.track?.close());
    quietly(() => this.connection.close());
  }

  private follow(state: string): void {
    if (state !== 'connecting') this.settle();
    if (!this.closed && isPeerState(state)) this.events.state(state);
  }

  /** The SCTP handshake is over, one way or the other: a close that waited for it can go on. */
  private settle(): void {
    this.sctp = 'settled';
    if (this.closeTimer) this.release();
  }

  private openMedia(): void {
    if (this.sctp === 'before') this.sctp = 'handshake';
    this.mediaOpen = true;
    this.events.mediaOpen();
  }

  private closeMedia(): void {
    this.mediaOpen = false;
  }

  private addChannel(native: DataChannel): void {
    const channel = new NodeDataChannel(native, (error) => this.events.handlerFailed(error));
    this.channels.add(channel);
    if (this.closed) return;
    native.onClosed(this.guard(() => this.channels.delete(channel)));
    this.events.channel(channel);
  }

  /**
   * Every callback from the library runs inside this: an exception that reached native code would end the process.
   * After `close` nothing is passed on.
   */
  private guard<A extends unknown[]>(handler: (...args: A) => unknown): (...args: A) => void {
    return guarded(
      (...args: A) => {
        if (!this.closed) handler(...args);
      },
      (error) => this.events.handlerFailed(error),
    );
  }
}

class NodeDataChannel implements RtcChannel {
  readonly label: string;
  private readonly native: DataChannel;
  private readonly onFailure: (error: unknown) => void;
  private closed = false;

  constructor(native: DataChannel, onFailure: (error: unknown) => void) {
    this.native = native;
    this.onFailure = onFailure;
    this.label = native.getLabel();
  }

  send(text: string): boolean {
    if (this.closed) return false;
    try {
      return this.native.bufferedAmount() <= MAX_CHANNEL_BACKLOG && this.native.sendMessage(text);
    } catch {
      return false;
    }
  }

  onMessage(handler: (text: string | undefined) => void): void {
    this.native.onMessage(
      guarded((message) => {
        if (!this.closed) handler(typeof message === 'string' ? message : undefined);
      }, this.onFailure),
    );
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    quietly(() => this.native.close());
  }
}

function guarded<A extends unknown[]>(handler: (...args: A) => void, onFailure: (error: unknown) => void) {
  return (...args: A): void => {
    try {
      handler(...args);
    } catch (error) {
      onFailure(error);
    }
  };
}

/** The library throws when asked to close what its other side has closed already. */
function quietly(release: () => void): void {
  try {
    release();
  } catch {}
}

function isPeerState(state: string): state is RtcPeerState {
  return ['connecting', 'connected', 'disconnected', 'failed', 'closed'].includes(state);
}
