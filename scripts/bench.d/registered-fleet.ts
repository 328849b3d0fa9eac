/**
 * A fleet of registered cameras that say nothing: bare TLS and MQTT packets, so that one process holds thousands.
 * Makes their keys and certificates first, then does what it is told over IPC; see registered.ts.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import '#factory/reflect.ts';
import * as x509 from '@peculiar/x509';
import { generate, parser } from 'mqtt-packet';
import { makeDeviceCertificate, newSerial, pemOf, readIssuer } from '#factory/certificates.ts';
import { Backoff } from '#lib/backoff.ts';
import { cameraInbox, serverNotes, statusTopic } from '#protocol/topics.ts';
import { type Uid, uidFromKeyHash } from '#protocol/uid.ts';

export interface FleetOrder {
  readonly count: number;
  readonly port: number;
  readonly serverCaPem: string;
  readonly issuerPem: string;
  readonly issuerKeyPem: string;
}

/** What the fleet tells about itself, once a second. */
export interface FleetReport {
  readonly made: number;
  readonly online: number;
  /** Connections completed since the start. */
  readonly connected: number;
  readonly errors: Readonly<Record<string, number>>;
}

const KEEPALIVE_SECONDS = 20;
/** Handshakes under way at once when the fleet first comes; after a loss each camera has a backoff of its own. */
const AT_ONCE = 50;

/** As src/session/signalling.ts does it: connect with a will, open the mailbox, say online; come back when lost. */
class Camera {
  private readonly uid: Uid;
  private readonly context: SecureContext;
  private readonly port: number;
  private readonly backoff = new Backoff({ firstMs: 500, maxMs: 30_000 });
  private readonly changed: (online: boolean, error?: string) => void;
  private socket: TLSSocket | undefined;
  private online = false;

  constructor(options: { uid: Uid; context: SecureContext; port: number; changed: Camera['changed'] }) {
    this.uid = options.uid;
    this.context = options.context;
    this.port = options.port;
    this.changed = options.changed;
  }

  connect(): void {
    const socket = connectTls({ host: '127.0.0.1', port: this.port, secureContext: this.context });
    this.socket = socket;
    const packets = parser({ protocolVersion: 4 });
    let cause = 'closed';
    packets.on('packet', ({ cmd }) => this.take(cmd));
    socket.on('secureConnect', () => this.say({ cmd: 'connect', ...this.introduction() }));
    socket.on('data', (chunk) => packets.parse(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      cause = error.code ?? error.message;
    });
    socket.on('close', () => this.lost(cause));
  }

  ping(): void {
    if (this.online) this.say({ cmd: 'pingreq' });
  }

  private take(cmd: string): void {
    const { uid } = this;
    if (cmd === 'connack') {
      const subscriptions = [cameraInbox(uid), statusTopic(uid), serverNotes(uid)];
      this.say({ cmd: 'subscribe', messageId: 1, subscriptions: subscriptions.map((topic) => ({ topic, qos: 1 })) });
    }
    if (cmd === 'suback') {
      const payload = JSON.stringify({ state: 'online', since: Date.now(), ...this.description() });
      this.say({ cmd: 'publish', topic: statusTopic(uid), payload, qos: 1, retain: true, messageId: 2 });
    }
    if (cmd === 'puback' && !this.online) {
      this.online = true;
      this.backoff.reset();
      this.changed(true);
    }
  }

  private lost(cause: string): void {
    if (this.online) this.changed(false);
    this.online = false;
    this.changed(false, cause);
    setTimeout(() => this.connect(), this.backoff.next());
  }

  private introduction() {
    const payload = JSON.stringify({ state: 'offline', ...this.description() });
    const will = { topic: statusTopic(this.uid), payload, qos: 1, retain: true };
    const version = { protocolId: 'MQTT', protocolVersion: 4, clean: true };
    return { clientId: `cam-${this.uid}`, keepalive: KEEPALIVE_SECONDS, will, ...version };
  }

  private description() {
    const key = { kty: 'EC', crv: 'P-256', x: `${'x'.repeat(42)}w`, y: `${'y'.repeat(42)}w` };
    return { firmware: '1.0.0', name: 'Front door', key };
  }

  private say(packet: object): void {
    this.socket?.write(generate(packet as never));
  }
}

process.once('message', (order: FleetOrder) => void run(order));
process.once('disconnect', () => process.exit(0));

async function run(order: FleetOrder): Promise<void> {
  const errors: Record<string, number> = {};
  let online = 0;
  let connected = 0;
  let waiting: (() => void)[] = [];
  const cameras: Camera[] = [];
  const changed = (isOnline: boolean, error?: string) => {
    if (error) errors[error] = (errors[error] ?? 0) + 1;
    else online += isOnline ? 1 : -1;
    if (!isOnline || error) return;
    connected++;
    waiting.shift()?.();
  };
  const report = () => process.send!({ made: cameras.length, online, connected, errors } satisfies FleetReport);
  setInterval(report, 250);
  const issuer = await readIssuer(order.issuerPem, order.issuerKeyPem);
  for (let i = 0; i < order.count; i++) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    const uid = uidFromKeyHash(createHash('sha256').update(spki).digest());
    const publicKey = new x509.PublicKey(spki);
    const certificate = await makeDeviceCertificate(issuer, { uid, publicKey, serial: newSerial() });
    const context = contextOf(privateKey, pemOf(certificate) + order.issuerPem, order.serverCaPem);
    cameras.push(new Camera({ uid, context, port: order.port, changed }));
  }
  await new Promise<void>((resolve) => process.once('message', () => resolve()));
  // Spread, as those of a real fleet are.
  let next = 0;
  const step = (KEEPALIVE_SECONDS * 1000) / order.count;
  let due = performance.now();
  setInterval(() => {
    for (; due < performance.now(); due += step) cameras[next++ % cameras.length]!.ping();
  }, 100);
  for (const [i, camera] of cameras.entries()) {
    if (i >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
    camera.connect();
  }
  waiting = [];
}

function contextOf(key: KeyObject, cert: string, ca: string): SecureContext {
  return createSecureContext({ key: key.export({ type: 'pkcs8', format: 'pem' }), cert, ca, minVersion: 'TLSv1.3' });
}
