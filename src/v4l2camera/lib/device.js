import { EventEmitter } from 'node:events';
import { binding } from './binding.js';
import {
  BufferType,
  Capability,
  controlState,
  controlType,
  EventType,
  formatFlag,
  fourccNumber,
  fourccText,
} from './names.js';

/** What capture nodes and encoders have in common. */
export class Device extends EventEmitter {
  path;
  /** The native device; undefined while closed. */
  native;
  #info;
  #stallTimer;
  #controls;

  constructor(path) {
    super();
    this.path = path;
  }

  open() {
    if (this.native) return this;
    try {
      this.native = new (binding().Device)(this.path);
    } catch (error) {
      if (error.syscall) error.message = `${this.path}: ${error.message}`;
      throw error;
    }
    this.#info = readInfo(this.path, this.native);
    this.native.onerror = (error) => this.fail(error);
    this.native.onevent = (event) => this.emit('event', event);
    return this;
  }

  close() {
    this.#watchStop();
    this.native?.close();
    this.native = undefined;
    this.#controls = undefined;
  }

  get isOpen() {
    return this.native !== undefined;
  }

  get info() {
    return this.#info;
  }

  get captureType() {
    return this.info.multiplanar ? BufferType.CAPTURE_MPLANE : BufferType.CAPTURE;
  }

  get outputType() {
    return this.info.multiplanar ? BufferType.OUTPUT_MPLANE : BufferType.OUTPUT;
  }

  /** The open native device; throws EBADF when closed. */
  get opened() {
    if (!this.native) throw Object.assign(new Error(`${this.path} is not open`), { code: 'EBADF' });
    return this.native;
  }

  formatsOf(type) {
    return this.opened.formats(type).map((format) => ({
      pixelFormat: fourccText(format.fourcc),
      description: format.description,
      compressed: (format.flags & formatFlag.COMPRESSED) !== 0,
      emulated: (format.flags & formatFlag.EMULATED) !== 0,
    }));
  }

  sizes(pixelFormat) {
    return this.opened.sizes(fourccNumber(pixelFormat));
  }

  intervals(pixelFormat, width, height) {
    return this.opened.intervals(fourccNumber(pixelFormat), width, height);
  }

  getFormat(type) {
    return wordedFormat(this.opened.getFormat(type));
  }

  setFormat(type, { pixelFormat, width, height, sizeImage }) {
    const fourcc = pixelFormat === undefined ? undefined : fourccNumber(pixelFormat);
    return wordedFormat(this.opened.setFormat(type, { fourcc, width, height, sizeImage }));
  }

  /** The interval, or undefined from a driver that has no such notion. */
  intervalOf(type, wanted) {
    try {
      if (!wanted) return this.opened.getInterval(type);
      return this.opened.setInterval(type, wanted.numerator, wanted.denominator);
    } catch (error) {
      if (error.code === 'ENOTTY' || error.code === 'EINVAL') return undefined;
      throw error;
    }
  }

  controls() {
    return this.opened.controls().map(({ type, flags, menu, ...control }) => ({
      ...control,
      type: controlType(type),
      ...controlState(flags),
      ...(menu && { menu }),
    }));
  }

  controlGet(id) {
    return this.opened.getControl(id);
  }

  controlSet(id, value) {
    return this.opened.setControl(id, value);
  }

  /** The control as the driver describes it, or undefined: nothing is assumed of a driver. */
  control(id) {
    this.#controls ??= new Map(this.controls().map((control) => [control.id, control]));
    const control = this.#controls.get(id);
    return control && !control.disabled && !control.readOnly ? control : undefined;
  }

  subscribe(event, controlId = 0) {
    this.opened.subscribe(EventType[event], controlId);
  }

  get canForceKeyFrame() {
    return this.control(binding().controlIds.FORCE_KEY_FRAME) !== undefined;
  }

  get canSetBitrate() {
    return this.control(binding().controlIds.VIDEO_BITRATE) !== undefined;
  }

