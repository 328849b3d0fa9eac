import type { Readable, Writable } from 'node:stream';
import { AppError, toAppError } from '#lib/error.ts';
import { ProtocolError, parseJsonAs } from '#protocol/parse.ts';
import { BoardTls } from './board-tls.ts';
import { frameOf, jsonInLine, LineSplitter, MAX_FRAME } from './enrolment-frame.ts';
import { type Answer, type Ask, type Question, questionSchema } from './enrolment-message.ts';
import { checkCertificate, isComplete } from './factory-check.ts';
import type { FactoryData, FactoryStore } from './factory-store.ts';
import { type NewIdentity, newIdentity } from './new-identity.ts';

export interface EnrolmentOptions {
  /** Where the station's questions come from: the console. */
  readonly input: Readable;
  /** Where the answers go. Nothing else may be written there in the middle of a line. */
  readonly output: Writable;
  readonly store: FactoryStore;
}

/**
 * The board's side of provisioning: answers a station's questions on a console (see enrolment-message.ts) until it says
 * goodbye or the input ends. The private key is made here and stays here.
 * The caller decides who may talk: whoever can is the factory.
 */
export async function serveEnrolment(options: EnrolmentOptions): Promise<void> {
  const { input, output } = options;
  const board = new EnrollingBoard(options.store);
  const splitter = new LineSplitter();
  let last: { id: string; frame: string } | undefined;
  try {
    for await (const chunk of input) {
      for (const line of splitter.push(Buffer.from(chunk as Uint8Array))) {
        const question = jsonInLine(line);
        const id = question === undefined ? undefined : idIn(question);
        // Noise, or an answer of ours that a terminal echoes.
        if (question === undefined || id === undefined) continue;
        if (last?.id !== id) last = { id, frame: await board.answer(id, question) };
        output.write(last.frame);
        if (board.ended) return;
      }
    }
  } finally {
    board.stop();
  }
}

class EnrollingBoard {
  /** Whether the station has said goodbye. */
  ended = false;
  private readonly store: FactoryStore;
  private fresh: NewIdentity | undefined;
  /** What `read-back` found in the store: the TLS check is about just that. */
  private readBackData: FactoryData | undefined;
  private tls: BoardTls | undefined;

  constructor(store: FactoryStore) {
    this.store = store;
  }

  async answer(id: string, json: string): Promise<string> {
    try {
      const question = parseJsonAs(questionSchema, json, 'question', MAX_FRAME);
      return frameOf({ answer: id, result: await this.reply(question) });
    } catch (error) {
      const code = error instanceof ProtocolError ? 'enrolment.bad-question' : 'enrolment.failed';
      const known = toAppError(error, code);
      return frameOf({ answer: id, error: { code: known.code, message: known.message.slice(0, 1000) } });
    }
  }

  stop(): void {
    this.tls?.close();
  }

  private reply(question: Question): Promise<Answer<Ask>> {
    switch (question.ask) {
      case 'describe':
        return this.describe();
      case 'enroll':
        return this.enroll(question.replace);
      case 'install':
        return this.install(question);
      case 'read-back':
        return this.readBack();
      case 'challenge':
        return this.challenge(question.caPem);
      case 'tls':
        return this.continueTls(question.data);
      case 'end':
        this.ended = true;
        return Promise.resolve({});
    }
  }

  private async describe(): Promise<Answer<'describe'>> {
    const store = this.store.description.slice(0, 300);
    try {
      const data = await this.store.read();
      const state = data === undefined ? 'empty' : isComplete(data) ? 'complete' : 'partial';
      return { state, store, ...(data?.uid && { uid: data.uid }) };
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'factory.damaged') throw error;
      return { state: 'damaged', store, problem: error.message.slice(0, 1000) };
    }
  }

  /** Nothing is stored before there is a certificate to it: a power cut until then leaves the board as it was. */
  private async enroll(replace: boolean): Promise<Answer<'enroll'>> {
    const { state, uid } = await this.describe();
    if (!replace && (state === 'complete' || state === 'damaged')) {
      throw new AppError(
        'enrolment.provisioned',
        state === 'complete'
          ? `this board is ${uid} already, and was not told to become another one`
          : 'this board holds damaged factory data, and was not told to replace them',
      );
    }
    this.fresh = newIdentity();
    const { uid: freshUid, setupCode, request } = this.fresh;
    return { uid: freshUid, setupCode, request: request.toString('base64') };
  }

  private async install(given: Pick<FactoryData, 'certificatePem' | 'model' | 'hardwareRevision'>) {
    if (!this.fresh) throw new AppError('enrolment.not-enrolled', 'this board was not asked to make a key yet');
    const { certificatePem, model, hardwareRevision } = given;
    const { uid, privateKey, privateKeyPem, setupCode } = this.fresh;
    checkCertificate({ text: certificatePem, place: 'the certificate sent' }, privateKey, uid);
    this.readBackData = undefined;
    await this.store.write({ uid, privateKeyPem, setupCode, certificatePem, model, hardwareRevision });
    this.fresh = undefined;
    return {};
  }

  private async readBack(): Promise<Answer<'read-back'>> {
    this.readBackData = await this.stored();
    const { uid, setupCode, certificatePem, model, hardwareRevision } = this.readBackData;
    return { uid, setupCode, certificatePem, model, hardwareRevision };
  }

  private async challenge(caPem: string): Promise<Answer<'challenge'>> {
    const { privateKeyPem, certificatePem } = this.readBackData ?? (await this.stored());
    this.tls?.close();
    this.tls = new BoardTls({ privateKeyPem, certificatePem, caPem });
    return { data: await this.tls.exchange('') };
  }

  private async continueTls(data: string): Promise<Answer<'tls'>> {
    if (!this.tls) throw new AppError('enrolment.no-challenge', 'no TLS conversation was begun');
    return { data: await this.tls.exchange(data) };
  }

  private async stored(): Promise<FactoryData> {
    const data = await this.store.read();
    if (isComplete(data)) return data;
    throw new AppError('enrolment.incomplete', `${this.store.description} does not hold all of a board's factory data`);
  }
}

function idIn(json: string): string | undefined {
  try {
    const { ask, id } = JSON.parse(json) as { ask?: unknown; id?: unknown };
    return typeof ask === 'string' && typeof id === 'string' && /^[0-9a-f]{8,16}$/.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
