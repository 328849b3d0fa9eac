/** The RTCP a browser sends while it watches: receiver reports and transport-wide congestion control feedback. */

const OUR_SSRC = 1;

/** Receiver reports (RFC 3550 section 6.4.2) for one sender. */
export class ReceptionReport {
  /** Sequence numbers never seen, RTX and reordering ignored. */
  lost = 0;
  #ssrc = 0;
  #highest = -1;
  #lastReport = 0;
  #lastReportAt = 0;

  packet(rtp: Buffer): void {
    const sequence = rtp.readUInt16BE(2);
    if (this.#highest < 0 || rtp.readUInt32BE(8) !== this.#ssrc) {
      this.#ssrc = rtp.readUInt32BE(8);
      this.#highest = sequence;
      return;
    }
    const ahead = (sequence - this.#highest) & 0xffff;
    if (ahead === 0 || ahead > 0x8000) return;
    this.lost += ahead - 1;
    this.#highest += ahead;
  }

  senderReport(rtcp: Buffer): void {
    if (rtcp[1] !== 200 || rtcp.length < 28) return;
    this.#lastReport = rtcp.readUInt32BE(10);
    this.#lastReportAt = performance.now();
  }

  /** The next report, or undefined before the first packet. */
  next(): Buffer | undefined {
    if (this.#highest < 0) return undefined;
    const report = Buffer.alloc(32);
    report.writeUInt32BE(0x81c90007, 0);
    report.writeUInt32BE(OUR_SSRC, 4);
    report.writeUInt32BE(this.#ssrc, 8);
    report.writeUInt32BE(this.#highest >>> 0, 16);
    if (this.#lastReport) {
      report.writeUInt32BE(this.#lastReport, 24);
      report.writeUInt32BE(Math.round((performance.now() - this.#lastReportAt) * 65.536), 28);
    }
    return report;
  }
}

/** Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), all packets received, in two-bit status chunks. */
export class TransportFeedback {
  readonly #extension: number;
  #arrived = new Map<number, number>();
  #base = -1;
  #count = 0;
  #mediaSsrc = 0;

  constructor(extension: number) {
    this.#extension = extension;
  }

  packet(rtp: Buffer): void {
    const sequence = transportSequence(rtp, this.#extension);
    if (sequence === undefined) return;
    this.#mediaSsrc = rtp.readUInt32BE(8);
    if (this.#base < 0) this.#base = sequence;
    this.#arrived.set((sequence - this.#base) & 0xffff, performance.now());
  }

  /** Feedback on what came since the last, or undefined if nothing did. */
  next(): Buffer | undefined {
    if (this.#arrived.size === 0) return undefined;
    const length = Math.max(...[...this.#arrived.keys()].filter((offset) => offset < 0x8000)) + 1;
    const reference = Math.floor(performance.now() / 64) - 1;
    const statuses: number[] = [];
    const deltas: number[] = [];
    let clock = reference * 64;
    for (let offset = 0; offset < length; offset++) {
      const at = this.#arrived.get(offset);
      statuses.push(at === undefined ? 0 : 2);
      if (at === undefined) continue;
      const ticks = Math.round((at - clock) * 4);
      deltas.push(ticks);
      clock += ticks / 4;
    }
    const chunks = Math.ceil(length / 7);
    const packet = Buffer.alloc(Math.ceil((20 + 2 * chunks + 2 * deltas.length) / 4) * 4);
    packet.writeUInt16BE(0x8fcd, 0);
    packet.writeUInt16BE(packet.length / 4 - 1, 2);
    packet.writeUInt32BE(OUR_SSRC, 4);
    packet.writeUInt32BE(this.#mediaSsrc, 8);
    packet.writeUInt16BE(this.#base & 0xffff, 12);
    packet.writeUInt16BE(length, 14);
    packet.writeUIntBE(reference & 0xffffff, 16, 3);
    packet[19] = this.#count++ & 0xff;
    let at = 20;
    for (let chunk = 0; chunk < chunks; chunk++, at += 2) {
      let word = 0xc000;
      for (let i = 0; i < 7; i++) word |= (statuses[chunk * 7 + i] ?? 0) << (12 - 2 * i);
      packet.writeUInt16BE(word, at);
    }
    for (const delta of deltas) at = packet.writeInt16BE(Math.max(-32768, Math.min(32767, delta)), at);
    this.#base = (this.#base + length) & 0xffff;
    this.#arrived.clear();
    return packet;
  }
}

/** The value of one one-byte header extension (RFC 8285 section 4.2) as a 16-bit number. */
function transportSequence(rtp: Buffer, id: number): number | undefined {
  if (!(rtp[0]! & 0x10)) return undefined;
  let at = 12 + 4 * (rtp[0]! & 0x0f);
  if (rtp.readUInt16BE(at) !== 0xbede) return undefined;
  const end = at + 4 + 4 * rtp.readUInt16BE(at + 2);
  for (at += 4; at < end; ) {
    const head = rtp[at]!;
    if (head === 0) {
      at++;
      continue;
    }
    if (head >> 4 === id) return rtp.readUInt16BE(at + 1);
    at += 2 + (head & 0x0f);
  }
  return undefined;
}
