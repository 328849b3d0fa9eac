import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
  /** Whether somebody can write past its rules, as whoever runs it can. */
  readonly hasInsiders: boolean;
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
  /** Only where there are some. */
  insider(): Promise<MqttViewer>;
  /** After `stop`: on the same port. */
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/** The broker inside peercam-server. */
export const embedded: BrokerKind = { create: startEmbedded, version: 4, hasInsiders: false };

async function startEmbedded(): Promise<TestBroker> {
  const server = new TestServer();
  await server.start();
  return {
    factory: server.factory,
    caPem: server.certificate.caPem,
    port: Number(new URL(server.mqttUrl).port),
    viewer: (grantedBy = []) => MqttViewer.atServer(server, { grantedBy }),
    insider() {
      throw new Error('nobody writes past the rules of this broker');
    },
    start: () => server.start(),
    stop: () => server.stop(),
    remove: () => server.remove(),
  };
}

/** A real Mosquitto as `src/server/deploy` sets it up; viewers come as peercam-server passes them on. */
export const mosquitto: BrokerKind = { create: startMosquitto, version: 5, hasInsiders: true };

async function startMosquitto(): Promise<TestBroker> {
  const factory = await TestFactory.create();
  const { certFile, keyFile, caPem } = await factory.serverCertificate();
  const port = await freePort();
  const viewersPort = await freePort();
  const shipped = await readFile(join(DEPLOY, 'mosquitto.conf'), 'utf8');
  const places: Record<string, string> = {
    'listener 8883': `listener ${port} 127.0.0.1`,
    'listener 1884 127.0.0.1': `listener ${viewersPort} 127.0.0.1`,
    '/etc/peercam/factory-ca.crt': factory.rootFile,
    '/etc/peercam/revoked.crl': await factory.emptyCrl(),
    '/etc/peercam/server.crt': certFile,
    '/etc/peercam/server.key': keyFile,
    '/etc/mosquitto/cameras.acl': join(DEPLOY, 'cameras.acl'),
    '/etc/mosquitto/gateway.acl': join(DEPLOY, 'gateway.acl'),
  };
  const missing = Object.keys(places).filter((text) => !shipped.includes(text));
  if (missing.length > 0) throw new Error(`mosquitto.conf has changed: it no longer says ${missing.join(', ')}`);
  const settings = Object.entries(places).reduce((text, [from, to]) => text.replace(from, to), shipped);
  const insidersPort = await freePort();
  const more = `listener ${insidersPort} 127.0.0.1\nallow_anonymous true\n`;
  const program = await Mosquitto.configured(`user root\n${settings}\n${more}`, insidersPort);
  const ready = () => until('its other ports', async () => (await canConnect(port)) && (await canConnect(viewersPort)));
  await ready();
  return {
    factory,
    caPem,
    port,
    viewer: (_watching, version = 5) => MqttViewer.atBroker(`mqtt://127.0.0.1:${viewersPort}`, { version }),
    insider: () => MqttViewer.atBroker(program.url, { version: 5 }),
    async start() {
      await program.start();
      await ready();
    },
    stop: () => program.stop(),
    async remove() {
      await program.remove();
      await factory.remove();
    },
  };
}

const DEPLOY = join(import.meta.dirname, '../../src/server/deploy');
