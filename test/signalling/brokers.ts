import { Mosquitto } from '../support/mosquitto.ts';
import { TestServer } from '../support/server.ts';

/** A broker the suite runs against. */
export interface TestBroker {
  readonly port: number;
  readonly url: string;
  /** The newest version it speaks. */
  readonly version: 4 | 5;
  /** After `stop`: on the same port. */
  start(): Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/** aedes, inside peercam-server. */
export async function embeddedBroker(): Promise<TestBroker> {
  const server = new TestServer();
  await server.start();
  const port = Number(new URL(server.mqttUrl).port);
  return {
    port,
    url: server.mqttUrl,
    version: 4,
    start: () => server.start(),
    stop: () => server.stop(),
    remove: () => server.stop(),
  };
}

/** A real Mosquitto. */
export async function mosquittoBroker(): Promise<TestBroker> {
  const mosquitto = await Mosquitto.create();
  return {
    port: mosquitto.port,
    url: mosquitto.url,
    version: 5,
    start: () => mosquitto.start(),
    stop: () => mosquitto.stop(),
    remove: () => mosquitto.remove(),
  };
}
