import { crc32 } from './crc32.ts';

/** Longest line, characters: a terminal in its usual (canonical) mode passes on no more than 4095. */
export const MAX_FRAME = 4000;
const HEAD = '@peercam ';

/**
 * One message as a line for a console: `@peercam {json} crc32`, ASCII only. What else a console shows (boot messages, the
 * kernel's, the echo of what was typed) is told apart from it, even where it lands in the middle of a line.
 */
export function frameOf(message: object): string {
  const json = asciiJson(message);
  const line = `${HEAD}${json} ${checksum(json)}\n`;
  if (line.length > MAX_FRAME) throw new RangeError(`a frame of ${line.length} characters, at most ${MAX_FRAME} fit`);
  return line;
}

/** The JSON text in a console's line; undefined when the line holds no whole frame. */
export function jsonInLine(line: string): string | undefined {
  const start = line.lastIndexOf(HEAD);
  if (start < 0) return undefined;
  const [, json, sum] = /^(\{.*\}) ([0-9a-f]{8})\s*$/.exec(line.slice(start + HEAD.length)) ?? [];
  return json !== undefined && checksum(json) === sum ? json : undefined;
}

/** Cuts a console's bytes into lines; what exceeds any frame's length is dropped, so that noise cannot fill memory. */
export class LineSplitter {
  private rest = '';

  /** The lines that these bytes complete. */
  push(chunk: Uint8Array): string[] {
    const lines = (this.rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1')).split(
      '\n',
    );
    this.rest = lines.pop()!.slice(-2 * MAX_FRAME);
    return lines;
  }
}

function asciiJson(message: object): string {
  return JSON.stringify(message).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function checksum(json: string): string {
  return crc32(Buffer.from(json, 'latin1')).toString(16).padStart(8, '0');
}
