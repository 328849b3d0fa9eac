import { writeFile } from 'node:fs/promises';
import type { DeviceIdentity } from '#identity/device-key.ts';
import { TestFactory } from '../support/factory.ts';
import { freePort, Mosquitto } from '../support/mosquitto.ts';
import { MqttViewer } from '../support/mqtt-viewer.ts';
import { TestServer } from '../support/server.ts';
import { canConnect, until } from '../support/wait.ts';

export interface BrokerKind {
  create(): Promise<TestBroker>;
  /** The newest version of MQTT it speaks. */
  readonly version: 4 | 5;
  /** Whether its viewers may also write what is the camera's and the server's to write. */
  readonly trustsViewers: boolean;
}

/** A broker the suite runs against. Cameras come by mutual TLS. */
export interface TestBroker {
  /** Of the cameras it lets in. */
  readonly factory: TestFactory;
  /** Who vouches for the broker, PEM. */
  readonly caPem: string;
  /** For cameras. */
  readonly port: number;
  /** @param watching the cameras whose status it may see */
  viewer(watching?: readonly DeviceIdentity[], version?: 4 | 5): Promise<MqttViewer>;
  /** After `stop`: on the same port. */
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/** The broker inside peercam-server. */
export const embedded: BrokerKind = { create: startEmbedded, version: 4, trustsViewers: false };

async function startEmbedded(): Promise<TestBroker> {
  const server = new TestServer();
  await server.start();
  return {
    factory: server.factory,
    caPem: server.certificate.caPem,
    port: Number(new URL(server.mqttUrl).port),
    viewer: (grantedBy = []) => MqttViewer.atServer(server, { grantedBy }),
    start: () => server.start(),
    stop: () => server.stop(),
    remove: () => server.remove(),
  };
}

/** A real Mosquitto. Cameras may what their certificate says; viewers come as whoever runs it would, by plain TCP. */
export const mosquitto: BrokerKind = { create: startMosquitto, version: 5, trustsViewers: true };

async function startMosquitto(): Promise<TestBroker> {
  const factory = await TestFactory.create();
  const { certFile, keyFile, caPem } = await factory.serverCertificate();
  const port = await freePort();
  const rules = `${certFile}.acl`;
  await writeFile(rules, `${RULES.join('\n')}\n`);
  const program = await Mosquitto.create([
    `acl_file ${rules}`,
    `listener ${port} 127.0.0.1`,
    `cafile ${factory.rootFile}`,
    `certfile ${certFile}`,
    `keyfile ${keyFile}`,
    'require_certificate true',
    'use_identity_as_username true',
  ]);
  const ready = () => until('its TLS port', () => canConnect(port)).then(() => {});
  await ready();
  return {
    factory,
    caPem,
    port,
    viewer: (_watching, version = 5) => MqttViewer.atBroker(program.url, { version }),
    start: () => program.start().then(ready),
    stop: () => program.stop(),
    async remove() {
      await program.remove();
      await factory.remove();
    },
  };
}

/** mosquitto.conf(5): what stands before the first `user` is for those without a name; `%u` is the certificate's CN. */
const RULES = [
  'topic readwrite #',
  'pattern readwrite peercam/1/cam/%u/status',
  'pattern read peercam/1/cam/%u/in',
  'pattern read peercam/1/cam/%u/server',
  'pattern write peercam/1/viewer/+/in',
];
