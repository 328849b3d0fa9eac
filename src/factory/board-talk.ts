import { randomBytes } from 'node:crypto';
import type * as v from 'valibot';
import { frameOf, jsonInLine, LineSplitter, MAX_FRAME } from '#identity/enrolment-frame.ts';
import { type Answer, type Ask, answerSchema, answerSchemas, type Question } from '#identity/enrolment-message.ts';
import { AppError } from '#lib/error.ts';
import { ProtocolError, parseAs, parseJsonAs } from '#protocol/parse.ts';
import type { Link } from './link.ts';

/** A frame that noise destroyed is asked for again after so long, ms. */
const REPEAT_MS = 3_000;
const ATTEMPTS = 5;
/** Until a board is heard for the first time: a slow one takes some seconds to start the program. */
const FIRST_REPEAT_MS = 1_500;
const FIRST_ATTEMPTS = 10;
/** The start line is typed at the second attempt, and again after so many more. */
const TYPE_EVERY = 5;

type Rest<A extends Ask> = Omit<Extract<Question, { ask: A }>, 'ask' | 'id'>;

/** The station's side of the conversation with a board: one question at a time, repeated where noise ate it. */
export class BoardTalk {
  private readonly link: Link;
  private readonly splitter = new LineSplitter();
  private waiting: { id: string; resolve: (answer: v.InferOutput<typeof answerSchema>) => void } | undefined;
  private heard = false;

  constructor(link: Link) {
    this.link = link;
  }

  start(): void {
    this.link.input.on('data', (chunk: Buffer) => {
      for (const line of this.splitter.push(chunk)) this.onLine(line);
    });
  }

  /** Throws an AppError: the board's own where it says that it cannot, `factory.no-answer` where it says nothing. */
  async ask<A extends Ask>(ask: A, rest: Rest<A>): Promise<Answer<A>> {
    const id = randomBytes(8).toString('hex');
    const frame = frameOf({ ask, id, ...rest });
    const { error, result } = await Promise.race([this.exchange(id, frame), this.link.lost]);
    if (error) throw new AppError(error.code, `the board says: ${error.message}`);
    try {
      return parseAs(answerSchemas[ask], result, `the board's answer to "${ask}"`) as Answer<A>;
    } catch (problem) {
      if (problem instanceof ProtocolError) throw nonsense(problem);
      throw problem;
    }
  }

  private async exchange(id: string, frame: string): Promise<v.InferOutput<typeof answerSchema>> {
    const answered = new Promise<v.InferOutput<typeof answerSchema>>((resolve) => {
      this.waiting = { id, resolve };
    });
    for (let attempt = 0; attempt < (this.heard ? ATTEMPTS : FIRST_ATTEMPTS); attempt++) {
      const { startLine, output } = this.link;
      if (startLine && !this.heard && attempt % TYPE_EVERY === 1) output.write(`\n${startLine}\n`);
      output.write(frame);
      const answer = await within(this.heard ? REPEAT_MS : FIRST_REPEAT_MS, answered);
      if (answer) return answer;
    }
    throw new AppError(
      'factory.no-answer',
      'the board does not answer: it must be switched on, and run `peercamctl enroll` at this end of the link ' +
        '(at a serial console it is started by itself where a root shell is waiting; log in there first)',
    );
  }

  private onLine(line: string): void {
    const json = jsonInLine(line);
    if (json === undefined) return;
    try {
      const answer = parseJsonAs(answerSchema, json, "the board's answer", MAX_FRAME);
      if (answer.answer !== this.waiting?.id) return;
      this.heard = true;
      this.waiting.resolve(answer);
    } catch (error) {
      // Our own question, echoed by a terminal, or a frame of nobody's: what is missing will be asked for again.
      if (!(error instanceof ProtocolError)) throw error;
    }
  }
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function nonsense(problem: ProtocolError): AppError {
  return new AppError(
    'factory.bad-answer',
    `${problem.message}. Does the board run the same version of peercam as this station?`,
    {
      cause: problem,
    },
  );
}
