import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { listDevices } from 'v4l2camera';
import { until } from '../../support/wait.ts';
import { type ClipFrame, clipFrames } from '../clip.ts';

const shared = '/run/vm';
const parameters = '/sys/module/peercam_replay/parameters';

/** The test driver as loaded in the guest; see driver/module.c for its knobs. */
export const replay = {
  load({ multiplanar }: { multiplanar: boolean }): void {
    execFileSync('modprobe', ['-a', 'videodev', 'videobuf2-v4l2', 'videobuf2-vmalloc']);
    execFileSync('insmod', [
      `${shared}/peercam_replay.ko`,
      `clip=${shared}/clip`,
      `multiplanar=${Number(multiplanar)}`,
    ]);
  },
  /** Fails while any of its files is open: that would be a leak. */
  unload(): void {
    execFileSync('rmmod', ['peercam_replay']);
  },
  set(knob: 'stall' | 'skip' | 'eio' | 'plugged', value: number): void {
    writeFileSync(`${parameters}/${knob}`, String(value));
  },
  /** CRC-32 of the visible part of the last picture the encoder was given. */
  inputCrc(): number {
    return Number(readFileSync(`${parameters}/input_crc`, 'utf8'));
  },
  camera: () => pathOf('peercam replay camera'),
  encoder: () => pathOf('peercam replay encoder'),
};

/** The clip the driver replays. */
export const clip: ClipFrame[] = clipFrames(readFileSync(`${shared}/pattern.h264`));

/** What the driver delivers for clip frame `index` since it was started. */
export function expectedFrame(index: number, { repeatHeaders = false } = {}): Uint8Array {
  const frame = clip[index % clip.length]!;
  return index === 0 || repeatHeaders ? frame.data : frame.data.subarray(frame.headers);
}

export function vividPath(): string {
  const device = listDevices().find((one) => one.driver === 'vivid');
  if (!device) throw new Error('vivid is not loaded');
  return device.path;
}

function pathOf(card: string): string {
  const device = listDevices().find((one) => one.card === card);
  if (!device) throw new Error(`no device "${card}" among ${listDevices().map((one) => one.card)}`);
  return device.path;
}

/** devtmpfs makes the node a moment after the driver registers it. */
export function replugged(): Promise<boolean> {
  replay.set('plugged', 1);
  return until(
    'both nodes are back',
    () => listDevices().filter((one) => one.driver === 'peercam_replay').length === 2,
  );
}
