import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files in the frames folder: the clip again and again, for readers that cannot loop. 10 minutes. */
const FRAME_FILES = 18_000;

/** Makes the bench clip once, and cuts it into one file per access unit for readers that want that. */
export async function makeClip(
  root: string,
  cache: string,
): Promise<{ clip: string; frames: string; frameCount: number }> {
  const clip = join(cache, 'clip.h264');
  const frames = join(cache, 'frames');
  if (!existsSync(clip)) execFileSync(join(root, 'scripts/make-pattern'), ['--bench', clip], { stdio: 'inherit' });
  const units = accessUnits(readFileSync(clip));
  mkdirSync(frames, { recursive: true });
  const file = (index: number) => join(frames, `${String(index).padStart(5, '0')}.h264`);
  for (const [index, unit] of units.entries()) writeFileSync(file(index), unit);
  for (let index = units.length; index < FRAME_FILES && !existsSync(file(index)); index++) {
    linkSync(file(index % units.length), file(index));
  }
  return { clip, frames, frameCount: FRAME_FILES };
}

/** Cuts at every first slice of a picture (first_mb_in_slice 0 is a leading 1 bit) or what stands before it. */
function accessUnits(data: Buffer): Buffer[] {
  const cut: Buffer[] = [];
  let begin = 0;
  let hasPicture = false;
  for (let at = data.indexOf('000001', 0, 'hex'); at >= 0; at = data.indexOf('000001', at + 3, 'hex')) {
    const kind = data[at + 3]! & 0x1f;
    const picture = kind === 1 || kind === 5;
    if (hasPicture && (!picture || data[at + 4]! & 0x80)) {
      const end = data[at - 1] === 0 ? at - 1 : at;
      cut.push(data.subarray(begin, end));
      begin = end;
      hasPicture = false;
    }
    hasPicture ||= picture;
  }
  cut.push(data.subarray(begin));
  return cut;
}
