import { AppError } from '#lib/error.ts';

/** The AppError a promise is rejected with; throws when it resolves or is rejected with anything else. */
export async function rejection(promise: Promise<unknown>): Promise<AppError> {
  const outcome: unknown = await promise.then(
    () => new Error('it resolved instead of being rejected'),
    (error: unknown) => error,
  );
  if (outcome instanceof AppError) return outcome;
  throw outcome;
}
