import { type Command, usage } from './command.ts';
import { isHost, issueServerCertificate } from './server-authority.ts';

/** `peercam-factory server-cert DIR`. */
export const serverCert: Command = {
  name: 'server-cert',
  summary: 'make a TLS certificate for a server that has no public name',
  description: [
    'For servers inside a company or a laboratory. A server with a public name gets its certificate from a public ' +
      'authority (Let’s Encrypt) instead, and needs none of this.',
    'Makes an authority for servers in DIR/server-ca (at the first call), and a certificate for the hosts given. It is another ' +
      'authority than the one that signs cameras. Cameras must be told to trust server-ca.crt. Run the same command again to ' +
      'renew a certificate before it ends.',
  ],
  words: 'DIR',
  count: { min: 1, max: 1 },
  options: {
    host: {
      hint: 'NAME',
      doc: 'Name or IP address of the server, as cameras and browsers call it.',
      required: true,
      multiple: true,
    },
    days: { hint: 'N', doc: 'How long the certificate is valid.', default: '825' },
  },
  example: ['server-cert my-factory --host cameras.lan --host 192.0.2.7'],
  async run(given) {
    const hosts = given.all('host');
    const wrong = hosts.find((host) => !isHost(host));
    if (wrong !== undefined)
      throw usage(serverCert, `--host: "${wrong.slice(0, 80)}" is neither a host name nor an IP address`);
    const days = given.number('days', { min: 1, max: 36_500 });
    const { certificate, key, ca } = await issueServerCertificate(given.words[0]!, { hosts, days });
    process.stdout.write(
      `For the server: ${certificate}\n                ${key} (secret)\n` +
        `For cameras:    ${ca}\nValid for ${days} days, for ${hosts.join(', ')}.\n`,
    );
  },
};
