import { connect, type IClientOptions, type MqttClient } from 'mqtt';

/** One connection to a broker, never renewed. Rejects when the broker refuses it, be it without a word. */
export function connectMqtt(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = connect(url, { protocolVersion: 4, ...options, reconnectPeriod: 0 });
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve(client));
    client.on('error', reject);
    client.once('close', () => reject(new Error('the broker closed the connection')));
  });
}

/** Resolves when the connection is closed, whoever does it. */
export function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()));
}
