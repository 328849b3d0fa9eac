import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cameraSchema } from '#config/camera.ts';
import { loadConfig } from '#config/load.ts';
import { nodeDataChannelPeers } from '#device/rtc-peer.ts';
import { createSource } from '#device/source.ts';
import { loadDeviceKey } from '#identity/device-key.ts';
import { plainEnvelope } from '#identity/envelope.ts';
import { systemClock } from '#lib/clock.ts';
import { AppError } from '#lib/error.ts';
import { createLogger, type Logger, type LogLevel } from '#lib/logger.ts';
import { formatUid } from '#protocol/uid.ts';
import { createCamera } from './camera.ts';
import { version } from './version.ts';

const SUMMARY =
  'The peercam daemon: takes the H.264 picture of a camera board and sends it straight to the browsers that ask for it by UID.';
/** A shutdown that takes longer than this is cut short. */
const SHUTDOWN_MS = 3_000;

main().catch((error: unknown) => {
  if (!(error instanceof AppError)) throw error;
  process.stderr.write(`peercamd: ${error.message}\n`);
  process.exit(error.code === 'config.invalid' ? 2 : 1);
});

async function main(): Promise<void> {
  const loaded = loadConfig({
    program: 'peercamd',
    summary: SUMMARY,
    schema: cameraSchema,
    argv: process.argv.slice(2),
    env: process.env,
  });
  if (loaded.help !== undefined) {
    process.stdout.write(loaded.help);
    return;
  }
  const config = loaded.values;
  const log = createLogger({ name: 'peercamd', level: config.log.level as LogLevel });
  endOnDefects(log);

  const key = await loadDeviceKey(config.state);
  const source = createSource({ spec: config.source, patternClip: patternClip(), log: log.child({ part: 'source' }) });
  const camera = createCamera({
    config,
    key,
    envelope: plainEnvelope(key.uid),
    devices: {
      source,
      peers: nodeDataChannelPeers({ log }),
      clock: systemClock,
    },
    log,
  });
  stopOnSignals(camera.stop, log);
  log.info(
    { uid: formatUid(key.uid), version, source: source.spec, server: new URL(config.server.url).host },
    'peercamd starts',
  );
  const { whepUrl } = await camera.start();
  log.info({ uid: formatUid(key.uid) }, 'viewers can find this camera');
  // A parent that forked us (the demo, a test) learns when, and where.
  process.send?.({ type: 'ready', uid: key.uid, whepUrl });
}

/** The demo's clip lies beside the bundle; in the source tree with its source. */
function patternClip(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith('camera') ? join(here, '../device/sim/pattern.h264') : join(here, 'pattern.h264');
}

/** What nobody expected leaves the program in a state nobody knows: it ends, and its supervisor starts it afresh. */
function endOnDefects(log: Logger): void {
  const end = (err: unknown) => {
    log.fatal({ err }, 'a defect: the program ends');
    process.exit(70);
  };
  process.on('uncaughtException', end);
  process.on('unhandledRejection', end);
}

function stopOnSignals(stop: (reason: string) => Promise<void>, log: Logger): void {
  let stopping = false;
  const onSignal = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'peercamd stops');
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    // The WebRTC library's own threads do not end by themselves.
    stop('stopping').then(() => process.exit(0));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // A parent that is gone cannot stop us any more.
  process.on('disconnect', () => onSignal('disconnect'));
}
