/**
 * RTCP, as far as a sender of one video stream needs it (RFC 3550, RFC 4585, RFC 5104). Feedback comes from outside:
 * a report that does not parse ends the reading of its compound packet, what stood before it counts.
 */
export type Feedback =
  | { readonly kind: 'nack'; readonly ssrc: number; readonly sequences: readonly number[] }
  | { readonly kind: 'key-frame'; readonly ssrc: number }
  | {
      readonly kind: 'report';
      readonly ssrc: number;
      readonly fractionLost: number;
      readonly rttMs: number | undefined;
    };

const SENDER_REPORT = 200;
const RECEIVER_REPORT = 201;
const TRANSPORT_FEEDBACK = 205;
const PAYLOAD_FEEDBACK = 206;

/** Longest list of sequence numbers taken from one NACK; more than this lost at once needs a key frame instead. */
const MAX_NACKED = 512;

/** @param ntpNow middle 32 bits of the NTP time at which the packet came (see `compactNtp`) */
export function parseRtcp(packet: Uint8Array, ntpNow: number): Feedback[] {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const feedback: Feedback[] = [];
  let start = 0;
  while (start + 8 <= view.byteLength && view.getUint8(start) >> 6 === 2) {
    const format = view.getUint8(start) & 31;
    const end = start + (view.getUint16(start + 2) + 1) * 4;
    if (end > view.byteLength) break;
    switch (view.getUint8(start + 1)) {
      case SENDER_REPORT:
        readReports(view, start + 28, end, format, ntpNow, feedback);
        break;
      case RECEIVER_REPORT:
        readReports(view, start + 8, end, format, ntpNow, feedback);
        break;
      case TRANSPORT_FEEDBACK:
        if (format === 1 && end - start >= 16) readNack(view, start, end, feedback);
        break;
      case PAYLOAD_FEEDBACK:
        if (format === 1 && end - start >= 12) feedback.push({ kind: 'key-frame', ssrc: view.getUint32(start + 8) });
        if (format === 4 && end - start >= 20) feedback.push({ kind: 'key-frame', ssrc: view.getUint32(start + 12) });
        break;
    }
    start = end;
  }
  return feedback;
}

function readReports(
  view: DataView,
  first: number,
  end: number,
  count: number,
  ntpNow: number,
  feedback: Feedback[],
): void {
  for (let at = first, index = 0; index < count && at + 24 <= end; at += 24, index++) {
    const lastReport = view.getUint32(at + 16);
    const delay = view.getUint32(at + 20);
    // RFC 3550 section 6.4.1: both in 1/65536 s, modulo 2^32. A clock step can make it negative: then nothing is known.
    const roundTrip = (ntpNow - lastReport - delay) | 0;
    feedback.push({
      kind: 'report',
      ssrc: view.getUint32(at),
      fractionLost: view.getUint8(at + 4) / 256,
      rttMs: lastReport === 0 || roundTrip < 0 ? undefined : (roundTrip * 1000) / 65536,
    });
  }
}

function readNack(view: DataView, start: number, end: number, feedback: Feedback[]): void {
  const sequences: number[] = [];
  for (let at = start + 12; at + 4 <= end && sequences.length < MAX_NACKED; at += 4) {
    const first = view.getUint16(at);
    const bits = view.getUint16(at + 2);
    sequences.push(first);
    for (let bit = 0; bit < 16; bit++) if ((bits >> bit) & 1) sequences.push((first + bit + 1) & 0xffff);
  }
  feedback.push({ kind: 'nack', ssrc: view.getUint32(start + 8), sequences });
}

const NTP_EPOCH_OFFSET_S = 2_208_988_800;

/** Middle 32 bits of an NTP timestamp, for round-trip times. @param epochMs ms since 1970 */
export function compactNtp(epochMs: number): number {
  const seconds = epochMs / 1000 + NTP_EPOCH_OFFSET_S;
  return ((Math.floor(seconds) & 0xffff) * 65536 + Math.floor((seconds % 1) * 65536)) >>> 0;
}

export interface SenderReport {
  readonly ssrc: number;
  /** Wall clock, ms since 1970, at which the stream's clock showed `rtpTimestamp`. */
  readonly epochMs: number;
  readonly rtpTimestamp: number;
  readonly packets: number;
  readonly octets: number;
}

const CNAME = Buffer.from('cam');

/** Sender report with the SDES CNAME that a compound packet must hold (RFC 3550 sections 6.4.1 and 6.5). */
export function buildSenderReport(report: SenderReport): Buffer {
  const sdesBytes = Math.ceil((4 + 4 + 2 + CNAME.length + 1) / 4) * 4;
  const packet = Buffer.alloc(28 + sdesBytes);
  packet[0] = 0x80;
  packet[1] = SENDER_REPORT;
  packet.writeUInt16BE(6, 2);
  packet.writeUInt32BE(report.ssrc, 4);
  const seconds = report.epochMs / 1000 + NTP_EPOCH_OFFSET_S;
  packet.writeUInt32BE(Math.floor(seconds) >>> 0, 8);
  packet.writeUInt32BE(Math.floor((seconds % 1) * 2 ** 32), 12);
  packet.writeUInt32BE(report.rtpTimestamp, 16);
  packet.writeUInt32BE(report.packets >>> 0, 20);
  packet.writeUInt32BE(report.octets >>> 0, 24);
  packet[28] = 0x81;
  packet[29] = 202;
  packet.writeUInt16BE(sdesBytes / 4 - 1, 30);
  packet.writeUInt32BE(report.ssrc, 32);
  packet[36] = 1;
  packet[37] = CNAME.length;
  CNAME.copy(packet, 38);
  return packet;
}
