import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Child } from './child.ts';

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const ETHERNET_HEADER = 14;

/** When the first packet of one frame left its sender. */
export interface SentFrame {
  readonly ssrc: number;
  readonly rtpTimestamp: number;
  /** Wall clock, ms, by the kernel. */
  readonly at: number;
}

/**
 * Loopback RTP by tcpdump (root only). SRTP leaves the RTP header readable, so the time a frame was sent is known for any sender
 * without asking it.
 */
export class Capture {
  readonly #file: string;
  readonly #child: Child;

  private constructor(file: string, child: Child) {
    this.#file = file;
    this.#child = child;
  }

  /** Captures UDP on lo into `file`, but nothing to or from `exceptPort` (a feeder's RTP). */
  static async start(file: string, exceptPort: number): Promise<Capture> {
    const filter = exceptPort ? `udp and not port ${exceptPort}` : 'udp';
    const child = new Child('tcpdump', [
      '-i',
      'lo',
      '-n',
      '-U',
      '-Z',
      'root',
      '-s',
      '96',
      '-B',
      '8192',
      '-w',
      file,
      filter,
    ]);
    await Promise.race([once(child.process.stderr!, 'data'), child.line(/^$/, 5000)]); // "listening on lo"
    return new Capture(file, child);
  }

  /** Ends the capture; one entry for every frame of every RTP stream. */
  async stop(): Promise<SentFrame[]> {
    await this.#child.stop('SIGINT');
    return sentFrames(readFileSync(this.#file));
  }
}

function sentFrames(pcap: Buffer): SentFrame[] {
  const first = new Map<string, SentFrame>();
  for (let at = FILE_HEADER; at + RECORD_HEADER <= pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8);
    const time = pcap.readUInt32LE(at) * 1000 + pcap.readUInt32LE(at + 4) / 1000;
    const rtp = udpPayload(pcap.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length));
    at += RECORD_HEADER + length;
    if (!rtp || rtp.length < 12 || rtp[0]! >> 6 !== 2 || (rtp[1]! >= 192 && rtp[1]! <= 223)) continue;
    const frame = { rtpTimestamp: rtp.readUInt32BE(4), ssrc: rtp.readUInt32BE(8), at: time };
    const key = `${frame.ssrc}/${frame.rtpTimestamp}`;
    if (!first.has(key)) first.set(key, frame);
  }
  return [...first.values()];
}

function udpPayload(packet: Buffer): Buffer | undefined {
  if (packet.length < ETHERNET_HEADER + 28) return undefined;
  const etherType = packet.readUInt16BE(12);
  if (etherType === 0x0800) return packet.subarray(ETHERNET_HEADER + 4 * (packet[ETHERNET_HEADER]! & 0x0f) + 8);
  return etherType === 0x86dd ? packet.subarray(ETHERNET_HEADER + 40 + 8) : undefined;
}
