import { type Clock, monotonicUs } from '#lib/clock.ts';
import type { AccessUnit } from './access-unit.ts';
import { Pacer } from './pacer.ts';
import { RetransmitBudget } from './retransmit-budget.ts';
import { buildSenderReport, compactNtp, parseRtcp } from './rtcp.ts';
import { patchHeader, type RtpIdentity } from './rtp-packet.ts';

export interface RtpStreamOptions {
  readonly identity: RtpIdentity;
  readonly clock: Clock;
  /** First sequence number and timestamp; random (RFC 3550 section 5.1). */
  readonly firstSequence: number;
  readonly firstTimestamp: number;
  /** Hands a packet to the network, which copies it before it returns; false when it was not taken. */
  send(packet: Buffer): boolean;
  /** The viewer lost a picture that retransmission cannot bring back. */
  onKeyFrameRequest(): void;
  /** Everything that waited for the pacer has left. */
  onDrained(): void;
}

export interface RtpStreamStats {
  packets: number;
  octets: number;
  retransmitted: number;
  refusedRetransmissions: number;
  fractionLost: number;
  rttMs: number | undefined;
}

/** 1,024 packets are 2 s of 5 Mbit/s; a power of two so that the slot is a mask away. */
const HISTORY = 1024;
const SENDER_REPORT_MS = 1000;
/** Share of the media rate that retransmissions may take, and how much they may take at once. */
const RETRANSMIT = { share: 0.25, burstBytes: 48 * 1024 };
const MAX_COPIES = 3;
/** Before the round trip is known. */
const ASSUMED_RTT_MS = 40;
/**
 * On a path that loses nothing one picture in this many carries transport-wide numbers. A viewer answers numbered packets
 * 16 times a second, and each answer wakes four threads here: a third of what a viewer costs.
 */
const NUMBERED_EVERY = 15;
/** 40 kB at once, then 20 Mbit/s: an IDR of a 2 Mbit/s stream leaves within 20 ms. */
const PACING = { burstBytes: 40 * 1024, bytesPerSecond: 2_500_000 };

/**
 * One viewer's RTP stream over shared packets: numbers them, paces them, remembers them for retransmission, and
 * reads the viewer's RTCP.
 */
export class RtpStream {
  readonly identity: RtpIdentity;
  readonly stats: RtpStreamStats = {
    packets: 0,
    octets: 0,
    retransmitted: 0,
    refusedRetransmissions: 0,
    fractionLost: 0,
    rttMs: undefined,
  };
  private readonly options: RtpStreamOptions;
  private readonly pacer: Pacer;
  private readonly budget = new RetransmitBudget(RETRANSMIT);
  private readonly history: (Buffer | undefined)[] = new Array(HISTORY).fill(undefined);
  private readonly historyTimestamp = new Uint32Array(HISTORY);
  private readonly historySentAt = new Float64Array(HISTORY);
  private readonly historyCopies = new Uint8Array(HISTORY);
  private readonly unnumbered: RtpIdentity;
  private pictures = 0;
  private sequence: number;
  private transportSequence = 0;
  private lastTimestamp = 0;
  private reportedAt = Number.NEGATIVE_INFINITY;

  constructor(options: RtpStreamOptions) {
    this.options = options;
    this.identity = options.identity;
    this.unnumbered = { ...options.identity, transportCcId: 0 };
    this.sequence = options.firstSequence & 0xffff;
    this.pacer = new Pacer({ ...PACING, clock: options.clock, onDrained: options.onDrained });
  }

  /** True while packets wait for the pacer: the reader keeps its pictures meanwhile. */
  get busy(): boolean {
    return this.pacer.backlog > 0;
  }

  /** The RTP timestamp (90 kHz) of a moment on CLOCK_MONOTONIC. */
  timestampOf(timestampUs: number): number {
    return (this.options.firstTimestamp + Math.floor(timestampUs * 0.09)) >>> 0;
  }

