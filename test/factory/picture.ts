import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import decodeQR from 'qr/decode.js';

/** A grey picture, one byte a pixel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

const run = promisify(execFile);

/** A page of a PDF as poppler renders it. */
export async function pageOf(pdf: string, page: number, dpi = 200): Promise<Picture> {
  const args = ['-gray', '-r', `${dpi}`, '-f', `${page}`, '-l', `${page}`, pdf];
  const { stdout } = await run('pdftoppm', args, { encoding: 'buffer', maxBuffer: 256 << 20 });
  return readPgm(stdout);
}

/** An SVG file as librsvg renders it. */
export async function svgPicture(svg: string): Promise<Picture> {
  const pdf = `${svg}.pdf`;
  await run('rsvg-convert', ['-f', 'pdf', '-o', pdf, svg]);
  return pageOf(pdf, 1, 300);
}

export function crop(picture: Picture, x: number, y: number, width: number, height: number): Picture {
  const rows = Array.from({ length: height }, (_, row) => {
    const start = (y + row) * picture.width + x;
    return picture.pixels.subarray(start, start + width);
  });
  return { width, height, pixels: Buffer.concat(rows) };
}

/** What the QR code in a picture says; throws where there is none. */
export function readQr({ width, height, pixels }: Picture): string {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < pixels.length; i++) {
    data.fill(pixels[i]!, i * 4, i * 4 + 3);
    data[i * 4 + 3] = 255;
  }
  return decodeQR({ width, height, data });
}

/** Binary PGM, 8 bits (netpbm's `P5`). */
function readPgm(bytes: Buffer): Picture {
  const [head, width, height] = /^P5\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString('latin1')) ?? [];
  if (!head) throw new Error('not a PGM picture');
  return { width: Number(width), height: Number(height), pixels: bytes.subarray(head.length) };
}
