import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CameraConfig, cameraSchema } from '#config/camera.ts';
import { loadConfig } from '#config/load.ts';
import { SettingsStore } from '#config/settings-store.ts';
import { nodeDataChannelPeers } from '#device/rtc-peer.ts';
import { createSource } from '#device/source.ts';
import { AccessBook } from '#identity/access-book.ts';
import { AuditLog } from '#identity/audit-log.ts';
import { loadDeviceIdentity } from '#identity/device-key.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';
import { loadOperationalKey } from '#identity/operational-key.ts';
import { openBrokerStream, readAuthorities } from '#identity/server-trust.ts';
import { TrustedTime } from '#identity/trusted-time.ts';
import { systemClock } from '#lib/clock.ts';
import { AppError, errorText } from '#lib/error.ts';
import { createLogger, type Logger, type LogLevel } from '#lib/logger.ts';
import { formatUid } from '#protocol/uid.ts';
import { type CameraTrust, createCamera } from './camera.ts';
import { version } from './version.ts';

const SUMMARY =
  'The peercam daemon: takes the H.264 picture of a camera board and sends it straight to the browsers of those whom ' +
  'its owner lets in.';
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

  const trust = await openTrust(config, log);
  const { uid } = trust.identity;
  const source = createSource({ spec: config.source, patternClip: patternClip(), log: log.child({ part: 'source' }) });
  const camera = createCamera({
    config,
    trust,
    devices: {
      source,
      peers: nodeDataChannelPeers({ log }),
      clock: systemClock,
    },
    log,
  });
  const stop = async (reason: string) => {
    await camera.stop(reason);
    await closeTrust(trust);
  };
  stopOnSignals(stop, log);
  log.info(
    { uid: formatUid(uid), version, source: source.spec, server: new URL(config.server.url).host },
    'peercamd starts',
  );
  const { whepUrl } = await camera.start();
  log.info({ uid: formatUid(uid) }, 'viewers can find this camera');
  // A parent that forked us (the demo, a test) learns when, and where.
  process.send?.({ type: 'ready', uid, whepUrl });
}

/** Who this camera is, who may use it, what time it is: the parts that are the same whoever watches. */
async function openTrust(config: CameraConfig, log: Logger): Promise<CameraTrust> {
  const stateDir = config.state;
  await makeStateDir(stateDir);
  const identity = await loadDeviceIdentity(openFactoryStore(config.factory));
  const time = await TrustedTime.open({ stateDir, log: log.child({ part: 'time' }) });
  const now = () => time.now();
  const authorities = await readAuthorities(config.server.ca);
  return {
    identity,
    time,
    sealing: await loadOperationalKey(stateDir),
    access: await AccessBook.open({
      stateDir,
      setupCode: identity.setupCode,
      now,
      log: log.child({ part: 'access' }),
      clock: systemClock,
    }),
    audit: await AuditLog.open({ stateDir, now, log: log.child({ part: 'audit' }), clock: systemClock }),
    settings: await SettingsStore.open({ stateDir, defaults: { name: config.name }, log }),
    openBroker: (signal) =>
      openBrokerStream(
        {
          url: config.server.url,
          privateKeyPem: identity.privateKeyPem,
          certificatePem: identity.certificatePem,
          authorities,
          time,
        },
        signal,
      ),
  };
}

async function closeTrust({ access, audit, time }: CameraTrust): Promise<void> {
  await access.close();
  await audit.close();
  await time.stop();
}

/** Not recursive: a state directory in the wrong place is a mistake, and Node loops for ever where /proc refuses one. */
async function makeStateDir(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new AppError(
      'state.unusable',
      `the state directory ${path} cannot be made (${errorText(error)}): give a writable one with --state`,
      { cause: error },
    );
  }
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
