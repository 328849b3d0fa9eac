import type { SourceState } from '#protocol/control.ts';
import type { ToCamera } from '#protocol/message.ts';
import {
  Connection,
  type Peer,
  type PeerEvents,
  type Signalling,
  type SignallingEvents,
} from '#viewer/connection/connection.ts';
import type { Measurement } from '#viewer/connection/statistics.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A server the test plays: what the viewer sends is kept, what it hears the test says. */
export class FakeSignalling implements Signalling {
  readonly sent: ToCamera[] = [];
  events: SignallingEvents | undefined;
  hurried = 0;

  /** Whether this viewer is on the camera's list when it starts. */
  remembered = true;
  readonly paired: (string | undefined)[] = [];
  unansweredCalls = 0;

  start(events: SignallingEvents): void {
    this.events = events;
    events.admission(this.remembered ? { state: 'in', rights: ['view'], newly: false } : { state: 'code-needed' });
  }

  /** The server is reached; whether the camera's presence can be read there. */
  online(readable = true): void {
    this.events!.relays([]);
    this.events!.online(readable);
  }

  pair(code?: string): void {
    this.paired.push(code);
  }

  offer(): void {}

  dropCode(): void {}

  unanswered(): void {
    this.unansweredCalls++;
  }

  lostAccess(): void {
    this.events!.admission({ state: 'out' });
  }

  rightsChanged(): void {}

  stop(): void {
    this.events = undefined;
  }

  hurry(): void {
    this.hurried++;
  }

  send(message: ToCamera): void {
    this.sent.push(message);
  }

  /** Ids of the calls made, in order. */
  get calls(): string[] {
    return this.sent.filter(({ type }) => type === 'call').map(({ call }) => call);
  }

  get goodbyes(): string[] {
    return this.sent.filter(({ type }) => type === 'bye').map(({ call }) => call);
  }
}

/** A peer connection the test plays. Its stream is its number. */
export class FakePeer implements Peer<number> {
  readonly events: PeerEvents;
  readonly stream: number;
  readonly verified = 'certificate';
  frames = 0;
  closed = false;
  accepted: string | undefined;
  source: SourceState = { state: 'live' };

  constructor(events: PeerEvents, stream: number) {
    this.events = events;
    this.stream = stream;
  }

  start(): void {}

  async prepare(): Promise<void> {}

  localSdp(): string {
    return `offer ${this.stream}`;
  }

  async accept(sdp: string): Promise<void> {
    this.accepted = sdp;
  }

  addCandidate(): void {}

  sendControl(text: string): void {
    const { id, method } = JSON.parse(text) as { id: number; method: string };
    const info = { uid: 'U', name: 'Garden', firmware: '1', viewers: 1, source: this.source };
    const result = method === 'session.info' ? info : { rtp: 0 };
    if (!this.closed) this.events.controlMessage(JSON.stringify({ jsonrpc: '2.0', id, result }));
  }

  async measure(): Promise<Measurement> {
    return {
      framesDecoded: this.frames,
      framesDropped: 0,
      packetsReceived: this.frames,
      packetsLost: 0,
      bytesReceived: this.frames * 1000,
      width: 1280,
      height: 720,
      path: 'lan',
      route: 'host → host, UDP',
      roundTripMs: 1,
      codec: 'H264',
      decoder: 'fake',
      bufferSeconds: 0,
      decodeSeconds: 0,
    };
  }

  close(): void {
    this.closed = true;
  }

  /** ICE, DTLS and the control channel succeed. */
  secure(): void {
    this.events.progress('path');
    this.events.progress('secured');
    this.events.controlOpened();
  }

  /** The camera tells what became of its picture source. */
  sourceChanged(params: SourceState): void {
    this.events.controlMessage(JSON.stringify({ jsonrpc: '2.0', method: 'source.changed', params }));
  }
}

/** A connection among fakes, and the hands of its clock. */
export class Bench {
  readonly clock = new FakeClock();
  readonly signalling = new FakeSignalling();
  readonly peers: FakePeer[] = [];
  /** The peers whose pictures move while time passes. */
  readonly playing = new Set<FakePeer>();
  config: 'there' | 'missing' = 'there';
  readonly connection = new Connection<number>({
    timer: this.clock,
    supported: true,
    signalling: this.signalling,
    loadConfig: async () => {
      if (this.config === 'missing') throw new Error('config.json: HTTP 502');
      return { mqtt: '/mqtt', mqttVersion: 4, address: '192.0.2.7', token: '/token', iceServers: [] };
    },
    makePeer: (events) => {
      const peer = new FakePeer(events, this.peers.length);
      this.peers.push(peer);
      return peer;
    },
    hidden: () => false,
  });

  get phase(): string {
    return this.connection.view.value.phase;
  }

  get peer(): FakePeer {
    return this.peers.at(-1)!;
  }

  /** Lets time pass in steps of 50 ms, with frames arriving at the peers that play. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      for (const peer of this.playing) peer.frames += 1;
      this.clock.advance(Math.min(50, left));
      await settle();
    }
  }

  /** The camera answers the newest call. */
  async answer(): Promise<void> {
    this.signalling.events!.message({ type: 'answer', call: this.signalling.calls.at(-1)!, sdp: 'answer' });
    await settle();
  }

  /** From nothing to a live picture. */
  async goLive(): Promise<FakePeer> {
    this.connection.start();
    await settle();
    this.signalling.online();
    await settle();
    this.signalling.events!.status({ state: 'online', since: 1000 }, false);
    await this.playNewest();
    return this.peer;
  }

  /** The camera answers the newest call, and its picture plays. */
  async playNewest(): Promise<void> {
    await this.answer();
    this.peer.secure();
    await settle();
    this.playing.add(this.peer);
    await this.pass(200);
  }
}

/** Lets everything that waits for a promise go on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
