import type { MqttClient } from 'mqtt';
import { type DataChannel, PeerConnection, type Track, Video } from 'node-datachannel';
import { newSigningKey, type SigningKey } from '#identity/keys.ts';
import { randomName } from '#identity/seal.ts';
import { type News, ViewerParley } from '#identity/viewer-parley.ts';
import type { ToViewer } from '#protocol/message.ts';
import { ProtocolError } from '#protocol/parse.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Token } from '#protocol/token.ts';
import { cameraInbox, viewerInbox } from '#protocol/topics.ts';
import type { Uid } from '#protocol/uid.ts';
import { connectViewer } from './server.ts';
import { until } from './wait.ts';

/** A viewer without a browser: the product's own words (ViewerParley) over a real broker, and a real WebRTC peer. */
export class TrustViewer {
  readonly uid: Uid;
  readonly key: SigningKey;
  readonly parley: ViewerParley;
  readonly client: MqttClient;
  readonly token: Token;
  readonly news: News[] = [];
  /** What it refused: the text it would have written on its console, and when. */
  readonly refused: { readonly message: string; readonly at: number }[] = [];
  /** Payloads for its mailbox that were not for this page. */
  ignored = 0;
  private opening: Promise<void> = Promise.resolve();
  private calls = new Map<string, TrustCall>();

  private constructor(options: { uid: Uid; key: SigningKey; client: MqttClient; token: Token }) {
    this.uid = options.uid;
    this.key = options.key;
    this.client = options.client;
    this.token = options.token;
    this.parley = new ViewerParley({ uid: options.uid, key: options.key });
    this.client.on('message', (_topic, payload) => {
      this.opening = this.opening.then(() => this.receive(payload));
    });
    this.client.on('error', () => {});
  }

  static async connect(
    httpUrl: string,
    uid: Uid,
    options: { key?: SigningKey; grants?: readonly string[] } = {},
  ): Promise<TrustViewer> {
    const key = options.key ?? (await newSigningKey());
    const webSocketUrl = `${httpUrl.replace(/^http/, 'ws').replace(/\/$/, '')}/mqtt`;
    const { client, token } = await connectViewer({ httpUrl, webSocketUrl }, { ...options, key });
    const viewer = new TrustViewer({ uid, key, client, token });
    await client.subscribeAsync(viewerInbox(key.thumbprint), { qos: 1 });
    return viewer;
  }

  get thumbprint(): string {
    return this.key.thumbprint;
  }

  async publish(payload: Uint8Array, uid: Uid = this.uid): Promise<void> {
    await this.client.publishAsync(cameraInbox(uid), Buffer.from(payload), { qos: 1 });
  }

  /** Says hello; with a code, as the first half of pairing. Resolves with the answer, or undefined after `waitMs`. */
  async hello(code?: SetupCode, waitMs = 3_000): Promise<News | undefined> {
    return this.ask(await this.parley.hello(code), ['here', 'pairing-refused'], waitMs);
  }

  /** Comes in by a code. Rejects when the camera does not let it. */
  async pair(code: SetupCode): Promise<void> {
    const here = await this.hello(code);
    if (here?.kind !== 'here') throw new Error(`no greeting but ${JSON.stringify(here)}`);
    const paired = await this.ask(await this.parley.pair('A test viewer'), ['paired', 'pairing-refused'], 3_000);
    if (paired?.kind !== 'paired') throw new Error(`not let in: ${JSON.stringify(paired)}`);
  }

  /** Calls; resolves when pictures come and the control channel is open, or rejects with what the camera said. */
  async watch(options: CallOptions = {}): Promise<TrustCall> {
    const call = await this.call(options);
    await until('pictures and the control channel', () => call.over !== undefined || call.playing, options.waitMs);
    if (call.over !== undefined) throw new Error(`the call ended: ${call.over}`);
    return call;
  }

  /** Calls, and waits for nothing. */
  async call(options: CallOptions = {}): Promise<TrustCall> {
    const call = new TrustCall(options);
    this.calls.set(call.id, call);
    await this.sendOffer(call);
    return call;
  }

  async close(): Promise<void> {
    for (const call of this.calls.values()) call.close();
    if (!this.client.disconnected) await this.client.endAsync(true);
  }

  private async sendOffer(call: TrustCall): Promise<void> {
    await this.publish(await this.parley.sealCall({ type: 'call', call: call.id, sdp: call.offer }));
  }

  private async ask(payload: Uint8Array, kinds: readonly News['kind'][], waitMs: number): Promise<News | undefined> {
    const seen = this.news.length;
    await this.publish(payload);
    const find = () => this.news.slice(seen).find(({ kind }) => kinds.includes(kind));
    return until('an answer', find, waitMs).catch(() => undefined);
  }

