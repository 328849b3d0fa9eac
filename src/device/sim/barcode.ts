/**
 * The frame number in the pattern's picture, for tests that look at what a viewer really shows: a strip along the
 * bottom edge, its full width, `BARCODE_HEIGHT` of its height, cut into 16 equal cells, white for 1, black for 0:
 *
 * | cells | meaning |
 * |---|---|
 * | 0, 1 | white, black: what the two look like after coding and scaling |
 * | 2-11 | frame number modulo 1024 as a Gray code, most significant bit first (one cell changes per frame) |
 * | 12-15 | CRC-4 (x⁴ + x + 1) over the ten Gray bits: finds every one or two wrong cells |
 *
 * The cells of a 1280x720 picture are 80x32 pixels, whole macroblocks; at 320x180 they are 20x8.
 */
export const BARCODE_CELLS = 16;
/** Share of the picture's height. */
export const BARCODE_HEIGHT = 32 / 720;
/** Frame numbers start again here. */
export const BARCODE_FRAMES = 1024;

/** The 16 cells of a frame, left to right; true is white. */
export function barcodeCells(frame: number): boolean[] {
  const number = frame % BARCODE_FRAMES;
  const gray = number ^ (number >> 1);
  const cells = [true, false];
  let crc = 0;
  for (let bit = 9; bit >= 0; bit--) {
    const value = (gray >> bit) & 1;
    cells.push(value === 1);
    crc = crc4(crc, value);
  }
  for (let bit = 3; bit >= 0; bit--) cells.push(((crc >> bit) & 1) === 1);
  return cells;
}

function crc4(crc: number, bit: number): number {
  const out = (crc >> 3) ^ bit;
  return ((crc << 1) & 15) ^ (out ? 0b0011 : 0);
}
