import { crc32 } from 'node:zlib';
import type { PictureFormat } from 'v4l2camera';

/** A test picture in NV12 (one plane) or NM12 (two) with its own stride, and the CRC-32 of its visible part. */
export function noisePicture(options: {
  pixelFormat: 'NV12' | 'NM12';
  width: number;
  height: number;
  stride: number;
}): {
  planes: Uint8Array[];
  format: PictureFormat;
  crc: number;
} {
  const { pixelFormat, width, height, stride } = options;
  const luma = noise(stride * height, 1);
  const chroma = noise((stride * height) / 2, 7);
  const visible = Buffer.concat([rows(luma, stride, width, height), rows(chroma, stride, width, height / 2)]);
  const planes = pixelFormat === 'NM12' ? [luma, chroma] : [Buffer.concat([luma, chroma])];
  return {
    planes,
    format: {
      pixelFormat,
      width,
      height,
      planes: planes.map((plane) => ({ bytesPerLine: stride, sizeImage: plane.length })),
    },
    crc: crc32(visible),
  };
}

function rows(plane: Uint8Array, stride: number, width: number, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, row) => plane.subarray(row * stride, row * stride + width)));
}

/** Every byte differs from its neighbours in both directions (a linear congruential generator). */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}
