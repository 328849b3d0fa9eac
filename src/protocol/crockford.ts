/** Crockford base32: no I, L, O, U; what a person types in their place is understood. */
export const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

const VALUES = new Map<string, number>();
for (let i = 0; i < ALPHABET.length; i++) {
  VALUES.set(ALPHABET[i]!, i);
  VALUES.set(ALPHABET[i]!.toLowerCase(), i);
}
for (const [typed, meant] of [
  ['O', 0],
  ['o', 0],
  ['I', 1],
  ['i', 1],
  ['L', 1],
  ['l', 1],
] as const) {
  VALUES.set(typed, meant);
}

/** The symbols' values (0..31) of a text; spaces and hyphens are skipped. Undefined where another character stands. */
export function crockfordValues(text: string): number[] | undefined {
  const values: number[] = [];
  for (const character of text) {
    if (character === '-' || character === ' ') continue;
    const value = VALUES.get(character);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}

/** The first `count` symbols (5 bits each, most significant first) of a byte string. */
export function symbolsFromBytes(bytes: Uint8Array, count: number): number[] {
  const symbols: number[] = [];
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5 && symbols.length < count) {
      bits -= 5;
      symbols.push((held >> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  if (symbols.length < count) throw new RangeError(`${bytes.length} bytes hold fewer than ${count} symbols`);
  return symbols;
}