  /** Sends one access unit in the packets that all viewers share. */
  sendUnit(unit: AccessUnit, packets: readonly Buffer[]): void {
    const timestamp = this.nextTimestamp(unit);
    const numbered = this.stats.fractionLost > 0 || this.pictures++ % NUMBERED_EVERY === 0;
    const identity = numbered ? this.identity : this.unnumbered;
    const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
    this.pacer.refill();
    if (this.pacer.take(bytes)) this.sendFresh(packets, timestamp, identity);
    else {
      for (const packet of packets) {
        this.pacer.push(packet.length, () => this.sendFresh([packet], timestamp, identity));
      }
    }
    const now = this.options.clock.now();
    if (now - this.reportedAt >= SENDER_REPORT_MS) this.sendReport(now);
  }

  /** Takes a compound RTCP packet of unknown content. */
  receive(packet: Uint8Array): void {
    for (const feedback of parseRtcp(packet, compactNtp(Date.now()))) {
      if (feedback.ssrc !== this.identity.ssrc) continue;
      switch (feedback.kind) {
        case 'nack':
          for (const sequence of feedback.sequences) this.sendAgain(sequence);
          break;
        case 'key-frame':
          this.options.onKeyFrameRequest();
          break;
        case 'report':
          this.stats.fractionLost = feedback.fractionLost;
          this.stats.rttMs = feedback.rttMs ?? this.stats.rttMs;
          break;
      }
    }
  }

  /** Forgets what waits for the pacer: the viewer starts again at the next IDR. */
  discard(): void {
    this.pacer.clear();
  }

  /** Pictures that are sent a second time, after a loss, are squeezed in behind what was sent: time never goes back. */
  private nextTimestamp(unit: AccessUnit): number {
    const captured = this.timestampOf(unit.timestampUs);
    const goesBack = this.stats.packets > 0 && ((captured - this.lastTimestamp) | 0) <= 0;
    this.lastTimestamp = goesBack ? (this.lastTimestamp + 1) >>> 0 : captured;
    return this.lastTimestamp;
  }

  /** All are made ready first and leave back to back: then the receiving side wakes once, not for every packet. */
  private sendFresh(packets: readonly Buffer[], timestamp: number, identity: RtpIdentity): void {
    const now = this.options.clock.now();
    for (const packet of packets) {
      const sequence = this.sequence;
      this.sequence = (sequence + 1) & 0xffff;
      this.remember(packet, sequence, timestamp, now);
      this.stats.packets++;
      this.stats.octets += packet.length;
      this.budget.earn(packet.length);
      this.address(packet, identity, sequence, timestamp);
    }
    for (const packet of packets) this.options.send(packet);
  }

  private remember(packet: Buffer, sequence: number, timestamp: number, now: number): void {
    const slot = sequence & (HISTORY - 1);
    this.history[slot] = packet;
    this.historyTimestamp[slot] = timestamp;
    this.historySentAt[slot] = now;
    this.historyCopies[slot] = 0;
  }

  private sendAgain(sequence: number): void {
    const behind = (this.sequence - sequence) & 0xffff;
    if (behind === 0 || behind > HISTORY) return;
    const slot = sequence & (HISTORY - 1);
    const packet = this.history[slot];
    if (packet === undefined) return;
    const now = this.options.clock.now();
    // A copy is under way for at least a round trip: asking again meanwhile brings nothing.
    if (this.historyCopies[slot]! > 0 && now - this.historySentAt[slot]! < (this.stats.rttMs ?? ASSUMED_RTT_MS)) return;
    if (this.historyCopies[slot]! >= MAX_COPIES || !this.budget.spend(packet.length)) {
      this.stats.refusedRetransmissions++;
      return;
    }
    this.historyCopies[slot]!++;
    this.historySentAt[slot] = now;
    this.stats.retransmitted++;
    this.address(packet, this.identity, sequence, this.historyTimestamp[slot]!);
    this.options.send(packet);
  }

  private address(packet: Buffer, identity: RtpIdentity, sequence: number, timestamp: number): void {
    if (identity.transportCcId > 0) this.transportSequence = (this.transportSequence + 1) & 0xffff;
    patchHeader(packet, identity, sequence, timestamp, this.transportSequence);
  }

  private sendReport(now: number): void {
    this.reportedAt = now;
    this.options.send(
      buildSenderReport({
        ssrc: this.identity.ssrc,
        epochMs: Date.now(),
        rtpTimestamp: this.timestampOf(monotonicUs()),
        packets: this.stats.packets,
        octets: this.stats.octets,
      }),
    );
  }
}
