import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeviceIdentity, loadDeviceIdentity } from '#identity/device-key.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { type KnownTime, openBrokerStream } from '#identity/server-trust.ts';
import type { ServerNotes } from '#protocol/token.ts';
import type { Uid } from '#protocol/uid.ts';
import { Signalling, type SignallingOptions } from '#session/signalling.ts';
import type { TestFactory } from './factory.ts';
import { formalKey, randomUid } from './random-names.ts';
import { RecordingLogger } from './recording-logger.ts';

/** A call id as a viewer makes it. */
export const randomCall = (): string => randomBytes(16).toString('base64url');

/** A board fresh from the factory; nothing of it stays on disk. */
export async function newBoard(factory: TestFactory): Promise<DeviceIdentity> {
  const folder = await mkdtemp(join(tmpdir(), 'peercam-board-'));
  try {
    await factory.board(folder);
    return await loadDeviceIdentity(new FactoryDirectory(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const RIGHT_TIME: KnownTime = { clockIsBehind: false, floor: 0, certified() {} };

/** The board's way to a broker by mutual TLS, as the product goes it. @param url `mqtts://…` */
export function mutualTls(board: DeviceIdentity, url: string, caPem: string): SignallingOptions['openStream'] {
  const { privateKeyPem, certificatePem } = board;
  return (signal) =>
    openBrokerStream({ url, privateKeyPem, certificatePem, authorities: caPem, time: RIGHT_TIME }, signal);
}

/** A way to a broker on loopback that asks nobody who he is. */
export const plainTcp =
  (port: number): SignallingOptions['openStream'] =>
  async () =>
    connect(port, '127.0.0.1');

/** The camera's side of signalling, with what it received and logged. Payloads are any text: nothing here opens them. */
export class TestCamera {
  readonly uid: Uid;
  readonly log = new RecordingLogger();
  readonly received: string[] = [];
  readonly notes: ServerNotes[] = [];
  readonly states: boolean[] = [];
  readonly signalling: Signalling;

  constructor(options: Pick<SignallingOptions, 'openStream'> & Partial<SignallingOptions>) {
    this.uid = options.uid ?? randomUid();
    this.signalling = new Signalling({
      firmware: '1.2.3',
      key: formalKey,
      log: this.log,
      onPayload: async (payload) => void this.received.push(Buffer.from(payload).toString()),
      onNotes: (notes) => this.notes.push(notes),
      onState: (connected) => this.states.push(connected),
      ...options,
      uid: this.uid,
    });
  }

  /** A new camera of the factory that a server knows. */
  static async at(
    server: {
      readonly factory: TestFactory;
      readonly mqttUrl: string;
      readonly certificate: { readonly caPem: string };
    },
    options: Partial<SignallingOptions> & { readonly board?: DeviceIdentity } = {},
  ): Promise<TestCamera> {
    const { board = await newBoard(server.factory), ...rest } = options;
    const openStream = mutualTls(board, server.mqttUrl, server.certificate.caPem);
    return new TestCamera({ openStream, uid: board.uid, key: board.key.publicKey, ...rest });
  }
}
