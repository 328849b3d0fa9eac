/**
 * The viewers of a CPU run: one process, N PeerConnections, each counting the frames it really gets (RTP markers, RFC 6184) and
 * answering as a browser does: receiver reports every second and, where negotiated, transport-wide feedback 16 times a second.
 *
 * usage: receiver.ts ENDPOINT (JSON). For every line `viewers N` on stdin it connects until there are N, and prints {"type":"connected"};
 * for every line `counts` it prints {"type":"counts","viewers":[…]}. It ends when stdin ends.
 */
import { networkInterfaces } from 'node:os';
import { createInterface } from 'node:readline';
import datachannel from 'node-datachannel';
import { ReceptionReport, TransportFeedback } from './rtcp.ts';
import { type Endpoint, openSignalling, type Signalling } from './signalling.js';

const FMTP = 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f';
const PAYLOAD_TYPE = 108; // Chromium's choice for this profile
const TRANSPORT_CC = 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
/** The header extensions Chromium offers for video that a sender may want. */
const EXTENSIONS = [
  'a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
  `a=extmap:4 ${TRANSPORT_CC}`,
  'a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay',
  'a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid',
  `a=rtcp-fb:${PAYLOAD_TYPE} transport-cc`,
];
/** All peers over IPv4, the only family Janus does by default: IPv6 costs a sender about a tenth more CPU. */
const OWN_ADDRESS = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
const CONNECT_TIMEOUT_MS = 5000;
const CONNECT_ATTEMPTS = 5;

/** Frames and packets one viewer got so far; `lost` are sequence numbers never seen. */
export interface Counts {
  frames: number;
  packets: number;
  lost: number;
}

class Viewer {
  readonly counts: Counts = { frames: 0, packets: 0, lost: 0 };
  readonly #signalling: Signalling;
  #peer: InstanceType<typeof datachannel.PeerConnection> | undefined;
  #track: InstanceType<typeof datachannel.Track> | undefined;
  #timers: NodeJS.Timeout[] = [];
  #report = new ReceptionReport();
  #feedback: TransportFeedback | undefined;

  constructor(signalling: Signalling) {
    this.#signalling = signalling;
  }

  /** Resolves at the first RTP packet. */
  async start(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no RTP after ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.#connect(), late]);
    } finally {
      clearTimeout(timer);
    }
    this.#timers.push(setInterval(() => this.#send(this.#report.next()), 1000));
    const feedback = this.#feedback;
    if (feedback) this.#timers.push(setInterval(() => this.#send(feedback.next()), 62));
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#track?.close();
    this.#peer?.close();
    await this.#signalling.close();
  }

  #send(packet: Buffer | undefined): void {
    if (packet && this.#track?.isOpen()) this.#track.sendMessageBinary(packet);
  }

  async #connect(): Promise<void> {
    const peer = new datachannel.PeerConnection('viewer', {
      iceServers: [],
      disableAutoNegotiation: true,
      bindAddress: OWN_ADDRESS,
    });
    this.#peer = peer;
    const gathered = new Promise<void>((resolve) => {
      peer.onGatheringStateChange((state) => state === 'complete' && resolve());
    });
    const playing = new Promise<void>((resolve) => {
      this.#listen = (mid: string, fmtp: string, payloadType: number) => {
        const video = new datachannel.Video(mid, 'RecvOnly');
        video.addH264Codec(payloadType, fmtp);
        const track = peer.addTrack(video);
        track.onMessage((message) => {
          this.#packet(message);
          resolve();
        });
        this.#track = track;
      };
    });
    const local = async (type: 'offer' | 'answer') => {
      peer.setLocalDescription(type);
      await gathered;
      return peer.localDescription()?.sdp ?? '';
    };
    await this.#signalling.negotiate({
      offer: async () => {
        this.#listen('0', FMTP, PAYLOAD_TYPE);
        return (await local('offer')).replace('a=mid:0\r\n', `a=mid:0\r\n${EXTENSIONS.join('\r\n')}\r\n`);
      },
      accept: async (answer) => {
        this.#useExtensions(answer);
        peer.setRemoteDescription(answer, 'answer');
      },
      answer: async (offer) => {
        const mid = offer.match(/^a=mid:(\S+)/m)?.[1] ?? '0';
        const payloadType = Number(offer.match(/^a=rtpmap:(\d+) H264/m)?.[1]);
        this.#listen(mid, offer.match(new RegExp(`^a=fmtp:${payloadType} (\\S+)`, 'm'))?.[1] ?? FMTP, payloadType);
        this.#useExtensions(offer);
        peer.setRemoteDescription(offer, 'offer');
        return local('answer');
      },
    });
    await playing;
  }

  #listen: (mid: string, fmtp: string, payloadType: number) => void = () => {};

  #useExtensions(sdp: string): void {
    const id = sdp.split(/\r?\n/).find((line) => line.startsWith('a=extmap:') && line.endsWith(TRANSPORT_CC));
    if (id) this.#feedback = new TransportFeedback(Number.parseInt(id.slice('a=extmap:'.length), 10));
  }

  #packet(message: Buffer): void {
    const type = message[1]!;
    if (type >= 192 && type <= 223) {
      this.#report.senderReport(message);
      return;
    }
    this.counts.packets++;
    if (type & 0x80) this.counts.frames++;
    this.#report.packet(message);
    this.#feedback?.packet(message);
    this.counts.lost = this.#report.lost;
  }
}

async function startViewer(endpoint: Endpoint): Promise<Viewer> {
  for (let attempt = 1; ; attempt++) {
    const viewer = new Viewer(await openSignalling(endpoint));
    try {
      await viewer.start();
      return viewer;
    } catch (error) {
      // libdatachannel as offerer loses a race now and then (DTLS starts before the answer is stored): a new session, not a new number.
      await viewer.stop();
      if (attempt === CONNECT_ATTEMPTS) throw error;
    }
  }
}

const endpoint = JSON.parse(process.argv[2] ?? '') as Endpoint;
const viewers: Viewer[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  const [command, count] = line.split(' ');
  if (command === 'viewers') {
    while (viewers.length < Number(count)) viewers.push(await startViewer(endpoint));
    console.log(JSON.stringify({ type: 'connected' }));
  } else {
    console.log(JSON.stringify({ type: 'counts', viewers: viewers.map((viewer) => viewer.counts) }));
  }
}
for (const viewer of viewers) await viewer.stop();
process.exit(0); // native threads would keep the process
