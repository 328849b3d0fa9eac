import { createHash, X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Answer } from '#identity/enrolment-message.ts';
import { AppError, errorText } from '#lib/error.ts';
import { formatUid, type Uid } from '#protocol/uid.ts';
import { LineAuthority, type Signed } from './authority.ts';
import { type BoardSpec, openLink } from './board-spec.ts';
import { BoardTalk } from './board-talk.ts';
import { LabelFolder } from './label-data.ts';
import { Ledger, type LedgerEntry } from './ledger.ts';
import { lockFolders } from './lock.ts';
import { TlsCheck } from './tls-check.ts';

export interface StationOptions {
  /** Folder of the CA. */
  readonly ca: string;
  /** Folder of the ledger and the labels; made where it is missing. */
  readonly out: string;
  readonly model: string;
  readonly revision: string;
  /** Its name in the ledger; the host's where none is given. */
  readonly name?: string;
  /** What a board runs to answer. */
  readonly command: string;
}

/** What became of a board. */
export interface Outcome {
  readonly uid: Uid;
  /**
   * `made`: a new camera. `finished`: an earlier run installed its certificate and was cut off; this one did the rest.
   * `done`: an earlier run finished it.
   */
  readonly what: 'made' | 'finished' | 'done';
  /** Who the board was before, where it was another camera. */
  readonly replaced?: Uid;
}

/** A place where boards are given their identity, one or several at a time. */
export class Station {
  private readonly options: StationOptions;
  private readonly line: LineAuthority;
  private readonly ledger: Ledger;
  private readonly labels: LabelFolder;
  /** Those not in use: each checks one board at a time. */
  private readonly checks: TlsCheck[] = [];
  private readonly unlock: () => Promise<void>;

  private constructor(
    options: StationOptions,
    parts: { line: LineAuthority; ledger: Ledger; unlock: () => Promise<void> },
  ) {
    this.options = options;
    this.line = parts.line;
    this.ledger = parts.ledger;
    this.unlock = parts.unlock;
    this.labels = new LabelFolder(options.out);
  }

