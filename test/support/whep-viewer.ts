import { EventEmitter, once } from 'node:events';
import { type DataChannel, PeerConnection, type Track, Video } from 'node-datachannel';
import { parseRtp, type Rtp } from './depacketizer.ts';

export interface WhepTarget {
  readonly url: string;
  readonly token: string;
}

/** A viewer without a browser: a real WebRTC peer that comes over WHEP and keeps what it receives. */
export class WhepViewer {
  /** Media packets in the order they came; `keep` bounds how many. */
  readonly packets: Rtp[] = [];
  /** Access units that came whole, by their marker. */
  frames = 0;
  /** Sequence numbers that were skipped. */
  gaps = 0;
  readonly replies: unknown[] = [];
  private readonly target: WhepTarget;
  private readonly keep: number;
  private readonly events = new EventEmitter();
  private readonly connection = new PeerConnection('viewer', {
    iceServers: [],
    disableAutoNegotiation: true,
  });
  private readonly track: Track;
  private readonly control: DataChannel;
  private readonly opened: Promise<void>;
  private readonly report: NodeJS.Timeout;
  private location: string | undefined;
  private last: Rtp | undefined;

  constructor(target: WhepTarget, options: { keep?: number } = {}) {
    this.target = target;
    this.keep = options.keep ?? 2_000;
    const video = new Video('0', 'RecvOnly');
    video.addH264Codec(96, 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f');
    this.track = this.connection.addTrack(video);
    this.track.onMessage((packet) => this.receive(packet));
    this.control = this.connection.createDataChannel('control');
    this.opened = new Promise((resolve) => this.control.onOpen(() => resolve()));
    this.control.onMessage((text) => {
      this.replies.push(JSON.parse(String(text)));
      this.events.emit('reply');
    });
    // A camera that hears nothing ends the session: report as a browser does, once a second.
    this.report = setInterval(() => this.last && this.sendRtcp(receiverReport(this.last)), 1_000);
  }

  /**
   * The SDP that is posted. It holds no candidates, so that the camera cannot connect first: libdatachannel as the
   * offering side may get the DTLS handshake before it has stored the answer that it must check it against.
   */
  offer(): string {
    this.connection.setLocalDescription();
    const lines = this.connection.localDescription()!.sdp.split('\r\n');
    return lines.filter((line) => !/^a=(candidate|end-of-candidates)/.test(line)).join('\r\n');
  }

  /**
   * Connects; resolves when packets come and the control channel is open: this process, too, would be ended by usrsctp
   * if it closed a connection in the middle of SCTP's handshake.
   * @param change what to do to the offer before it is sent
   */
  async watch(change: (sdp: string) => string = (sdp) => sdp): Promise<void> {
    const response = await postOffer(this.target, change(this.offer()));
    if (response.status !== 201) throw new Error(`WHEP answered ${response.status}: ${await response.text()}`);
    this.location = new URL(response.headers.get('location')!, this.target.url).href;
    const first = once(this.events, 'packet');
    this.connection.setRemoteDescription(await response.text(), 'answer');
    await first;
    await this.opened;
  }

  /** Resolves when `count` more frames have come. */
  async nextFrames(count: number): Promise<void> {
    const wanted = this.frames + count;
    while (this.frames < wanted) await once(this.events, 'packet');
  }

  /** One request on the control channel; resolves with the reply. */
  async ask(text: string): Promise<unknown> {
    await this.opened;
    const reply = once(this.events, 'reply');
    this.control.sendMessage(text);
    await reply;
    return this.replies.at(-1);
  }

  /** Sends RTCP of any content. */
  sendRtcp(packet: Buffer): void {
    if (this.track.isOpen()) this.track.sendMessageBinary(packet);
  }

  get ssrc(): number {
    return this.last!.ssrc;
  }

  /** Says goodbye over HTTP, then closes. */
  async leave(): Promise<void> {
    if (this.location) {
      await fetch(this.location, { method: 'DELETE', headers: { authorization: `Bearer ${this.target.token}` } });
    }
    this.close();
  }

  /** Closes without a word to the WHEP endpoint. */
  close(): void {
    clearInterval(this.report);
    this.track.close();
    this.control.close();
    this.connection.close();
  }

  private receive(packet: Buffer): void {
    if (packet[1]! >= 192 && packet[1]! <= 223) return;
    const rtp = parseRtp(packet);
    if (this.last && ((rtp.sequence - this.last.sequence) & 0xffff) !== 1) this.gaps++;
    this.last = rtp;
    if (rtp.marker) this.frames++;
    this.packets.push(rtp);
    if (this.packets.length > this.keep) this.packets.shift();
    this.events.emit('packet');
  }
}

/** POSTs an offer of any content. */
export function postOffer(target: WhepTarget, sdp: string): Promise<Response> {
  return fetch(target.url, {
    method: 'POST',
    headers: { authorization: `Bearer ${target.token}`, 'content-type': 'application/sdp' },
    body: sdp,
  });
}

/** "I am here, and had all up to this one": RFC 3550 section 6.4.2. */
function receiverReport(last: Rtp): Buffer {
  const packet = Buffer.alloc(32);
  packet.writeUInt32BE(0x81c90007, 0);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(last.ssrc, 8);
  packet.writeUInt32BE(last.sequence, 16);
  return packet;
}
