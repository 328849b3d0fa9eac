/** One RTP packet, read the way a receiver does (RFC 3550, RFC 8285). */
export interface Rtp {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly extensions: ReadonlyMap<number, Buffer>;
  readonly payload: Buffer;
}

export function parseRtp(packet: Buffer): Rtp {
  if (packet[0]! >> 6 !== 2) throw new Error('not RTP version 2');
  let offset = 12 + (packet[0]! & 15) * 4;
  const extensions = new Map<number, Buffer>();
  if (packet[0]! & 0x10) {
    const end = offset + 4 + packet.readUInt16BE(offset + 2) * 4;
    if (packet.readUInt16BE(offset) !== 0xbede) throw new Error('not a one-byte header extension');
    for (offset += 4; offset < end; ) {
      const byte = packet[offset++]!;
      if (byte === 0) continue;
      const length = (byte & 15) + 1;
      extensions.set(byte >> 4, Buffer.from(packet.subarray(offset, offset + length)));
      offset += length;
    }
  }
  return {
    marker: (packet[1]! & 0x80) !== 0,
    payloadType: packet[1]! & 127,
    sequence: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    extensions,
    payload: Buffer.from(packet.subarray(offset)),
  };
}

/** Puts the payloads of one access unit together again (RFC 6184, packetization mode 1). */
export function nalsOf(packets: readonly Rtp[]): Buffer[] {
  const nals: Buffer[] = [];
  let fragments: Buffer[] = [];
  for (const { payload } of packets) {
    const type = payload[0]! & 31;
    if (type === 24) {
      for (let at = 1; at < payload.length; ) {
        const length = payload.readUInt16BE(at);
        nals.push(payload.subarray(at + 2, at + 2 + length));
        at += 2 + length;
      }
    } else if (type === 28) {
      if (payload[1]! & 0x80) fragments = [Buffer.of((payload[0]! & 0xe0) | (payload[1]! & 31))];
      fragments.push(payload.subarray(2));
      if (payload[1]! & 0x40) nals.push(Buffer.concat(fragments));
    } else nals.push(payload);
  }
  return nals;
}
