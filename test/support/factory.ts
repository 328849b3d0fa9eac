import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority, LineAuthority, PLACES } from '#factory/authority.ts';
import { makeRoot, makeServerCertificate, pemOf, readIssuer } from '#factory/certificates.ts';
import { FactoryDirectory } from '#identity/factory-directory.ts';
import { newIdentity } from '#identity/new-identity.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';

export interface TestBoard {
  readonly uid: Uid;
  readonly setupCode: SetupCode;
  readonly folder: string;
}

export interface ServerFiles {
  readonly certPem: string;
  readonly keyPem: string;
  readonly caPem: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/** A factory of one's own for a test: a CA and a line in a temporary folder, made by the product's modules. */
export class TestFactory {
  /** The factory CA: what brokers trust, PEM. */
  readonly rootPem: string;
  /** The same in a file. */
  readonly rootFile: string;
  private readonly folder: string;
  private readonly line: LineAuthority;
  private servers = 0;

  private constructor(folder: string, line: LineAuthority) {
    this.folder = folder;
    this.line = line;
    this.rootPem = line.rootPem;
    this.rootFile = join(folder, 'ca', PLACES.rootCertificate);
  }

  static async create(): Promise<TestFactory> {
    const folder = await mkdtemp(join(tmpdir(), 'peercam-factory-'));
    await createAuthority(join(folder, 'ca'), { name: 'Test' });
    return new TestFactory(folder, await LineAuthority.open(join(folder, 'ca')));
  }

  /** Provisions a software board into a directory store; the folder may not exist yet. */
  async board(folder: string, options: { model?: string } = {}): Promise<TestBoard> {
    const { uid, privateKeyPem, setupCode, request } = newIdentity();
    const { certificatePem } = await this.line.sign(request);
    await new FactoryDirectory(folder).write({
      uid,
      privateKeyPem,
      setupCode,
      certificatePem,
      model: options.model ?? 'Test board',
      hardwareRevision: 'A',
    });
    return { uid, setupCode, folder };
  }

  /** A TLS server's certificate by a CA of its own: for loopback, unless hosts are named. */
  async serverCertificate(hosts: readonly string[] = LOOPBACK): Promise<ServerFiles> {
    const ca = await makeRoot({ name: 'Test Server CA', pathLength: 0 });
    const caPem = pemOf(ca.certificate);
    const server = await makeServerCertificate(await readIssuer(caPem, ca.keyPem), { hosts, days: 30 });
    const certPem = pemOf(server.certificate);
    const stem = join(this.folder, `server-${++this.servers}`);
    const files = { certFile: `${stem}.crt`, keyFile: `${stem}.key`, caFile: `${stem}-ca.crt` };
    await writeFile(files.certFile, certPem);
    await writeFile(files.keyFile, server.keyPem, { mode: 0o600 });
    await writeFile(files.caFile, caPem);
    return { certPem, keyPem: server.keyPem, caPem, ...files };
  }

  /** Path of a PEM file with the revocation lists (the root's and the line's): everything revoked so far. */
  revoke(uid: Uid): Promise<string> {
    return this.line.revoke([uid]);
  }

  /** The same file while nothing is revoked, or with what is. */
  emptyCrl(): Promise<string> {
    return this.line.revoke([]);
  }

  async remove(): Promise<void> {
    await this.line.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