  forceKeyFrame() {
    return this.#tryControl('FORCE_KEY_FRAME', 1) !== undefined;
  }

  setBitrate(bitsPerSecond) {
    return this.#tryControl('VIDEO_BITRATE', bitsPerSecond);
  }

  setGopSize(frames) {
    const gop = this.#tryControl('GOP_SIZE', frames);
    return gop === undefined ? this.#tryControl('H264_I_PERIOD', frames) : gop;
  }

  setRepeatHeaders(repeat) {
    const on = repeat ? 1 : 0;
    // HEADER_MODE knows no "before every IDR", but joined headers are what comes nearest to it (s5p-mfc, mediatek).
    const choices = [['REPEAT_SEQ_HEADER', on], ['PREPEND_SPSPPS_TO_IDR', on], ...(repeat ? [['HEADER_MODE', 1]] : [])];
    return choices.some(([name, value]) => this.#tryControl(name, value) !== undefined);
  }

  /** Sets a control if the driver has it, kept within its bounds; undefined when it has not, or refuses. */
  #tryControl(name, value) {
    const control = this.control(binding().controlIds[name]);
    if (!control) return undefined;
    const bounded = Math.min(Math.max(value, Number(control.minimum)), Number(control.maximum));
    const step = Math.max(1, Number(control.step));
    const stepped = Number(control.minimum) + Math.floor((bounded - Number(control.minimum)) / step) * step;
    try {
      return Number(this.controlSet(control.id, control.type === 'button' ? 1 : stepped));
    } catch (error) {
      if (error.code === 'ENODEV' || error.code === 'EBADF') throw error;
      return undefined; // grabbed or refused while streaming: as good as not there
    }
  }

  /** Streaming ends here: stops, then tells. */
  fail(error) {
    this.stop();
    error.message = `${this.path}: ${error.message}`;
    this.emit('error', error);
  }

  stop() {
    this.#watchStop();
  }

  /** Fails with ESTALLED when `waitingSince()` (ms of performance.now, undefined: not waiting) is older than `ms`. */
  watchStall(ms, waitingSince) {
    this.#watchStop();
    if (!ms) return;
    this.#stallTimer = setInterval(() => {
      const since = waitingSince();
      if (since === undefined || performance.now() - since < ms) return;
      this.fail(Object.assign(new Error(`the driver has delivered nothing for ${ms} ms`), { code: 'ESTALLED' }));
    }, ms / 4);
    this.#stallTimer.unref();
  }

  #watchStop() {
    clearInterval(this.#stallTimer);
    this.#stallTimer = undefined;
  }
}

function readInfo(path, native) {
  const { version, capabilities, ...names } = native.info();
  const has = (bits) => (capabilities & bits) !== 0;
  const captures = has(Capability.VIDEO_CAPTURE | Capability.VIDEO_CAPTURE_MPLANE);
  const outputs = has(Capability.VIDEO_OUTPUT | Capability.VIDEO_OUTPUT_MPLANE);
  const isEncoderOrDecoder = has(Capability.VIDEO_M2M | Capability.VIDEO_M2M_MPLANE) || (captures && outputs);
  const multi = Capability.VIDEO_CAPTURE_MPLANE | Capability.VIDEO_OUTPUT_MPLANE | Capability.VIDEO_M2M_MPLANE;
  return {
    path,
    ...names,
    version: `${version >> 16}.${(version >> 8) & 255}.${version & 255}`,
    kind: isEncoderOrDecoder ? 'm2m' : captures ? 'capture' : outputs ? 'output' : 'other',
    multiplanar: has(multi),
    streaming: has(Capability.STREAMING),
  };
}

function wordedFormat({ fourcc, ...rest }) {
  return { pixelFormat: fourccText(fourcc), ...rest };
}

/** The native side's view of a picture format. */
export function numberedFormat({ pixelFormat, ...rest }) {
  return { fourcc: fourccNumber(pixelFormat), ...rest };
}
