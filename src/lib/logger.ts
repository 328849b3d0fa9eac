import { pino } from 'pino';

/** What the parts of peercam need of a logger; pino's own loggers fit. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
  child(fields: object): Logger;
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug';

/**
 * JSON lines on standard error, one object a line: journald and every log shipper read them, and standard
 * output stays free for what a program prints for its user. Secrets are kept out by never being logged; the
 * redaction list is the second line of defence.
 */
export function createLogger(options: { name: string; level: LogLevel }): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['password', 'token', '*.password', '*.token'], censor: '[secret]' },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** A logger that says nothing, for tests. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  fatal() {},
  child: () => silentLogger,
};
