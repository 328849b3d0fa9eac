import { formatUid, parseUid } from '#protocol/uid.ts';
import { LineAuthority } from './authority.ts';
import { type Command, usage } from './command.ts';
import { lockFolders } from './lock.ts';

/** `peercam-factory revoke DIR UID…`. */
export const revoke: Command = {
  name: 'revoke',
  summary: 'say that boards are no longer to be trusted',
  description: [
    'Adds boards to the revocation list of the CA in DIR and writes the list anew, DIR/revoked.crl. Copy it to every ' +
      'server: from then on the boards are refused there. For boards that were stolen from the line, or replaced. Without ' +
      'a UID the list is only written anew.',
    'The list does not run out. It holds one part by the root and one by the line, as OpenSSL (Node, Mosquitto) wants it.',
  ],
  words: 'DIR UID…',
  count: { min: 1, max: Number.POSITIVE_INFINITY },
  options: {},
  example: ['revoke my-factory 7KQ2M-0B9XT-4HNRC-W8E5Z'],
  async run({ words: [folder, ...texts] }) {
    const uids = texts.map((text) => {
      const uid = parseUid(text);
      if (uid) return uid;
      throw usage(revoke, `"${text.slice(0, 40)}" is not a UID: 20 letters and digits, as on the label`);
    });
    const unlock = await lockFolders([folder!]);
    try {
      const line = await LineAuthority.open(folder!);
      const path = await line.revoke(uids);
      await line.close();
      for (const uid of uids) process.stdout.write(`revoked ${formatUid(uid)}\n`);
      process.stdout.write(`The list is ${path}: copy it to every server.\n`);
    } finally {
      await unlock();
    }
  },
};
