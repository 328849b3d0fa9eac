import { ALPHABET, crockfordValues, symbolsFromBytes } from './crockford.ts';

/** A code that lets somebody in once, canonical form: 16 Crockford symbols (80 bits), upper case, no separators. */
export type SetupCode = string & { readonly __setupCode: unique symbol };

const LENGTH = 16;
/** Random bytes a code is made of. */
export const SETUP_CODE_BYTES = 10;

/** The code of 10 random bytes: the label's setup code, or an invitation's. */
export function setupCodeFrom(random: Uint8Array): SetupCode {
  return symbolsFromBytes(random.subarray(0, SETUP_CODE_BYTES), LENGTH)
    .map((symbol) => ALPHABET[symbol])
    .join('') as SetupCode;
}

/** Reads a code as a person types it (groups, lower case, O for 0); undefined when it cannot be one. */
export function parseSetupCode(text: string): SetupCode | undefined {
  const values = crockfordValues(text.trim());
  if (values?.length !== LENGTH) return undefined;
  return values.map((value) => ALPHABET[value]).join('') as SetupCode;
}

/** As on the label: four groups of four, joined by hyphens. */
export function formatSetupCode(code: SetupCode): string {
  return code.replace(/(.{4})(?=.)/g, '$1-');
}
