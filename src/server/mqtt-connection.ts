import type { Duplex } from 'node:stream';
import { generate, type Packet } from 'mqtt-packet';
import { PacketFramer } from './packet-framer.ts';
import type { PacketParser } from './packet-parser.ts';

/** Who hears from a connection. */
export interface ConnectionOwner {
  readonly parser: PacketParser;
  /** How long a packet may be now, bytes. */
  maxPacket(connection: MqttConnection): number;
  /** One packet; `raw` is the same as it came. What it throws ends the connection. */
  packet(connection: MqttConnection, packet: Packet, raw: Buffer): void;
  /** Once, whoever ended it; `error` where it was not the peer's own wish. */
  closed(connection: MqttConnection, error: Error | undefined): void;
}

/** What may wait for a peer that does not read, bytes: far more than any honest one has coming. */
const MAX_UNREAD = 1024 * 1024;

/**
 * One MQTT 3.1.1 connection, TCP or WebSocket: bytes in, packets out, and back. It decides nothing. Small on purpose:
 * a server holds thousands that say nothing for hours, so there is no parser, queue or timer of its own in it.
 */
export class MqttConnection {
  /** When the peer was last heard of, by `performance.now()`. */
  heardAt = performance.now();
  private readonly stream: Duplex;
  private readonly owner: ConnectionOwner;
  private readonly framer = new PacketFramer();
  private error: Error | undefined;
  private holds = 0;
  private rest: Buffer | undefined;
  private debt: NodeJS.Timeout | undefined;

  constructor(stream: Duplex, owner: ConnectionOwner) {
    this.stream = stream;
    this.owner = owner;
  }

  start(): void {
    this.stream.on('data', (chunk: Buffer) => this.arrive(chunk));
    this.stream.on('end', () => this.stream.destroy());
    this.stream.on('error', (error) => {
      this.error ??= error;
    });
    this.stream.once('close', () => {
      clearTimeout(this.debt);
      this.rest = undefined;
      this.owner.closed(this, this.error);
    });
  }

  get closed(): boolean {
    return this.stream.destroyed;
  }

  send(packet: Packet): void {
    this.sendRaw(generate(packet));
  }

  sendRaw(bytes: Buffer): void {
    if (this.stream.destroyed || this.stream.writableEnded) return;
    // At once: whoever waits for one slow reader makes all others wait.
    if (this.stream.writableLength > MAX_UNREAD) this.destroy(new Error('it does not read what it is sent'));
    else this.stream.write(bytes);
  }

  /** Reads nothing more until `release`; what has been read waits. */
  hold(): void {
    if (this.holds++ === 0) this.stream.pause();
  }

  release(): void {
    if (--this.holds > 0 || this.stream.destroyed) return;
    const rest = this.rest;
    this.rest = undefined;
    if (rest) this.arrive(rest);
    if (this.holds === 0) this.stream.resume();
  }

  /** Reads nothing more for a time: TCP turns that into patience at the sender. */
  holdFor(ms: number): void {
    if (this.debt) return;
    this.hold();
    this.debt = setTimeout(() => {
      this.debt = undefined;
      this.release();
    }, ms);
  }

  /** Sends a last packet, and closes. */
  end(packet: Packet, error?: Error): void {
    this.error ??= error;
    this.stream.end(generate(packet), () => this.stream.destroy());
  }

  destroy(error?: Error): void {
    this.error ??= error;
    this.stream.destroy();
  }

  private arrive(chunk: Buffer): void {
    // Its last packet is on the way: what it still says is of no interest.
    if (this.stream.writableEnded || this.stream.destroyed) return;
    this.heardAt = performance.now();
    if (this.holds > 0) {
      this.rest = this.rest ? Buffer.concat([this.rest, chunk]) : chunk;
      return;
    }
    try {
      const rest = this.framer.take(chunk, this.owner.maxPacket(this), (raw) => {
        this.owner.packet(this, this.owner.parser.parse(raw), raw);
        return this.holds === 0 && !this.stream.destroyed;
      });
      if (rest && rest.length > 0) this.rest = rest;
    } catch (error) {
      this.destroy(error as Error);
    }
  }
}
