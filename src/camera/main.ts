import { type CameraConfig, cameraSchema } from '#config/camera.ts';
import { loadConfig } from '#config/load.ts';
import { finishReset } from '#identity/factory-reset.ts';
import { AppError } from '#lib/error.ts';
import { createLogger, type Logger, type LogLevel } from '#lib/logger.ts';
import { formatUid } from '#protocol/uid.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { version } from './version.ts';

const SUMMARY =
  'The peercam daemon: takes the H.264 picture of a camera board and sends it straight to the browsers of those whom ' +
  'its owner lets in.';
/** A shutdown that takes longer than this is cut short. */
const SHUTDOWN_MS = 3_000;

main().catch(fail);

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
  let running: Daemon | undefined;
  stopOnSignals(async () => running?.stop('stopping'), log);
  // A reset ends the camera and begins a new one, in the same process: nothing has to start it.
  for (;;) {
    let reset: () => void = () => {};
    const resetDecided = new Promise<void>((resolve) => {
      reset = resolve;
    });
    running = await startDaemon({ config, log, onReset: reset });
    announce(running, log);
    await resetDecided;
    await factoryReset(running, config, log);
  }
}

function announce(daemon: Daemon, log: Logger): void {
  const uid = formatUid(daemon.uid);
  log.info({ uid, version }, 'peercamd starts');
  daemon.ready.then(({ whepUrl }) => {
    log.info({ uid }, 'viewers can find this camera');
    // A parent that forked us (the demo, a test) learns when, and where.
    process.send?.({ type: 'ready', uid: daemon.uid, whepUrl });
  }, fail);
}

async function factoryReset(daemon: Daemon, config: CameraConfig, log: Logger): Promise<void> {
  log.warn({}, 'factory reset: everything that belongs to the owner is erased');
  await daemon.stop('being reset');
  await finishReset(config.state);
}

function fail(error: unknown): void {
  if (!(error instanceof AppError)) throw error;
  process.stderr.write(`peercamd: ${error.message}\n`);
  process.exit(error.code === 'config.invalid' ? 2 : 1);
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

function stopOnSignals(stop: () => Promise<void>, log: Logger): void {
  let stopping = false;
  const onSignal = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info({ signal }, 'peercamd stops');
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    // The WebRTC library's own threads do not end by themselves.
    stop().then(() => process.exit(0));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // A parent that is gone cannot stop us any more.
  process.on('disconnect', () => onSignal('disconnect'));
}
