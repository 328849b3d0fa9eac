// Video4Linux2 cameras and encoders. See README.md and index.d.ts.
import { readdirSync } from 'node:fs';
import { binding } from './lib/binding.js';
import { Device } from './lib/device.js';

export { Camera } from './lib/camera.js';
export { Encoder } from './lib/encoder.js';

/** Every /dev/video node that can be opened, in numerical order. */
export function listDevices() {
  binding(); // a missing addon is an error, not an empty list
  const numbers = readdirSync('/dev').flatMap((name) => /^video(\d+)$/.exec(name)?.[1] ?? []);
  return numbers
    .map(Number)
    .sort((a, b) => a - b)
    .flatMap((number) => infoOf(`/dev/video${number}`));
}

/** Control numbers of codecs (V4L2_CID_MPEG_VIDEO_*) by name. */
export function controlIds() {
  return binding().controlIds;
}

function infoOf(path) {
  const device = new Device(path);
  try {
    return [device.open().info];
  } catch {
    return []; // not ours to open, or gone since readdir
  } finally {
    device.close();
  }
}
