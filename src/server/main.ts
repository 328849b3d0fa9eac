import { fileURLToPath } from 'node:url';
import { loadConfig } from '#config/load.ts';
import { AppError } from '#lib/error.ts';
import { createLogger } from '#lib/logger.ts';
import { type ServerConfig, schema, summary } from './config.ts';
import { createServer } from './server.ts';

/** Exit codes: 1 could not start, or failed; 2 wrong settings. */
const FAILED = 1;
const WRONG_SETTINGS = 2;
/** Whatever a connection may hold up, the program is gone by then, ms. */
const STOP_LIMIT_MS = 1_500;

function settings(): ServerConfig {
  try {
    const program = 'peercam-server';
    const loaded = loadConfig({ program, summary, schema, argv: process.argv.slice(2), env: process.env });
    if (loaded.help === undefined) return loaded.values;
    process.stdout.write(loaded.help);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    process.stderr.write(`peercam-server: ${error.message}\n`);
    process.exit(WRONG_SETTINGS);
  }
}

const config = settings();
const log = createLogger({ name: 'peercam-server', level: config.log.level });
process.on('uncaughtException', (error) => {
  log.fatal({ err: error }, 'unexpected error: the server ends, to be started again');
  process.exit(FAILED);
});

// The build puts the viewer's files beside this program.
const viewerFolder = config.viewer.folder || fileURLToPath(new URL('viewer', import.meta.url));
const server = createServer({ config, viewerFolder, log });

let stopping = false;
async function stop(cause: string): Promise<void> {
  if (stopping) process.exit(FAILED);
  stopping = true;
  log.info({ cause }, 'stopping');
  setTimeout(() => process.exit(0), STOP_LIMIT_MS);
  await server.stop();
  process.exit(0);
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// Certificate files have changed.
process.on('SIGHUP', () => void server.reload());
// Started by another program (the demo, a test): not to outlive it.
process.on('disconnect', () => stop('parent gone'));

try {
  const addresses = await server.start();
  log.info(addresses, 'peercam-server is ready');
  process.send?.({ type: 'ready', ...addresses });
} catch (error) {
  if (!(error instanceof AppError)) throw error;
  log.fatal({ code: error.code }, error.message);
  process.exit(FAILED);
}
