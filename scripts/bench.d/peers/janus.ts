import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../child.ts';
import { freePort } from '../free-port.ts';
import type { Peer, Workspace } from '../peer.ts';

const PLUGINS = '/usr/lib/x86_64-linux-gnu/janus'.replace('x86_64', process.arch === 'arm64' ? 'aarch64' : 'x86_64');
const MOUNTPOINT = 1;
/** ffmpeg as a pacer: no decoding, no encoding; a Go feeder cost half as much again. */
const FEED = '-loglevel error -re -stream_loop -1 -i'.split(' ');
const RTP = '-c copy -f rtp -payload_type 96'.split(' ');

/** Janus's streaming plugin, fed with RTP by ffmpeg. */
export const janus: Peer = {
  name: 'janus',
  title: 'Janus 1.1 streaming',
  settings: 'videobufferkf (a new viewer gets the last IDR at once), only the streaming plugin and HTTP loaded',
  missing() {
    if (!existsSync('/usr/bin/janus')) return 'janus is not installed';
    return existsSync('/usr/bin/ffmpeg') ? undefined : 'ffmpeg is not installed';
  },
  async start(space) {
    const port = await freePort();
    const videoPort = await freePort();
    const configuration = join(space.scratch, `janus-${port}`);
    configure(configuration, port, videoPort);
    const child = new Child('/usr/bin/janus', ['-F', configuration]);
    await child.line(/HTTP webserver started/);
    const looped = loopable(space);
    const feeder = new Child('/usr/bin/ffmpeg', [
      ...FEED,
      looped,
      ...RTP,
      `rtp://127.0.0.1:${videoPort}?pkt_size=1200`,
    ]);
    return {
      endpoint: { kind: 'janus', url: `http://127.0.0.1:${port}/janus`, mountpoint: MOUNTPOINT },
      pids: [child.pid],
      feederPids: [feeder.pid],
      feederPort: videoPort,
      stop: async () => {
        await feeder.stop();
        await child.stop();
      },
    };
  },
};

/** The clip as MP4: ffmpeg cannot loop a bare H.264 stream. */
function loopable({ cache, clip }: Workspace): string {
  const file = join(cache, 'clip.mp4');
  if (!existsSync(file))
    execFileSync('/usr/bin/ffmpeg', ['-loglevel', 'error', '-framerate', '30', '-i', clip, '-c', 'copy', file]);
  return file;
}

function configure(directory: string, port: number, videoPort: number): void {
  const others = (kind: string, keep: string) =>
    readdirSync(join(PLUGINS, kind))
      .filter((file) => file.endsWith('.so') && file !== keep)
      .join(',');
  mkdirSync(directory, { recursive: true });
  const write = (file: string, text: string) => writeFileSync(join(directory, file), text);
  write(
    'janus.jcfg',
    `general: { plugins_folder = "${PLUGINS}/plugins"; transports_folder = "${PLUGINS}/transports"; debug_level = 4; session_timeout = 0 }
plugins: { disable = "${others('plugins', 'libjanus_streaming.so')}" }
transports: { disable = "${others('transports', 'libjanus_http.so')}" }
events: { broadcast = false }
`,
  );
  write(
    'janus.transport.http.jcfg',
    `general: { json = "compact"; base_path = "/janus"; http = true; port = ${port}; ip = "127.0.0.1"; https = false }
admin: { admin_http = false }
`,
  );
  write(
    'janus.plugin.streaming.jcfg',
    `bench: { type = "rtp"; id = ${MOUNTPOINT}; audio = false; video = true; videoport = ${videoPort}; videoiface = "127.0.0.1"
  videopt = 96; videocodec = "h264"; videofmtp = "profile-level-id=42e01f;packetization-mode=1"; videobufferkf = true }
`,
  );
}
