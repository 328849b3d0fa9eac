import type { AccessUnit } from './access-unit.ts';
import { MAX_PACKET_BYTES, RTP_HEADER_BYTES, writeFixedHeader } from './rtp-packet.ts';

const MAX_PAYLOAD = MAX_PACKET_BYTES - RTP_HEADER_BYTES;
const STAP_A = 24;
const FU_A = 28;

/** Large enough that allocating is rare, small enough that a packet kept for retransmission does not keep much. */
const SLAB_BYTES = 256 * 1024;

/** The packets of an access unit, made on first use and shared by every viewer of that unit. */
export class RtpPacketizer {
  private readonly made = new WeakMap<AccessUnit, readonly Buffer[]>();
  private slab = Buffer.alloc(0);

  packetsOf(unit: AccessUnit): readonly Buffer[] {
    let packets = this.made.get(unit);
    if (packets === undefined) {
      packets = packetize(unit.nals, (bytes) => this.allocate(bytes));
      this.made.set(unit, packets);
    }
    return packets;
  }

  /** Pieces of larger allocations: each allocation is a burden for the garbage collector, whatever its size. */
  private allocate(bytes: number): Buffer {
    if (bytes > this.slab.length) this.slab = Buffer.allocUnsafeSlow(Math.max(bytes, SLAB_BYTES));
    const piece = this.slab.subarray(0, bytes);
    this.slab = this.slab.subarray(bytes);
    return piece;
  }
}

/**
 * H.264 payload format, packetization mode 1 (RFC 6184): small NAL units share a STAP-A, large ones are cut into
 * FU-A fragments of nearly equal length, the marker closes the access unit. All packets lie in one allocation;
 * see `rtp-packet.ts` for the header, of which the viewer's fields are left blank.
 */
export function packetize(nals: readonly Uint8Array[], allocate: (bytes: number) => Buffer = Buffer.alloc): Buffer[] {
  const plan = planPackets(nals);
  let total = 0;
  for (const { payloadBytes } of plan) total += RTP_HEADER_BYTES + payloadBytes;
  const memory = allocate(total);
  const packets: Buffer[] = [];
  let offset = 0;
  for (let index = 0; index < plan.length; index++) {
    const { payloadBytes, write } = plan[index]!;
    const packet = memory.subarray(offset, offset + RTP_HEADER_BYTES + payloadBytes);
    writeFixedHeader(packet, index === plan.length - 1);
    write(packet);
    packets.push(packet);
    offset += packet.length;
  }
  return packets;
}

interface PlannedPacket {
  readonly payloadBytes: number;
  /** Writes the payload behind the header. */
  write(packet: Buffer): void;
}

function planPackets(nals: readonly Uint8Array[]): PlannedPacket[] {
  const plan: PlannedPacket[] = [];
  for (let first = 0; first < nals.length; ) {
    const nal = nals[first]!;
    if (nal.length > MAX_PAYLOAD) {
      planFragments(nal, plan);
      first++;
      continue;
    }
    let next = first;
    let bytes = 1;
    while (next < nals.length && bytes + 2 + nals[next]!.length <= MAX_PAYLOAD) bytes += 2 + nals[next++]!.length;
    if (next - first > 1) {
      plan.push(aggregate(nals.slice(first, next), bytes));
      first = next;
    } else {
      plan.push({ payloadBytes: nal.length, write: (packet) => packet.set(nal, RTP_HEADER_BYTES) });
      first++;
    }
  }
  return plan;
}

/** FU-A, RFC 6184 section 5.8. */
function planFragments(nal: Uint8Array, plan: PlannedPacket[]): void {
  const header = nal[0]!;
  const body = nal.length - 1;
  const count = Math.ceil(body / (MAX_PAYLOAD - 2));
  const size = Math.ceil(body / count);
  for (let start = 1; start < nal.length; start += size) {
    const end = Math.min(start + size, nal.length);
    const startBit = start === 1 ? 0x80 : 0;
    const endBit = end === nal.length ? 0x40 : 0;
    plan.push({
      payloadBytes: 2 + end - start,
      write(packet) {
        packet[RTP_HEADER_BYTES] = (header & 0xe0) | FU_A;
        packet[RTP_HEADER_BYTES + 1] = startBit | endBit | (header & 0x1f);
        packet.set(nal.subarray(start, end), RTP_HEADER_BYTES + 2);
      },
    });
  }
}

/** STAP-A, RFC 6184 section 5.7.1. */
function aggregate(nals: readonly Uint8Array[], payloadBytes: number): PlannedPacket {
  return {
    payloadBytes,
    write(packet) {
      let reference = 0;
      let offset = RTP_HEADER_BYTES + 1;
      for (const nal of nals) {
        reference = Math.max(reference, nal[0]! & 0x60);
        packet.writeUInt16BE(nal.length, offset);
        packet.set(nal, offset + 2);
        offset += 2 + nal.length;
      }
      packet[RTP_HEADER_BYTES] = reference | STAP_A;
    },
  };
}
