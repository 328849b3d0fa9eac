import { Device, numberedFormat } from './device.js';

/** A memory-to-memory encoder: raw pictures in, coded frames out. */
export class Encoder extends Device {
  /** Timestamps of the pictures the encoder still owes us, oldest first. */
  #owed = [];
  #waitingSince;
  #inputFormat;

  inputFormats() {
    return this.formatsOf(this.outputType);
  }

  outputFormats() {
    return this.formatsOf(this.captureType);
  }

  configGet() {
    return { input: this.getFormat(this.outputType), output: this.getFormat(this.captureType) };
  }

  configSet({ input, output = {}, interval }) {
    // The order of the kernel's "Memory-to-Memory Stateful Video Encoder Interface": coded format first.
    const { pixelFormat = 'H264', width = input.width, height = input.height, sizeImage } = output;
    this.setFormat(this.captureType, { pixelFormat, width, height, sizeImage });
    const granted = this.setFormat(this.outputType, input);
    if (interval) this.intervalOf(this.outputType, interval);
    if (granted.width !== input.width || granted.height !== input.height) this.#crop(input);
    return this.configGet();
  }

  /** Hardware rounds up to its blocks (1080 to 1088): the stream should still say 1080. */
  #crop({ width, height }) {
    try {
      this.opened.crop(this.outputType, width, height);
    } catch (error) {
      if (error.code === 'ENODEV') throw error; // others have no cropping: the padding is then seen
    }
  }

  start({ buffers = 4, stallMs = 2000 } = {}) {
    const native = this.opened;
    this.#owed = [];
    this.#waitingSince = undefined;
    native.onwritten = () => this.emit('drain');
    native.onframe = (frame) => this.#deliver(frame);
    this.#inputFormat = this.getFormat(this.outputType);
    try {
      native.start(this.outputType, buffers, false);
      native.start(this.captureType, buffers, false);
    } catch (error) {
      this.stop();
      throw error;
    }
    this.watchStall(stallMs, () => this.#waitingSince);
  }

  stop() {
    super.stop();
    this.native?.stop(this.outputType);
    this.native?.stop(this.captureType);
  }

  encode({ planes, timestampUs }, format = this.#inputFormat) {
    const accepted = this.opened.write(planes, numberedFormat(format), timestampUs);
    if (accepted) {
      this.#owed.push(timestampUs);
      this.#waitingSince ??= performance.now();
    }
    return accepted;
  }

  #deliver({ planes, index, generation, ...meta }) {
    const timestampUs = this.#settle(meta.timestampUs);
    this.#waitingSince = this.#owed.length > 0 ? performance.now() : undefined;
    this.emit('frame', { data: planes[0], planes, ...meta, timestampUs, release() {} });
  }

  /** Crosses out the picture a frame was made of, and those skipped before it; returns its capture time. */
  #settle(timestampUs) {
    const position = this.#owed.indexOf(timestampUs);
    if (position >= 0) this.#owed.splice(0, position + 1);
    // Some drivers do not copy timestamps although they must: then the oldest picture is the one.
    return position >= 0 ? timestampUs : (this.#owed.shift() ?? timestampUs);
  }
}
