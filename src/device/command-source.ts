import { basename } from 'node:path';
import type { Clock } from '#lib/clock.ts';
import { Complaints } from '#lib/complaints.ts';
import { AppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { AccessUnit } from '#media/access-unit.ts';
import { LiveSplitter } from '#media/live-splitter.ts';
import { ParameterSetCache, type Sps } from '#media/parameter-sets.ts';
import type { VideoSink, VideoSource, VideoSourceInfo } from '#media/video-source.ts';
import { Child, type ChildEnd } from './child.ts';
import { parseCommandLine } from './command-line.ts';
import { withoutPasswords } from './redact.ts';

export interface CommandSourceOptions {
  /** `command:PROGRAM ARGS…`, see `parseCommandLine`. */
  readonly spec: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Network cameras take some seconds to connect and wait for their next IDR. */
const START_MS = 10_000;
/** A program that has written so much and no picture writes something else. */
const START_BYTES = 2 * 1024 * 1024;

/**
 * Any program that writes Annex-B H.264 to its standard output, such as rpicam-vid, ffmpeg or gst-launch-1.0. It runs
 * without a shell, in a process group of its own, which is ended as a whole; of the environment it sees only where
 * things are (PATH, HOME, LANG, …). Pictures carry the time of their arrival; see LiveSplitter for the latency.
 * Standard error is shown when it fails.
 */
export class CommandSource implements VideoSource {
  /** Without passwords in URLs. */
  readonly spec: string;
  private readonly argv: readonly string[];
  private readonly clock: Clock;
  private readonly complaints: Complaints;
  private run: Run | undefined;

  /** Throws AppError `source.bad-spec`. */
  constructor(options: CommandSourceOptions) {
    this.spec = withoutPasswords(options.spec);
    this.argv = parseCommandLine(options.spec.slice('command:'.length));
    this.clock = options.clock;
    this.complaints = new Complaints({ log: options.log, now: () => options.clock.now() });
  }

  async start(sink: VideoSink): Promise<VideoSourceInfo> {
    if (this.run) throw new Error('CommandSource is already started');
    const run = new Run({ argv: this.argv, clock: this.clock, sink, complaints: this.complaints });
    this.run = run;
    run.onEnd = () => {
      if (this.run === run) this.run = undefined;
    };
    const sps = await run.start();
    return {
      width: sps.width,
      height: sps.height,
      frameRate: sps.frameRate,
      canForceKeyFrame: false,
      canSetBitrate: false,
      description: `program ${basename(this.argv[0]!)}`,
    };
  }

  async stop(): Promise<void> {
    await this.run?.stop();
  }

  requestKeyFrame(): void {}

  setBitrate(): void {}
}

/** One start of the program. */
class Run {
  onEnd: () => void = () => {};
  private readonly sink: VideoSink;
  private readonly clock: Clock;
  private readonly program: string;
  private readonly child: Child;
  private readonly splitter: LiveSplitter;
  private readonly sets = new ParameterSetCache();
  private starting: { resolve(sps: Sps): void; reject(error: AppError): void } | undefined;
  private cancelStart: (() => void) | undefined;
  /** No picture goes out any more. */
  private over = false;
  /** The end was told. */
  private told = false;
  private bytes = 0;
  private head = Buffer.alloc(0);

  constructor(options: { argv: readonly string[]; clock: Clock; sink: VideoSink; complaints: Complaints }) {
    const { argv, clock, sink, complaints } = options;
    this.sink = sink;
    this.clock = clock;
    this.program = argv[0]!;
    this.child = new Child({
      argv,
      clock,
      onOutput: (chunk) => this.read(chunk),
      onEnd: (end) => this.ended(end),
    });
    this.splitter = new LiveSplitter({
      clock,
      onAccessUnit: (unit) => this.deliver(unit),
      onProblem: (error) => complaints.about(this.program, { code: error.code }, `${this.program}: ${error.message}`),
    });
  }

  /** Resolves with the first picture a decoder can start with. */
  start(): Promise<Sps> {
    return new Promise((resolve, reject) => {
      this.starting = { resolve, reject };
      this.cancelStart = this.clock.after(START_MS, () => this.giveUp(`has run for ${START_MS / 1000} s`));
      this.child.start();
    });
  }

  async stop(): Promise<void> {
    this.finish();
    await this.child.stop();
    this.fail(new AppError('source.stopped', 'The source was stopped while it started.', { retry: true }));
  }

  private read(chunk: Buffer): void {
    if (this.over) return;
    this.splitter.push(chunk);
    if (!this.starting) return;
    this.bytes += chunk.length;
    if (this.head.length < 64) this.head = Buffer.concat([this.head, chunk.subarray(0, 64)]);
    if (this.bytes > START_BYTES) this.giveUp(`has written ${this.bytes} bytes`);
  }

  private deliver(unit: AccessUnit): void {
    if (this.over) return;
    const complete = this.sets.complete(unit);
    if (!complete) return;
    if (this.starting) {
      if (!complete.keyframe || !this.sets.sps) return;
      this.cancelStart?.();
      this.starting.resolve(this.sets.sps);
      this.starting = undefined;
    }
    this.sink.accessUnit(complete);
  }

  private giveUp(after: string): void {
    const error = new AppError(
      'source.no-picture',
      `${this.program} ${after} without a picture to start with (Annex-B H.264: SPS, PPS, IDR); ` +
        `it wrote ${this.wrote()}.${this.said()} Try its command line in a shell with: | ffprobe -f h264 -`,
      { retry: true },
    );
    this.finish();
    this.child.stop().then(() => this.fail(error));
  }

  private ended(end: ChildEnd): void {
    if (this.over) return;
    this.splitter.end();
    const error = this.endError(end);
    this.finish();
    this.fail(error);
  }

  private endError({ error, code, signal }: ChildEnd): AppError {
    if (error) {
      const missing = error.code === 'ENOENT';
      return new AppError(
        'source.command-missing',
        missing
          ? `The program ${this.program} is not installed here. Install it, or give its full path.`
          : `The program ${this.program} cannot be run (${error.code}). Check that it is a program and may be executed.`,
        { cause: error },
      );
    }
    const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
    const when = this.starting ? ` before its first picture; it wrote ${this.wrote()}` : '';
    return new AppError('source.command-ended', `${this.program} ${how}${when}.${this.said()}`, { retry: true });
  }

  private wrote(): string {
    return this.bytes === 0 ? 'nothing' : describeOutput(this.head);
  }

  private said(): string {
    const words = this.child.lastWords;
    return words === '' ? '' : ` It said: ${words}`;
  }

  private finish(): void {
    this.over = true;
    this.cancelStart?.();
    this.splitter.stop();
  }

  /** The program is gone: tells whoever waits for it. */
  private fail(error: AppError): void {
    if (this.told) return;
    this.told = true;
    const { starting } = this;
    this.starting = undefined;
    this.onEnd();
    if (starting) starting.reject(error);
    else if (error.code !== 'source.stopped') this.sink.failed(error);
  }
}

/** What the first bytes look like, for somebody who wonders why there is no picture. */
function describeOutput(head: Buffer): string {
  const hex = head.subarray(0, 16).toString('hex');
  const found = FORMATS.find(({ begins }) => begins.test(hex));
  return found ? `${found.name}, not raw H.264` : `bytes that begin with ${hex}`;
}

const FORMATS = [
  { name: 'an MP4 file', begins: /^.{8}66747970/ },
  { name: 'a Matroska file', begins: /^1a45dfa3/ },
  { name: 'an MPEG transport stream', begins: /^47/ },
  { name: 'JPEG pictures', begins: /^ffd8/ },
  { name: 'H.265', begins: /^(00)?000001(40|42|44)01/ },
];
