import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** Where a datagram goes to. */
interface Place {
  readonly address: string;
  readonly port: number;
}

/**
 * A man in the middle of a call's media: everything between viewer and camera passes through it. It can hand the
 * camera's DTLS to somebody else (`impostor`) instead of to the viewer.
 */
export class MediaProxy {
  /** Datagrams from the camera, by what they are. */
  readonly fromCamera = { stun: 0, dtls: 0, media: 0 };
  readonly media: Buffer[] = [];
  firstDtlsAt = 0;
  private readonly impostor: Place | undefined;
  private readonly towardsViewer = createSocket({ type: 'udp6' });
  private readonly towardsCamera = createSocket({ type: 'udp6' });
  private readonly towardsImpostor = createSocket({ type: 'udp4' });
  private viewer: Place | undefined;
  private camera: Place | undefined;

  /** @param impostor the port of a DTLS server on loopback that takes the viewer's place */
  constructor(impostor?: number) {
    this.impostor = impostor === undefined ? undefined : { address: '127.0.0.1', port: impostor };
  }

  async start(): Promise<void> {
    this.towardsViewer.on('message', (datagram, from) => this.hearViewer(datagram, from));
    this.towardsCamera.on('message', (datagram) => this.hearCamera(datagram));
    this.towardsImpostor.on('message', (datagram) => this.send(this.towardsCamera, datagram, this.camera));
    for (const socket of [this.towardsViewer, this.towardsCamera, this.towardsImpostor]) {
      socket.bind(0);
      await once(socket, 'listening');
    }
  }

  /** Takes the place of the first of the camera's candidates; there are no others. */
  readonly redirect = (candidate: string): string | undefined => {
    const words = candidate.split(' ');
    const [address, port] = [words[4], words[5]];
    if (this.camera || !/ typ host/.test(candidate) || !/udp/i.test(words[2] ?? '') || !address) return undefined;
    this.camera = { address: address.includes(':') ? address : `::ffff:${address}`, port: Number(port) };
    words[5] = String(this.towardsViewer.address().port);
    return words.join(' ');
  };

  stop(): void {
    for (const socket of [this.towardsViewer, this.towardsCamera, this.towardsImpostor]) socket.close();
  }

  private hearViewer(datagram: Buffer, from: RemoteInfo): void {
    this.viewer = from;
    const isStun = datagram[0]! <= 3;
    if (isStun || !this.impostor) this.send(this.towardsCamera, datagram, this.camera);
  }

  private hearCamera(datagram: Buffer): void {
    const first = datagram[0]!;
    if (first <= 3) {
      this.fromCamera.stun++;
      this.send(this.towardsViewer, datagram, this.viewer);
      return;
    }
    if (first >= 128) {
      this.fromCamera.media++;
      this.media.push(datagram);
    } else {
      this.fromCamera.dtls++;
      this.firstDtlsAt ||= performance.now();
    }
    if (this.impostor) this.send(this.towardsImpostor, datagram, this.impostor);
    else this.send(this.towardsViewer, datagram, this.viewer);
  }

  private send(socket: Socket, datagram: Buffer, to: Place | undefined): void {
    if (to) socket.send(datagram, to.port, to.address, () => {});
  }
}
