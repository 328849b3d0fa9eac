import { ALPHABET, crockfordValues, symbolsFromBytes } from './crockford.ts';

/** A camera's address, canonical form: 20 Crockford symbols, upper case, no separators. */
export type Uid = string & { readonly __uid: unique symbol };

const DATA_SYMBOLS = 19;
const LENGTH = DATA_SYMBOLS + 1;

/**
 * The UID of a device key: the first 95 bits of SHA-256(SubjectPublicKeyInfo) and one check symbol.
 * @param spkiSha256 the 32 bytes of the digest
 */
export function uidFromKeyHash(spkiSha256: Uint8Array): Uid {
  const symbols = symbolsFromBytes(spkiSha256, DATA_SYMBOLS);
  return [...symbols, checkSymbol(symbols)].map((symbol) => ALPHABET[symbol]).join('') as Uid;
}

/** Reads a UID as a person types it (groups, lower case, O for 0); undefined when it cannot be one. */
export function parseUid(text: string): Uid | undefined {
  const values = crockfordValues(text.trim());
  if (values?.length !== LENGTH) return undefined;
  if (checkSymbol(values.slice(0, DATA_SYMBOLS)) !== values[DATA_SYMBOLS]) return undefined;
  return values.map((value) => ALPHABET[value]).join('') as Uid;
}

/** As on the label: four groups of five, joined by hyphens. */
export function formatUid(uid: Uid): string {
  return uid.replace(/(.{5})(?=.)/g, '$1-');
}

/**
 * The check symbol c makes Σ α^(i+1)·dᵢ + c = 0 in GF(2^5) (α = x, x⁵ + x² + 1). α has order 31, so all weights
 * of the 20 places differ: every single wrong symbol and every swap of two symbols is noticed.
 */
function checkSymbol(symbols: readonly number[]): number {
  let sum = 0;
  // Horner: the last data symbol has weight α, the first α^19.
  for (const symbol of symbols) sum = timesAlpha(sum ^ symbol);
  return sum;
}

function timesAlpha(value: number): number {
  const shifted = value << 1;
  return shifted & 32 ? shifted ^ 0b100101 : shifted;
}