  private async receive(payload: Buffer): Promise<void> {
    try {
      const news = await this.parley.open(payload);
      if (!news) {
        this.ignored++;
        return;
      }
      this.news.push(news);
      if (news.kind === 'stale') await this.sendOffer(this.calls.get(news.call)!);
      if (news.kind === 'call') this.calls.get(news.message.call)?.take(news.message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.refused.push({ message: error.message, at: performance.now() });
    }
  }
}

/**
 * To be called last in `test.after`: the WebRTC library's threads now and then keep a process that has nothing left to
 * do, as the daemon's own shutdown knows. Ends it once the runner has said its last word.
 */
export function endSoon(): void {
  setTimeout(() => process.exit(), 2_000).unref();
}

export interface CallOptions {
  /** What is done to the offer before it is sealed. */
  readonly change?: (sdp: string) => string;
  /** What is done to each of the camera's candidates. */
  readonly redirect?: (candidate: string) => string | undefined;
  readonly waitMs?: number;
}

/** One call's WebRTC peer. */
export class TrustCall {
  readonly id = randomName(16);
  readonly offer: string;
  readonly answers: string[] = [];
  readonly notified: { readonly method: string; readonly params: unknown }[] = [];
  /** RTP packets of the picture. */
  packets = 0;
  /** Payloads of the first packets, for comparison with what others hold. */
  readonly kept: Buffer[] = [];
  lastPacketAt = 0;
  over: string | undefined;
  overAt = 0;
  private readonly options: CallOptions;
  private readonly connection = new PeerConnection('viewer', { iceServers: [], disableAutoNegotiation: true });
  private readonly track: Track;
  private readonly control: DataChannel;
  private readonly replies = new Map<number, (reply: JsonRpcReply) => void>();
  private readonly report: NodeJS.Timeout;
  private requests = 0;
  private controlOpen = false;
  private closed = false;

  constructor(options: CallOptions) {
    this.options = options;
    const video = new Video('0', 'RecvOnly');
    video.addH264Codec(96, 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f');
    this.track = this.connection.addTrack(video);
    this.track.onMessage((packet) => this.receive(packet));
    this.control = this.connection.createDataChannel('control');
    this.control.onOpen(() => {
      this.controlOpen = true;
    });
    this.control.onMessage((text) => this.hear(String(text)));
    this.connection.setLocalDescription();
    const lines = this.connection.localDescription()!.sdp.split('\r\n');
    // No candidates: the camera must not connect before its answer is here, see WhepViewer.
    const sdp = lines.filter((line) => !/^a=(candidate|end-of-candidates)/.test(line)).join('\r\n');
    this.offer = options.change?.(sdp) ?? sdp;
    this.report = setInterval(() => this.ping(), 2_000);
  }

  get playing(): boolean {
    return this.packets > 0 && this.controlOpen;
  }

  take(message: ToViewer): void {
    if (this.closed) return;
    if (message.type === 'answer') {
      this.answers.push(message.sdp);
      this.connection.setRemoteDescription(this.withRedirects(message.sdp), 'answer');
    } else if (message.type === 'candidate') {
      const candidate = this.options.redirect ? this.options.redirect(message.candidate) : message.candidate;
      if (candidate) this.connection.addRemoteCandidate(candidate, message.mid);
    } else {
      this.over = message.type === 'bye' ? (message.reason ?? 'bye') : `${message.code}: ${message.message}`;
      this.overAt = performance.now();
    }
  }

  /** One request on the control channel. Rejects with the camera's error. */
  async ask(method: string, params?: object): Promise<unknown> {
    const id = ++this.requests;
    const reply = new Promise<JsonRpcReply>((resolve, reject) => {
      this.replies.set(id, resolve);
      setTimeout(() => reject(new Error(`${method}: no reply`)), 5_000).unref();
    });
    this.control.sendMessage(JSON.stringify({ jsonrpc: '2.0', id, method, ...(params && { params }) }));
    const { result, error } = await reply;
    if (error) throw new Error(`${error.code}: ${error.message} ${JSON.stringify(error.data ?? '')}`);
    return result;
  }

  /** Sends any text on the control channel. */
  say(text: string): void {
    this.control.sendMessage(text);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.report);
    this.track.close();
    this.control.close();
    this.connection.close();
  }

  private withRedirects(sdp: string): string {
    const { redirect } = this.options;
    if (!redirect) return sdp;
    const lines = sdp.split('\r\n').flatMap((line) => {
      if (!line.startsWith('a=candidate:')) return [line];
      const other = redirect(line.slice(2));
      return other ? [`a=${other}`] : [];
    });
    return lines.join('\r\n');
  }

  /** A camera that hears nothing for 12 s ends the session. */
  private ping(): void {
    if (this.controlOpen && !this.closed && this.control.isOpen()) {
      this.control.sendMessage(JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'clock.read' }));
    }
  }

  private receive(packet: Buffer): void {
    if (packet[1]! >= 192 && packet[1]! <= 223) return;
    this.packets++;
    this.lastPacketAt = performance.now();
    if (this.kept.length < 200) this.kept.push(Buffer.from(packet.subarray(12)));
  }

  private hear(text: string): void {
    const message = JSON.parse(text) as JsonRpcReply & { id?: number; method?: string; params?: unknown };
    if (message.method) this.notified.push({ method: message.method, params: message.params });
    else this.replies.get(message.id!)?.(message);
  }
}

interface JsonRpcReply {
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}
