import type { RtpIdentity } from '#media/rtp-packet.ts';

/** What one session needs of a WebRTC implementation; the answering side only. */
export interface RtcPeer {
  /**
   * Takes the viewer's offer and starts gathering and connecting; the answer comes as an event. Throws when the
   * implementation refuses the SDP.
   */
  answer(offer: OfferToAnswer): void;
  /** One remote candidate (RFC 8839 `candidate:…`). Throws when it is malformed. */
  addCandidate(candidate: string, mid: string): void;
  /** Sends one RTP or RTCP packet; false while the transport is not open. The packet is copied before it returns. */
  send(packet: Buffer): boolean;
  /** Types and addresses of the candidate pair in use, once there is one. */
  selectedPair(): { readonly local: string; readonly remote: string } | undefined;
  /** SHA-256 of the certificate the other side uses, upper-case hex with colons; undefined before DTLS is up. */
  remoteFingerprint(): string | undefined;
  /** Releases tracks, channels and the connection. No event comes after it. Safe to call twice. */
  close(): void;
}

/** The parts of an offer the answer is made of. */
export interface OfferToAnswer {
  readonly sdp: string;
  readonly video: {
    readonly mid: string;
    readonly identity: RtpIdentity;
    /** fmtp parameters of the chosen payload type, as offered. */
    readonly formatParameters: string;
  };
}

export interface RtcPeerEvents {
  localDescription(sdp: string): void;
  localCandidate(candidate: string, mid: string): void;
  /** No more local candidates will come. */
  gathered(): void;
  state(state: RtcPeerState): void;
  /** Media can be sent from now on. */
  mediaOpen(): void;
  /** A compound RTCP packet from the viewer. */
  rtcp(packet: Uint8Array): void;
  channel(channel: RtcChannel): void;
  /** A handler above threw: a defect of ours, reported instead of ending the process. */
  handlerFailed(error: unknown): void;
}

export type RtcPeerState = 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';

/** One data channel that the viewer opened. */
export interface RtcChannel {
  readonly label: string;
  /** Sends text; false when the channel is closed or its buffer holds too much. */
  send(text: string): boolean;
  /** Text, or undefined for a binary message. */
  onMessage(handler: (text: string | undefined) => void): void;
  close(): void;
}

export interface IceServer {
  readonly hostname: string;
  readonly port: number;
  /** A relay has both; a STUN server neither. */
  readonly username?: string;
  readonly password?: string;
}

export interface RtcPeerFactory {
  create(options: {
    readonly name: string;
    readonly iceServers: readonly IceServer[];
    readonly events: RtcPeerEvents;
  }): RtcPeer;
}
