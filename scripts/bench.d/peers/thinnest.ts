import { join } from 'node:path';
import { Child } from '../child.ts';
import type { Peer } from '../peer.ts';

/** The least that node-datachannel can do: the floor for a Node sender. */
export const thinnest: Peer = {
  name: 'thinnest',
  title: 'thinnest node-datachannel sender',
  settings: 'native packetizer, SR and NACK chain per viewer; a new viewer restarts the clip at its IDR',
  missing: () => undefined,
  async start(space) {
    const child = new Child(process.execPath, [join(import.meta.dirname, 'thinnest-sender.mjs'), space.clip]);
    const [, port] = await child.line(/^ready (\d+)/);
    return {
      endpoint: { kind: 'whep', url: `http://127.0.0.1:${port}/whep` },
      pids: [child.pid],
      feederPids: [],
      feederPort: 0,
      stop: () => child.stop(),
    };
  },
};
