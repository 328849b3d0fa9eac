import { type Packet, parser } from 'mqtt-packet';

type Parser = ReturnType<typeof parser>;

const CONNECT = 1;

/**
 * Parses whole MQTT 3.1.1 packets, of all connections with one parser of mqtt-packet: nothing of one packet is left
 * in it when the next one comes, but for the version that a CONNECT names, which therefore has a parser of its own.
 */
export class PacketParser {
  private shared: Parser | undefined;

  /** Throws on a malformed packet. */
  parse(raw: Buffer): Packet {
    const isConnect = raw[0]! >> 4 === CONNECT;
    const own = (isConnect ? undefined : this.shared) ?? parser({ protocolVersion: 4 });
    // Whatever goes wrong, the next packet does not meet what is left of it.
    this.shared = undefined;
    const outcome: { packet?: Packet; error?: Error } = {};
    const take = (packet: Packet) => {
      outcome.packet = packet;
    };
    const fail = (error: Error) => {
      outcome.error = error;
    };
    own.on('packet', take).on('error', fail);
    const left = own.parse(raw);
    own.off('packet', take).off('error', fail);
    if (outcome.error) throw outcome.error;
    if (!outcome.packet || left > 0) throw new Error('malformed MQTT packet');
    if (!isConnect) this.shared = own;
    return outcome.packet;
  }
}
