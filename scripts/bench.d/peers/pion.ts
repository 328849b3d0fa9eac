import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../child.ts';
import type { Peer, Workspace } from '../peer.ts';

const SOURCES = '/usr/share/gocode';

/** pion v3 with its default codecs and interceptors, one shared sample track. */
export const pion: Peer = {
  name: 'pion',
  title: 'pion v3',
  settings: 'default interceptors (NACK responder, reports); a new viewer restarts the clip at its IDR',
  missing: missingPion,
  async start(space) {
    const child = new Child(buildPion(space), ['-clip', space.clip]);
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

function missingPion(): string | undefined {
  if (!existsSync('/usr/bin/go')) return 'golang-go is not installed';
  if (!existsSync(join(SOURCES, 'src/github.com/pion/webrtc')))
    return 'golang-github-pion-webrtc.v3-dev is not installed';
  return undefined;
}

/** Builds the Go program from Debian's sources, which needs GOPATH mode (no module proxy); returns its path. */
function buildPion({ cache }: Workspace): string {
  const gopath = join(cache, 'gopath');
  const directory = join(gopath, 'src/bench');
  const program = join(cache, 'pion-peer');
  mkdirSync(directory, { recursive: true });
  // go.mod beside the program is what lets GOPATH mode find github.com/pion/webrtc under its /v3 name.
  for (const file of ['main.go', 'go.mod'])
    copyFileSync(join(import.meta.dirname, 'pion', file), join(directory, file));
  execFileSync('/usr/bin/go', ['build', '-o', program, '.'], {
    cwd: directory,
    env: { ...process.env, GO111MODULE: 'off', GOPATH: `${gopath}:${SOURCES}`, GOCACHE: join(cache, 'go-build') },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return program;
}
