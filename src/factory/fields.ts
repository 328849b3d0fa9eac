import * as v from 'valibot';
import { areBoardWords } from '#identity/factory-check.ts';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { parseUid, type Uid } from '#protocol/uid.ts';

/** A UID in its canonical form, in a file of ours. */
export const uidText = v.pipe(
  v.string(),
  v.check((text) => parseUid(text) === text, 'a UID of 20 characters'),
  v.transform((text) => text as Uid),
);

/** A setup code in its canonical form. */
export const setupCodeText = v.pipe(
  v.string(),
  v.check((text) => parseSetupCode(text) === text, 'a setup code of 16 characters'),
  v.transform((text) => text as SetupCode),
);

/** A model's name or a hardware revision. */
export const boardWords = v.pipe(v.string(), v.check(areBoardWords, '1 to 64 printable ASCII characters'));

/** A certificate's serial number. */
export const serialText = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, '32 hex digits'));

/** ISO 8601, UTC. */
export const timeText = v.pipe(v.string(), v.isoTimestamp('a time such as 2026-01-31T12:00:00.000Z'));
