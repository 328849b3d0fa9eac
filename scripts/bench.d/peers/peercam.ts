import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { TestFactory } from '../../../test/support/factory.ts';
import { Child } from '../child.ts';
import type { Peer } from '../peer.ts';

/** What the two programs say over IPC once they are up. */
interface Ready {
  mqttUrl: string;
  whepUrl: string;
}

/** This tree's own daemon, as built, over WHEP; its server only introduces and is not counted. */
export const peercam: Peer = {
  name: 'peercam',
  title: 'peercam',
  settings: 'defaults; a new viewer gets the keyframe the daemon asks its source for, or the cached group of pictures',
  missing(space) {
    const absent = ['peercamd.js', 'peercam-server.js'].find((file) => !existsSync(join(space.root, 'dist', file)));
    return absent && `dist/${absent} is not built (scripts/build)`;
  },
  async start(space) {
    const run = (program: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
      new Child(process.execPath, [join(space.root, 'dist', program), ...args], {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      });
    const factory = await TestFactory.create();
    const files = await factory.serverCertificate();
    const server = run('peercam-server.js', [
      ...['--http-host', '127.0.0.1', '--http-port', '0', '--mqtt-host', '127.0.0.1', '--mqtt-port', '0'],
      ...['--tls-cert', files.certFile, '--tls-key', files.keyFile, '--cameras-ca', factory.rootFile],
    ]);
    const { mqttUrl } = (await server.message()) as Ready;
    const token = randomBytes(16).toString('hex');
    const home = mkdtempSync(join(space.scratch, 'camera-'));
    const board = await factory.board(join(home, 'board'));
    const places = ['--factory', board.folder, '--state', join(home, 'state'), '--control', join(home, 'control.sock')];
    const daemon = run(
      'peercamd.js',
      [
        ...['--server', mqttUrl, '--server-ca', files.caFile, ...places],
        ...['--source', `file:${space.clip}`, '--whep-port', '0'],
      ],
      { PEERCAM_WHEP_TOKEN: token },
    );
    const { whepUrl } = (await daemon.message()) as Ready;
    return {
      endpoint: { kind: 'whep', url: whepUrl, token },
      pids: [daemon.pid],
      feederPids: [],
      feederPort: 0,
      stop: async () => {
        await daemon.stop();
        await server.stop();
        await factory.remove();
      },
    };
  },
};
