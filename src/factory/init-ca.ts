import { resolve } from 'node:path';
import { areBoardWords } from '#identity/factory-check.ts';
import { createAuthority, PLACES } from './authority.ts';
import { type Command, usage } from './command.ts';

const MAX_NAME = 40;

/** `peercam-factory init-ca DIR`: the first day. */
export const initCa: Command = {
  name: 'init-ca',
  summary: 'make the certificate authority (once)',
  description: [
    'Makes a certificate authority in the new folder DIR: a root, and an authority for the line that the root vouches for. ' +
      'Boards are signed by the line; servers trust the root. The root key is needed again only for a further line: it ' +
      'lies in a folder of its own, root/, and should be carried away to a safe.',
    'None of these certificates ever expires, since cameras are built in for longer than anybody plans.',
  ],
  words: 'DIR',
  count: { min: 1, max: 1 },
  options: { name: { hint: 'TEXT', doc: 'Your name, for people who read the certificates.', default: 'peercam' } },
  example: ['init-ca my-factory --name "Example Cameras"'],
  async run(given) {
    const folder = given.words[0]!;
    const name = given.text('name');
    if (!areBoardWords(name) || name.length > MAX_NAME) {
      throw usage(initCa, `--name: expected 1 to ${MAX_NAME} printable ASCII characters`);
    }
    await createAuthority(folder, { name });
    process.stdout.write(advice(resolve(folder)));
  },
};

function advice(folder: string): string {
  return `The factory CA is in ${folder}. Keep these things in these places:

  ${PLACES.rootKey}
      The root key. Copy the folder root/ to two offline media, lock them away in two places,
      and delete it here. Who has it can make cameras in your name.
  line/
      The line's key, its certificate, and the list of all boards it signed. They stay on this
      machine, readable by its user only. Back them up after every day of production.
  ${PLACES.rootCertificate}
      What servers trust. Public: copy it to every server.
  ${PLACES.crl}
      The boards that are no longer trusted (none yet). Public: copy it to every server,
      and again after every \`peercam-factory revoke\`.

Next: peercam-factory provision --help
`;
}
