import { createInterface } from 'node:readline/promises';
import * as v from 'valibot';
import { type CameraConfig, cameraSchema } from '#config/camera.ts';
import { loadConfig } from '#config/load.ts';
import { serveEnrolment } from '#identity/enrolment.ts';
import { decideReset, finishReset } from '#identity/factory-reset.ts';
import { openFactoryStore } from '#identity/factory-spec.ts';
import { AppError } from '#lib/error.ts';
import { localAccessSchema, localPairSchema, localStatusSchema } from '#protocol/local-control.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { formatUid } from '#protocol/uid.ts';
import { askDaemon } from './daemon.ts';
import { accessReport, statusReport } from './report.ts';

const HELP = `peercamctl: looks after the camera on this board.

Usage: peercamctl COMMAND [options]

Commands
  status   what the camera is doing: server, picture, who watches, pairing
  uid      the camera's UID, as on its label
  pair     as a press of the button: for 15 minutes the code on the label lets somebody in
  access   who may use the camera, and the open invitations
  reset    factory reset: erases owner, guests, settings, networks and recordings; the UID and the label stay good
  enroll   answers the provisioning station on this console (production line)

Options
  --json           status and access as JSON
  --yes            reset without asking
  --store SPEC     enroll: where the factory data go, dir:/factory or nvmem:/sys/bus/nvmem/devices/…/nvmem
  --control SOCKET the daemon's socket, if not /run/peercam/control.sock
  --state DIR      the daemon's state directory, if not /var/lib/peercam (reset while no daemon runs)
  --factory SPEC   where the factory data are, if not dir:/factory (uid while no daemon runs)
  --config FILE    the daemon's configuration file
  -h, --help       this text

Run it as root or as the daemon's user. The daemon's environment variables (PEERCAM_STATE, …) count here too.
`;

const COMMANDS = { status, uid, pair, access, reset, enroll };

interface Call {
  readonly config: CameraConfig;
  readonly json: boolean;
  readonly yes: boolean;
  readonly store: string;
}

main().catch((error: unknown) => {
  if (!(error instanceof AppError || error instanceof ProtocolError)) throw error;
  process.stderr.write(`peercamctl: ${error.message}\n`);
  const usage = error instanceof AppError && (error.code === 'ctl.usage' || error.code === 'config.invalid');
  process.exitCode = usage ? 2 : 1;
});

async function main(): Promise<void> {
  const [name, ...rest] = process.argv.slice(2);
  if (name === undefined || name === 'help' || [name, ...rest].some((word) => word === '--help' || word === '-h')) {
    (name === undefined ? process.stderr : process.stdout).write(HELP);
    if (name === undefined) process.exitCode = 2;
    return;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    throw usage(`there is no command "${name.slice(0, 40)}". The commands are ${Object.keys(COMMANDS).join(', ')}`);
  }
  await COMMANDS[name as keyof typeof COMMANDS](readCall(rest));
}

function readCall(words: readonly string[]): Call {
  const argv = [...words];
  const json = take(argv, '--json');
  const yes = take(argv, '--yes');
  const store = takeValue(argv, '--store');
  const loaded = loadConfig({ program: 'peercamctl', summary: '', schema: cameraSchema, argv, env: process.env });
  if (loaded.help !== undefined) throw usage('see `peercamctl --help`');
  return { config: loaded.values, json, yes, store: store ?? loaded.values.factory };
}

async function status({ config, json }: Call): Promise<void> {
  const found = await askDaemon(config.control, 'status', localStatusSchema);
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : statusReport(found));
}

async function uid({ config }: Call): Promise<void> {
  const found = await askDaemon(config.control, 'status', localStatusSchema)
    .then((running) => running.uid)
    .catch(async (error: unknown) => {
      if (!(error instanceof AppError && error.code === 'ctl.no-daemon')) throw error;
      return (await openFactoryStore(config.factory).read())?.uid;
    });
  if (!found) {
    const text = `this board has no UID yet: ${config.factory} holds none. Give it one with \`peercam-factory provision\``;
    throw new AppError('identity.not-provisioned', text);
  }
  process.stdout.write(`${formatUid(found)}\n`);
}

async function pair({ config }: Call): Promise<void> {
  const { minutes } = await askDaemon(config.control, 'pair', localPairSchema);
  process.stdout.write(`For ${minutes} minutes the code on the camera's label lets somebody in. Scan it now.\n`);
}

async function access({ config, json }: Call): Promise<void> {
  const found = await askDaemon(config.control, 'access', localAccessSchema);
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : accessReport(found));
}

async function reset({ config, yes }: Call): Promise<void> {
  if (!yes && !(await confirmed())) {
    process.stdout.write('Nothing was changed.\n');
    process.exitCode = 1;
    return;
  }
  try {
    await askDaemon(config.control, 'reset', v.unknown());
    process.stdout.write('The camera resets itself and starts anew. Whoever scans its label now becomes its owner.\n');
  } catch (error) {
    if (!(error instanceof AppError && error.code === 'ctl.no-daemon')) throw error;
    await decideReset(config.state, 'command');
    await finishReset(config.state);
    process.stdout.write(`The camera is reset (${config.state}; its daemon was not running).\n`);
  }
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw usage('reset asks before it erases; where nobody can answer, say so with --yes');
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  process.stdout.write(
    'This erases the owner and all guests of this camera, its settings, networks and recordings. It cannot be undone.\n',
  );
  const answer = await terminal.question('Type "reset" to go on: ');
  terminal.close();
  return answer.trim() === 'reset';
}

/** Only answers go to standard output: it is the console the station listens to. */
async function enroll({ store }: Call): Promise<void> {
  await serveEnrolment({ input: process.stdin, output: process.stdout, store: openFactoryStore(store) });
  process.stdin.destroy();
}

function take(argv: string[], flag: string): boolean {
  const at = argv.indexOf(flag);
  if (at >= 0) argv.splice(at, 1);
  return at >= 0;
}

function takeValue(argv: string[], flag: string): string | undefined {
  const at = argv.findIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at < 0) return undefined;
  const [word = ''] = argv.splice(at, 1);
  const value = word === flag ? argv.splice(at, 1)[0] : word.slice(flag.length + 1);
  if (!value) throw usage(`${flag} needs a value: ${flag} SPEC`);
  return value;
}

function usage(text: string): AppError {
  return new AppError('ctl.usage', `${text}. See \`peercamctl --help\`.`);
}
