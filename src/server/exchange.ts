import type { IPublishPacket, ISubscribePacket, IUnsubscribePacket } from 'mqtt-packet';
import type { Uid } from '#protocol/uid.ts';
import type { Identity } from './access.ts';
import type { MqttConnection } from './mqtt-connection.ts';

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
}

/** A connection that has been let in. */
export interface Client {
  readonly connection: MqttConnection;
  readonly identity: Identity;
  readonly clientId: string;
  /** Seconds, 0 for none. */
  readonly keepalive: number;
  /** Its last will as it is at the time of death; undefined once it has said goodbye. */
  will: (() => Will) | undefined;
}

/** What it has to tell the server. */
export interface ExchangeEvents {
  /** A camera's status, as it now stands. */
  status(uid: Uid, payload: Buffer): void;
  /** A camera hears its server notes from now on. */
  listening(uid: Uid): void;
}

/**
 * Where messages go once they are found to be in order: to the broker inside this program, or on to another one.
 * Each method acknowledges to the client as MQTT wants it.
 */
export interface Exchange {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Lets a client in, in the place of one with the same id. Rejects when it cannot be served now. */
  join(client: Client): Promise<void>;
  /** The connection is gone; `will` is published where there is one left. */
  leave(client: Client): void;
  publish(client: Client, packet: IPublishPacket, raw: Buffer): void;
  /** `refused` are the topics that the rules do not allow, to be answered with a failure. */
  subscribe(client: Client, packet: ISubscribePacket, refused: ReadonlySet<string>): void;
  unsubscribe(client: Client, packet: IUnsubscribePacket, raw: Buffer): void;
  ping(client: Client, raw: Buffer): void;
  /** It has received a message of QoS 1. */
  acknowledged(client: Client, raw: Buffer): void;
  /** A message from the server itself to one camera. */
  tell(uid: Uid, payload: Buffer): void;
}
