/** What a captured packet turned out to be; `other` is what must not be there. */
export type PacketKind = 'TLS' | 'DTLS' | 'SRTP/SRTCP' | 'STUN' | 'TURN channel' | 'DNS' | 'other';

export interface Classified {
  readonly counts: ReadonlyMap<PacketKind, number>;
  /** The first bytes of what is none of those, with its ports. */
  readonly others: readonly string[];
}

interface Stream {
  readonly label: string;
  /** Sequence number of the next byte that is due. */
  next: number | undefined;
  bytes: Buffer;
  readonly early: Map<number, Buffer>;
  broken: boolean;
}

/**
 * Reads a capture (pcap, Ethernet) and says of each packet with content what it is: UDP by its first byte (RFC 7983),
 * TCP as a stream that must be TLS records from its first byte to its last.
 */
export function classify(pcap: Buffer): Classified {
  const counts = new Map<PacketKind, number>();
  const others: string[] = [];
  const streams = new Map<string, Stream>();
  const count = (kind: PacketKind, about: string, bytes: Buffer) => {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    if (kind === 'other') others.push(`${about}: ${bytes.subarray(0, 24).toString('hex')}`);
  };
  for (const frame of framesOf(pcap)) {
    const packet = ipPacket(frame);
    if (!packet) continue;
    const { protocol, from, to, bytes } = packet;
    if (bytes.length < 8) continue;
    const [source, target] = [bytes.readUInt16BE(0), bytes.readUInt16BE(2)];
    const about = `${protocol === 17 ? 'UDP' : 'TCP'} ${source} > ${target}`;
    if (protocol === 17) {
      const payload = bytes.subarray(8);
      count(datagramKind(payload, source, target), about, payload);
    } else if (protocol === 6) {
      const payload = bytes.subarray((bytes[12]! >> 4) * 4);
      const key = `${from} ${source} ${to} ${target}`;
      const isStart = (bytes[13]! & 2) !== 0;
      const sequence = bytes.readUInt32BE(4);
      if (isStart)
        streams.set(key, { label: about, next: (sequence + 1) >>> 0, bytes: NOTHING, early: new Map(), broken: false });
      const stream = streams.get(key);
      if (payload.length > 0 && stream) take(stream, sequence, payload, count);
      else if (payload.length > 0) count('other', `${about} (its beginning was not captured)`, payload);
    }
  }
  return { counts, others };
}

const NOTHING = Buffer.alloc(0);

function* framesOf(pcap: Buffer): Generator<Buffer> {
  const little = pcap.readUInt32LE(0) === 0xa1b2c3d4;
  if (!little) throw new Error('not a pcap file of this machine');
  for (let at = 24; at + 16 <= pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8);
    yield pcap.subarray(at + 16, at + 16 + length);
    at += 16 + length;
  }
}

function ipPacket(frame: Buffer): { protocol: number; from: string; to: string; bytes: Buffer } | undefined {
  const type = frame.readUInt16BE(12);
  const ip = frame.subarray(14);
  if (type === 0x0800) {
    const [from, to] = [ip.subarray(12, 16).toString('hex'), ip.subarray(16, 20).toString('hex')];
    return { protocol: ip[9]!, from, to, bytes: ip.subarray((ip[0]! & 15) * 4, ip.readUInt16BE(2)) };
  }
  if (type === 0x86dd) {
    const [from, to] = [ip.subarray(8, 24).toString('hex'), ip.subarray(24, 40).toString('hex')];
    return { protocol: ip[6]!, from, to, bytes: ip.subarray(40, 40 + ip.readUInt16BE(4)) };
  }
  return undefined;
}

function datagramKind(payload: Buffer, source: number, target: number): PacketKind {
  if ([53, 5353].some((port) => port === source || port === target)) return 'DNS';
  const first = payload[0] ?? 255;
  if (first <= 3) return payload.readUInt32BE(4) === 0x2112a442 ? 'STUN' : 'other';
  if (first >= 20 && first <= 63) return payload[1] === 0xfe ? 'DTLS' : 'other';
  if (first >= 64 && first <= 79) return 'TURN channel';
  return first >= 128 && first <= 191 ? 'SRTP/SRTCP' : 'other';
}

function take(
  stream: Stream,
  sequence: number,
  payload: Buffer,
  count: (kind: PacketKind, about: string, bytes: Buffer) => void,
): void {
  const ahead = (sequence - stream.next!) | 0;
  if (ahead > 0) {
    stream.early.set(sequence, payload);
    return;
  }
  const fresh = payload.subarray(-ahead);
  if (fresh.length === 0) return;
  stream.next = (stream.next! + fresh.length) >>> 0;
  stream.bytes = Buffer.concat([stream.bytes, fresh]);
  while (!stream.broken && stream.bytes.length >= 5) {
    const [type, major] = stream.bytes;
    if (type! < 20 || type! > 23 || major !== 3) {
      stream.broken = true;
      count('other', stream.label, stream.bytes);
      break;
    }
    const end = 5 + stream.bytes.readUInt16BE(3);
    if (stream.bytes.length < end) break;
    count('TLS', stream.label, stream.bytes);
    stream.bytes = stream.bytes.subarray(end);
  }
  const next = stream.early.get(stream.next!);
  if (next) {
    stream.early.delete(stream.next!);
    take(stream, stream.next!, next, count);
  }
}
