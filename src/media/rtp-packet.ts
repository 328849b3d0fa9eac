/**
 * The one RTP layout that every viewer gets (RFC 3550, one-byte header extensions RFC 8285), so that a picture is
 * packetized once and only the fields below are patched for each viewer before the packet is sent:
 *
 *     0  V=2 X=1          4  timestamp       12  0xBEDE, length 2     19  playout-delay id, 3 bytes
 *     1  M, payload type  8  SSRC            16  transport-cc id, 2   23  padding
 *     2  sequence
 *
 * A viewer that negotiated an extension away gets padding (zeros) in its place.
 */
export const RTP_HEADER_BYTES = 24;

/** Longest packet, bytes: with the SRTP tag, UDP and IPv6 it stays below 1280, the smallest IPv6 MTU. */
export const MAX_PACKET_BYTES = 1200;

/** Transport-wide sequence numbers, draft-holmer-rmcat-transport-wide-cc-extensions-01. */
export const TRANSPORT_CC_URI = 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
/** Playout delay (min, max), both 0 here: show each picture as soon as it is decoded. */
export const PLAYOUT_DELAY_URI = 'http://www.webrtc.org/experiments/rtp-hdrext/playout-delay';

/** What differs from viewer to viewer; extension ids are 1 to 14, 0 where not negotiated. */
export interface RtpIdentity {
  readonly ssrc: number;
  readonly payloadType: number;
  readonly transportCcId: number;
  readonly playoutDelayId: number;
}

/** Writes the bytes that are the same for all packets. */
export function writeFixedHeader(packet: Uint8Array, marker: boolean): void {
  packet[0] = 0x90;
  packet[1] = marker ? 0x80 : 0;
  packet[12] = 0xbe;
  packet[13] = 0xde;
  packet[14] = 0;
  packet[15] = 2;
  packet.fill(0, 16, RTP_HEADER_BYTES);
}

/** Makes a shared packet this viewer's, in place. It must be copied by whoever keeps it past this turn. */
export function patchHeader(
  packet: Uint8Array,
  identity: RtpIdentity,
  sequence: number,
  timestamp: number,
  transportSequence: number,
): void {
  const { ssrc, transportCcId, playoutDelayId } = identity;
  packet[1] = (packet[1]! & 0x80) | identity.payloadType;
  packet[2] = sequence >> 8;
  packet[3] = sequence;
  packet[4] = timestamp >>> 24;
  packet[5] = timestamp >>> 16;
  packet[6] = timestamp >>> 8;
  packet[7] = timestamp;
  packet[8] = ssrc >>> 24;
  packet[9] = ssrc >>> 16;
  packet[10] = ssrc >>> 8;
  packet[11] = ssrc;
  if (transportCcId === 0) {
    packet[16] = 0;
    packet[17] = 0;
    packet[18] = 0;
  } else {
    packet[16] = (transportCcId << 4) | 1;
    packet[17] = transportSequence >> 8;
    packet[18] = transportSequence;
  }
  packet[19] = playoutDelayId === 0 ? 0 : (playoutDelayId << 4) | 2;
}
