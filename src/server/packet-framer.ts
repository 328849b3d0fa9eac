/** Longest fixed header: the packet's type and four bytes of length (MQTT 3.1.1 section 2.2.3). */
const MAX_HEADER = 5;

/**
 * Cuts a byte stream into MQTT packets, whole ones only. The length is read first: a packet over the limit is
 * refused when it is announced, and one that arrives in a thousand pieces costs no more than its own length.
 */
export class PacketFramer {
  /** The beginning of a packet: its header while its length is unknown, then the room for all of it. */
  private packet: Buffer | undefined;
  private filled = 0;

  /**
   * Takes what has arrived; `each` is called for every whole packet, and stops the cutting by answering false.
   * Answers what is left in that case. Throws on a packet that is too long or malformed.
   */
  take(chunk: Buffer, maxPacket: number, each: (packet: Buffer) => boolean): Buffer | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.packet) {
        at += this.fill(chunk.subarray(at), maxPacket);
        if (!this.packet || this.filled < this.packet.length || lengthOf(this.packet, maxPacket) === undefined)
          continue;
        const packet = this.packet;
        this.packet = undefined;
        if (!each(packet)) return chunk.subarray(at);
        continue;
      }
      const length = lengthOf(chunk.subarray(at, at + MAX_HEADER), maxPacket);
      if (length === undefined || at + length > chunk.length) {
        this.begin(chunk.subarray(at), length);
        return undefined;
      }
      const packet = chunk.subarray(at, at + length);
      at += length;
      if (!each(packet)) return chunk.subarray(at);
    }
    return undefined;
  }

  private begin(start: Buffer, length: number | undefined): void {
    // Not from the pool, and not cleared: pages that are never written cost nothing.
    this.packet = Buffer.allocUnsafeSlow(length ?? start.length);
    this.filled = start.copy(this.packet);
  }

  /** Adds to the packet under way; answers how many bytes it took. */
  private fill(bytes: Buffer, maxPacket: number): number {
    const packet = this.packet!;
    if (this.filled < packet.length) {
      const taken = bytes.copy(packet, this.filled, 0, packet.length - this.filled);
      this.filled += taken;
      return taken;
    }
    // Still the header: one byte more may tell the length.
    const header = Buffer.concat([packet, bytes.subarray(0, 1)]);
    this.begin(header, lengthOf(header, maxPacket));
    return 1;
  }
}

/** The length of a packet with its header, bytes; undefined while too little of it is there to tell. */
function lengthOf(start: Buffer, maxPacket: number): number | undefined {
  let length = 0;
  for (let i = 1; i < Math.min(start.length, MAX_HEADER); i++) {
    const byte = start[i]!;
    length += (byte & 0x7f) * 128 ** (i - 1);
    if (byte & 0x80) continue;
    if (length > maxPacket) throw new Error(`MQTT packet of ${length} bytes, at most ${maxPacket} are allowed`);
    return i + 1 + length;
  }
  if (start.length >= MAX_HEADER) throw new Error('malformed MQTT packet length');
  return undefined;
}
