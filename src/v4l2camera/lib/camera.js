import { Device } from './device.js';

/** A capture node. */
export class Camera extends Device {
  #lastFrame = 0;

  formats() {
    return this.formatsOf(this.captureType);
  }

  configGet() {
    return { ...this.getFormat(this.captureType), interval: this.intervalOf(this.captureType) };
  }

  configSet({ interval, ...format }) {
    this.setFormat(this.captureType, format);
    if (interval) this.intervalOf(this.captureType, interval);
    return this.configGet();
  }

  start({ buffers = 4, lend = false, stallMs = 0 } = {}) {
    const native = this.opened;
    native.onframe = (frame) => this.#deliver(native, frame, lend);
    const granted = native.start(this.captureType, buffers, lend);
    this.#lastFrame = performance.now();
    this.watchStall(stallMs, () => this.#lastFrame);
    return granted;
  }

  stop() {
    super.stop();
    this.native?.stop(this.captureType);
  }

  #deliver(native, { planes, index, generation, ...meta }, lend) {
    this.#lastFrame = performance.now();
    const release = lend ? () => this.#release(native, index, generation) : () => {};
    this.emit('frame', { data: planes[0], planes, ...meta, release });
  }

  #release(native, index, generation) {
    if (native !== this.native) return; // closed meanwhile
    try {
      native.release(index, generation);
    } catch (error) {
      this.fail(error); // with every buffer lent out nobody polls: an unplugging shows here
    }
  }
}
