import { Duplex } from 'node:stream';

export interface GateLimits {
  /** Longest MQTT packet, bytes. */
  readonly maxPacket: number;
  /** MQTT packets per second a peer may send on average … */
  readonly packetsPerSecond: number;
  /** … and how many at once. */
  readonly burst: number;
  /** Bytes waiting for a peer that does not read, before the broker feels it. */
  readonly maxUnread: number;
}

/**
 * A connection as the broker may see it. The broker's parser collects a packet however long it claims to be, and
 * takes packets as fast as they come; this reads the lengths first (MQTT 3.1.1 section 2.2.3). A packet over the
 * limit ends the connection; too many packets delay reading from it, which TCP turns into patience at the sender.
 */
export class PacketGate extends Duplex {
  private readonly source: Duplex;
  private readonly limits: GateLimits;
  private tokens: number;
  private refilledAt = performance.now();
  private debt: NodeJS.Timeout | undefined;
  /** Bytes of the current packet's body still to come; undefined while its header is read. */
  private body: number | undefined;
  private headerBytes = 0;
  private length = 0;

  constructor(source: Duplex, limits: GateLimits) {
    super({ writableHighWaterMark: limits.maxUnread });
    this.source = source;
    this.limits = limits;
    this.tokens = limits.burst;
    source.on('data', (chunk: Buffer) => this.arrive(chunk));
    source.on('end', () => this.push(null));
    source.on('error', (error) => this.destroy(error));
    source.on('close', () => this.destroy());
  }

  override _read(): void {
    if (!this.debt) this.source.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.source.write(chunk, encoding, done);
  }

  /** The broker writes a packet in many small pieces: they leave as one segment, or one WebSocket message. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.source.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.source.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.debt);
    this.source.destroy();
    done(error);
  }

  private arrive(chunk: Buffer): void {
    let packets: number;
    try {
      packets = this.countPackets(chunk);
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    if (!this.push(chunk)) this.source.pause();
    this.charge(packets);
  }

  /** How many packets begin in this chunk. Throws on one that is too long. */
  private countPackets(chunk: Buffer): number {
    let packets = 0;
    for (let at = 0; at < chunk.length; ) {
      if (this.body !== undefined) {
        const skipped = Math.min(this.body, chunk.length - at);
        at += skipped;
        this.body -= skipped;
        if (this.body === 0) this.body = undefined;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.headerBytes++ === 0) {
        this.length = 0;
        continue;
      }
      if (this.headerBytes > 5) throw new Error('malformed MQTT packet length');
      this.length += (byte & 0x7f) * 128 ** (this.headerBytes - 2);
      if (byte & 0x80) continue;
      if (this.length > this.limits.maxPacket) {
        throw new Error(`MQTT packet of ${this.length} bytes, at most ${this.limits.maxPacket} are allowed`);
      }
      packets++;
      this.headerBytes = 0;
      this.body = this.length || undefined;
    }
    return packets;
  }

  /** Token bucket that may go into debt: what has arrived is passed on, what follows waits until it is paid. */
  private charge(packets: number): void {
    const { packetsPerSecond, burst } = this.limits;
    const now = performance.now();
    this.tokens = Math.min(burst, this.tokens + ((now - this.refilledAt) / 1000) * packetsPerSecond) - packets;
    this.refilledAt = now;
    if (this.tokens >= 0 || this.debt || this.destroyed) return;
    this.source.pause();
    this.debt = setTimeout(
      () => {
        this.debt = undefined;
        // With more than enough to read already, the next _read() resumes.
        if (this.readableLength < this.readableHighWaterMark) this.source.resume();
      },
      (-this.tokens / packetsPerSecond) * 1000,
    );
  }
}
