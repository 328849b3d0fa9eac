/** As a canvas gives it: RGBA, 4 bytes a pixel, rows from the top. */
export interface Picture {
  readonly data: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

/**
 * Reads the frame number (0..1023) from the strip at the bottom of the pattern's picture (its layout:
 * src/device/sim/barcode.ts); undefined where there is none, or it cannot be read for certain. Works at any size
 * from about 160 pixels wide. It refers to nothing outside itself, so that a browser test can hand it to the page.
 */
export function readBarcode(picture: Picture): number | undefined {
  const { data, width, height } = picture;
  const strip = (height * 32) / 720;
  const top = Math.floor(height - strip * 0.75);
  const bottom = Math.max(top + 1, Math.floor(height - strip * 0.25));
  const levels: number[] = [];
  for (let cell = 0; cell < 16; cell++) {
    const left = Math.floor(((cell + 0.25) * width) / 16);
    const right = Math.max(left + 1, Math.floor(((cell + 0.75) * width) / 16));
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) sum += data[(y * width + x) * 4 + 1]!;
    }
    levels.push(sum / ((bottom - top) * (right - left)));
  }

  const white = levels[0]!;
  const black = levels[1]!;
  if (white - black < 80) return undefined;
  let gray = 0;
  let crc = 0;
  for (let cell = 2; cell < 16; cell++) {
    const level = (levels[cell]! - black) / (white - black);
    if (level > 0.3 && level < 0.7) return undefined;
    const bit = level > 0.5 ? 1 : 0;
    // Feeding a CRC its own check bits leaves zero.
    crc = ((crc << 1) & 15) ^ ((crc >> 3) ^ bit ? 3 : 0);
    if (cell < 12) gray = (gray << 1) | bit;
  }
  if (crc !== 0) return undefined;
  let number = gray;
  for (let shift = 1; shift < 10; shift <<= 1) number ^= number >> shift;
  return number;
}
