/**
 * An expected failure: something a person or a peer did, or a part of the machine that may be missing.
 * `message` says what happened, what it means and what to do next; `code` is stable and machine-readable
 * (`area.reason`, for example `source.device-missing`); `retry` says whether trying again can help.
 */
export class AppError extends Error {
  readonly code: string;
  readonly retry: boolean;

  constructor(code: string, message: string, options: { cause?: unknown; retry?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retry = options.retry ?? false;
  }
}

/** The text of anything thrown, for messages and logs. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Turns anything thrown into an AppError; an AppError stays as it is. */
export function toAppError(error: unknown, code: string, options: { retry?: boolean } = {}): AppError {
  if (error instanceof AppError) return error;
  return new AppError(code, errorText(error), { cause: error, retry: options.retry });
}