  /** Throws an AppError where the CA or the ledger cannot be used, or another program is using them. */
  static async open(options: StationOptions): Promise<Station> {
    await makeFolder(options.out);
    const unlock = await lockFolders([options.ca, options.out]);
    try {
      const line = await LineAuthority.open(options.ca);
      const ledger = await Ledger.open(options.out);
      return new Station(options, { line, ledger, unlock });
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /**
   * Takes a board from where it is to finished: certified, read back, proved over TLS, label data kept, in the ledger.
   * A board that is done already is left alone.
   * @param options.replace make another camera of a board that is one
   */
  async provision(board: BoardSpec, options: { replace: boolean }): Promise<Outcome> {
    const link = await openLink(board, this.options.command);
    try {
      const talk = new BoardTalk(link);
      talk.start();
      const outcome = await this.handle(board, talk, options);
      await talk.ask('end', {}).catch(() => {});
      return outcome;
    } finally {
      await link.close();
    }
  }

  async close(): Promise<void> {
    await this.ledger.close();
    await this.line.close();
    await this.unlock();
  }

  private async handle(board: BoardSpec, talk: BoardTalk, { replace }: { replace: boolean }): Promise<Outcome> {
    const { state, uid, problem } = await talk.ask('describe', {});
    if (state === 'complete' && !replace) return this.meetAgain(board, talk, uid!);
    if (state === 'damaged' && !replace) throw damagedBoard(problem ?? '');
    const made = await talk.ask('enroll', { replace });
    const signed = await this.line.sign(Buffer.from(made.request, 'base64'));
    if (signed.uid !== made.uid) throw contradiction('its request is for another UID than it says');
    const { model, revision: hardwareRevision } = this.options;
    await talk.ask('install', { certificatePem: signed.certificatePem, model, hardwareRevision });
    const stored = await talk.ask('read-back', {});
    this.compare(stored, { ...signed, setupCode: made.setupCode });
    await this.finish(board, talk, stored);
    return { uid: signed.uid, what: 'made', ...(uid && state === 'complete' && { replaced: uid }) };
  }

  /** A board that has all it needs: of an earlier run, of another factory, or a copy. */
  private async meetAgain(board: BoardSpec, talk: BoardTalk, uid: Uid): Promise<Outcome> {
    const entry = this.ledger.get(uid);
    if (entry?.board === board.text) return { uid, what: 'done' };
    if (entry) throw elsewhere(entry, board);
    const serial = this.line.signedSerial(uid);
    if (serial === undefined) throw stranger(uid);
    const stored = await talk.ask('read-back', {});
    if (stored.uid !== uid || serialOf(new X509Certificate(stored.certificatePem)) !== serial) throw stranger(uid);
    await this.finish(board, talk, stored);
    return { uid, what: 'finished' };
  }

  private compare(stored: Answer<'read-back'>, written: Signed & { setupCode: string }): void {
    const { model, revision } = this.options;
    if (stored.uid !== written.uid) throw contradiction('it reads back another UID');
    if (stored.setupCode !== written.setupCode) throw contradiction('it reads back another setup code');
    if (!sameCertificates(stored.certificatePem, written.certificatePem)) {
      throw contradiction('it reads back another certificate');
    }
    if (stored.model !== model || stored.hardwareRevision !== revision) {
      throw contradiction('it reads back another model or revision');
    }
  }

  /** The label comes before the ledger: what stands in the ledger is finished. */
  private async finish(board: BoardSpec, talk: BoardTalk, stored: Answer<'read-back'>): Promise<void> {
    const { uid, setupCode, certificatePem, model, hardwareRevision: revision } = stored;
    const certificate = new X509Certificate(certificatePem);
    await this.checkByTls(talk, certificate);
    await this.labels.write({ uid, setupCode, model, revision });
    await this.ledger.add({
      uid,
      serial: serialOf(certificate),
      fingerprint: createHash('sha256').update(certificate.raw).digest('hex'),
      model,
      revision,
      at: new Date().toISOString(),
      station: this.options.name ?? hostname(),
      board: board.text,
    });
  }

  private async checkByTls(talk: BoardTalk, certificate: X509Certificate): Promise<void> {
    const check = this.checks.pop() ?? (await TlsCheck.create(this.line.rootPem));
    await check.run(talk, certificate.raw);
    // Not after a failure: what is left of that connection is nobody else's.
    this.checks.push(check);
  }
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw new AppError(
      'factory.not-written',
      `the output folder ${folder} cannot be made (${errorText(error)}): give a folder in a place that exists and that ` +
        'this user may write',
      { cause: error },
    );
  }
}

function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase();
}

function sameCertificates(a: string, b: string): boolean {
  const bare = (pem: string) => pem.replace(/\s/g, '');
  return bare(a) === bare(b);
}

function damagedBoard(problem: string): AppError {
  return new AppError(
    'factory.damaged',
    `the board holds damaged factory data (${problem}). To make a new camera of it, with a new UID and label, run the command again ` +
      'with --replace',
  );
}

function elsewhere(entry: LedgerEntry, board: BoardSpec): AppError {
  return new AppError(
    'factory.provisioned',
    `the board at ${board.text} says it is ${formatUid(entry.uid)}, which was made at ${entry.board} (${entry.at}). If it is the same ` +
      'board, it is finished; if it is another one, its storage is a copy: flash it with the original image. --replace makes a new ' +
      'camera of it, with a new UID and label',
  );
}

function stranger(uid: Uid): AppError {
  return new AppError(
    'factory.provisioned',
    `the board is provisioned already: it is ${formatUid(uid)}, but not by this CA. To make a new camera of it, with a new UID ` +
      'and label, run the command again with --replace',
  );
}

function contradiction(problem: string): AppError {
  return new AppError(
    'factory.read-back',
    `the board did not store what it was given: ${problem}. Its memory may be worn or write-protected: provision it again with ` +
      '--replace, and set it aside if that fails too',
  );
}
