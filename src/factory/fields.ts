import * as v from 'valibot';
import { parseUid, type Uid } from '#protocol/uid.ts';

/** A UID in its canonical form, in a file of ours. */
export const uidText = v.pipe(
  v.string(),
  v.check((text) => parseUid(text) === text, 'a UID'),
  v.transform((text) => text as Uid),
);
