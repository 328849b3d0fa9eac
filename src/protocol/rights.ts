import * as v from 'valibot';

/** What somebody may do with a camera. `owner` includes all others, and giving them to others. */
export const RIGHTS = ['view', 'talk', 'ptz', 'archive', 'settings', 'owner'] as const;
export type Right = (typeof RIGHTS)[number];

export const rightSchema = v.picklist(RIGHTS);
/** At least one right; `view` is always among them. */
export const rightsSchema = v.pipe(
  v.array(rightSchema),
  v.minLength(1, 'at least one right'),
  v.maxLength(RIGHTS.length, `at most ${RIGHTS.length} rights`),
  v.includes('view', 'the right "view" must be among them'),
);

export function mayDo(rights: readonly Right[], right: Right): boolean {
  return rights.includes(right) || rights.includes('owner');
}
