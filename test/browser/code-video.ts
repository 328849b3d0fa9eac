import encodeQR from 'qr';

const WIDTH = 640;
const HEIGHT = 480;
const SIDE = 400;

/** A one-frame video (YUV4MPEG2, which Chromium takes for a camera's picture) of a QR code held into the middle. */
export function videoOfCode(text: string): Buffer {
  const modules = encodeQR(text, 'raw', { border: 4 });
  const luma = Buffer.alloc(WIDTH * HEIGHT, 200);
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const dark = modules[Math.floor((y * modules.length) / SIDE)]![Math.floor((x * modules.length) / SIDE)]!;
      luma[(y + (HEIGHT - SIDE) / 2) * WIDTH + x + (WIDTH - SIDE) / 2] = dark ? 30 : 230;
    }
  }
  const chroma = Buffer.alloc((WIDTH * HEIGHT) / 2, 128);
  const header = `YUV4MPEG2 W${WIDTH} H${HEIGHT} F30:1 Ip A1:1 C420jpeg\nFRAME\n`;
  return Buffer.concat([Buffer.from(header), luma, chroma]);
}
