import { AppError } from '#lib/error.ts';

/**
 * Reads the syntax elements of a NAL unit's payload (ITU-T H.264 clause 7.2 and 9.1). The emulation prevention bytes
 * must be gone already (see `rawPayload`). What does not fit is an AppError that names the syntax element.
 */
export class BitReader {
  private readonly bytes: Uint8Array;
  private readonly what: string;
  private position = 0;

  /** @param what what is being read, for errors: `SPS`, `PPS`, `slice header` */
  constructor(bytes: Uint8Array, what: string) {
    this.bytes = bytes;
    this.what = what;
  }

  /** u(n), n at most 32. */
  bits(count: number, field: string): number {
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 2 + this.bit(field);
    return value;
  }

  flag(field: string): boolean {
    return this.bit(field) === 1;
  }

  /** ue(v), refused beyond `max`. */
  unsigned(field: string, max = 0xffff_fffe): number {
    let zeros = 0;
    while (this.bit(field) === 0) {
      if (++zeros > 32) throw this.bad(field, 'is no exp-Golomb code');
    }
    const value = 2 ** zeros - 1 + this.bits(zeros, field);
    if (value > max) throw this.bad(field, `is ${value}, at most ${max} is allowed`);
    return value;
  }

  /** se(v). */
  signed(field: string): number {
    const code = this.unsigned(field);
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  }

  bad(field: string, problem: string): AppError {
    return new AppError('media.bad-h264', `${this.what}: field "${field}" ${problem}; the stream is damaged`);
  }

  private bit(field: string): number {
    const byte = this.bytes[this.position >> 3];
    if (byte === undefined) throw this.bad(field, 'is cut off');
    const bit = (byte >> (7 - (this.position & 7))) & 1;
    this.position++;
    return bit;
  }
}

/** The first `maxBytes` of a NAL unit after its header byte, without emulation prevention bytes (clause 7.3.1). */
export function rawPayload(nal: Uint8Array, maxBytes: number): Uint8Array {
  const raw = new Uint8Array(Math.min(maxBytes, Math.max(0, nal.length - 1)));
  let length = 0;
  let zeros = 0;
  for (let i = 1; i < nal.length && length < raw.length; i++) {
    const byte = nal[i]!;
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    zeros = byte === 0 ? zeros + 1 : 0;
    raw[length++] = byte;
  }
  return raw.subarray(0, length);
}
