import type { Logger } from '#lib/logger.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'fatal';
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** A logger whose lines a test can read. */
export class RecordingLogger implements Logger {
  readonly lines: LogLine[];
  private readonly own: object;

  constructor(lines: LogLine[] = [], own: object = {}) {
    this.lines = lines;
    this.own = own;
  }

  debug(fields: object, message: string): void {
    this.add('debug', fields, message);
  }
  info(fields: object, message: string): void {
    this.add('info', fields, message);
  }
  warn(fields: object, message: string): void {
    this.add('warn', fields, message);
  }
  error(fields: object, message: string): void {
    this.add('error', fields, message);
  }
  fatal(fields: object, message: string): void {
    this.add('fatal', fields, message);
  }
  child(fields: object): Logger {
    return new RecordingLogger(this.lines, { ...this.own, ...fields });
  }

  /** The first line whose message, with its fields as JSON, matches. */
  find(pattern: RegExp): LogLine | undefined {
    return this.lines.find(({ message, fields }) => pattern.test(`${message} ${JSON.stringify(fields)}`));
  }

  private add(level: LogLine['level'], fields: object, message: string): void {
    this.lines.push({ level, message, fields: { ...this.own, ...fields } });
  }
}
