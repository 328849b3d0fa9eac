import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../child.ts';
import type { Peer } from '../peer.ts';

const PYTHON = '/usr/bin/python3'; // Debian's own: the one that has python3-gi
const PLUGINS = '/usr/lib/x86_64-linux-gnu/gstreamer-1.0'.replace(
  'x86_64',
  process.arch === 'arm64' ? 'aarch64' : 'x86_64',
);

/** GStreamer's webrtcbin behind one shared parser and payloader. */
export const gstreamer: Peer = {
  name: 'gstreamer',
  title: 'GStreamer webrtcbin',
  settings: 'webrtcbin defaults, one payloader behind a tee; a new viewer restarts the clip at its IDR',
  missing() {
    if (!existsSync('/usr/lib/python3/dist-packages/gi')) return 'python3-gi is not installed';
    if (!existsSync(join(PLUGINS, 'libgstwebrtc.so'))) return 'gstreamer1.0-plugins-bad is not installed';
    return undefined;
  },
  async start(space) {
    const script = join(import.meta.dirname, 'gstreamer-sender.py');
    const child = new Child(PYTHON, [script, space.frames, String(space.frameCount - 1)]);
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
