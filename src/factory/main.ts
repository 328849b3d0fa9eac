import { AppError } from '#lib/error.ts';
import { batch } from './batch.ts';
import { type Command, readArguments } from './command.ts';
import { commandHelp, programHelp } from './help.ts';
import { initCa } from './init-ca.ts';
import { label } from './label.ts';
import { provision } from './provision.ts';
import { revoke } from './revoke.ts';
import { serverCert } from './server-cert.ts';

/** Exit codes: 1 it could not be done, 2 wrong command line, 70 a defect of this program. */
const FAILED = 1;
const WRONG_USE = 2;

const COMMANDS: readonly Command[] = [initCa, serverCert, provision, batch, label, revoke];

main(process.argv.slice(2)).catch((error: unknown) => {
  if (!(error instanceof AppError)) throw error;
  process.stderr.write(`peercam-factory: ${error.message}\n`);
  process.exit(error.code === 'factory.usage' ? WRONG_USE : FAILED);
});

async function main(argv: readonly string[]): Promise<void> {
  const [name, ...rest] = argv;
  if (name === undefined || ['--help', '-h'].includes(name) || (name === 'help' && rest.length === 0)) {
    process.stdout.write(programHelp(COMMANDS));
    return;
  }
  const command = find(name === 'help' ? rest[0]! : name);
  if (name === 'help' || rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(commandHelp(command));
    return;
  }
  await command.run(readArguments(command, rest));
}

function find(name: string): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command) return command;
  const names = COMMANDS.map((candidate) => candidate.name).join(', ');
  throw new AppError(
    'factory.usage',
    `there is no command "${name.slice(0, 40)}". It understands: ${names}. \`peercam-factory --help\` explains them.`,
  );
}
