// The kernel's numbers (linux/videodev2.h) in words.

/** `H264` for 0x34363248; big-endian variants end in `-BE`. */
export function fourccText(code) {
  const text = String.fromCharCode(code & 255, (code >> 8) & 255, (code >> 16) & 255, (code >> 24) & 127);
  return code >>> 31 ? `${text}-BE` : text;
}

/** The number of `H264`; throws a TypeError for anything but four ASCII characters (and `-BE`). */
export function fourccNumber(text) {
  if (typeof text !== 'string' || !/^[\x20-\x7e]{4}(-BE)?$/.test(text)) {
    throw new TypeError(`pixel format must be four characters such as 'H264' or 'NV12', not ${JSON.stringify(text)}`);
  }
  const [a, b, c, d] = Buffer.from(text, 'latin1');
  return (a | (b << 8) | (c << 16) | (d << 24) | (text.length > 4 ? 1 << 31 : 0)) >>> 0;
}

/** V4L2_CAP_* bits of a node. */
export const Capability = {
  VIDEO_CAPTURE: 0x1,
  VIDEO_OUTPUT: 0x2,
  VIDEO_CAPTURE_MPLANE: 0x1000,
  VIDEO_OUTPUT_MPLANE: 0x2000,
  VIDEO_M2M_MPLANE: 0x4000,
  VIDEO_M2M: 0x8000,
  STREAMING: 0x04000000,
};

/** enum v4l2_buf_type. */
export const BufferType = { CAPTURE: 1, OUTPUT: 2, CAPTURE_MPLANE: 9, OUTPUT_MPLANE: 10 };

/** V4L2_EVENT_*. */
export const EventType = { EOS: 2, CONTROL: 3, SOURCE_CHANGE: 5 };

export const formatFlag = { COMPRESSED: 1, EMULATED: 2 };

const controlTypes = {
  1: 'integer',
  2: 'boolean',
  3: 'menu',
  4: 'button',
  5: 'integer64',
  6: 'class',
  7: 'string',
  8: 'bitmask',
  9: 'integer-menu',
};

/** enum v4l2_ctrl_type; arrays and structures are all `compound`. */
export function controlType(number) {
  return controlTypes[number] ?? 'compound';
}

const controlFlags = {
  disabled: 0x1,
  grabbed: 0x2,
  readOnly: 0x4,
  inactive: 0x10,
  writeOnly: 0x40,
  volatile: 0x80,
};

/** V4L2_CTRL_FLAG_* as booleans. */
export function controlState(flags) {
  return Object.fromEntries(Object.entries(controlFlags).map(([name, bit]) => [name, (flags & bit) !== 0]));
}
