import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { Clock } from '#lib/clock.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';

export interface ButtonOptions {
  /** An input device: `/dev/input/event0`, or a name in `/dev/input/by-path`. Any key of it is the button. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Pressed and let go within 3 s. */
  onPress(): void;
  /** Held for 10 s; still held. */
  onHold(): void;
}

/** How often the kernel is asked, ms: a finger is slower. */
const POLL_MS = 100;
const REOPEN_MS = 2_000;
const PRESS_MS = 3_000;
const HOLD_MS = 10_000;
/** struct input_event of a 64-bit kernel (linux/input.h): two longs of time, type, code, value. */
const EVENT_BYTES = 24;
const TYPE_AT = 16;
const EV_SYN = 0;
const EV_KEY = 1;
const SYN_DROPPED = 3;
/** The kernel keeps 64 events and more for a slow reader. */
const BUFFER_BYTES = 128 * EVENT_BYTES;

/**
 * A push button that the kernel's gpio-keys driver (or any keyboard) reports by evdev. It is asked, not waited for: a
 * read that waits would hold one of Node's few threads, and could not be ended. A device that vanishes is opened again.
 */
export class Button {
  private readonly options: ButtonOptions;
  private readonly buffer = Buffer.alloc(BUFFER_BYTES);
  private fd: number | undefined;
  private running = false;
  private missing = false;
  private cancelNext: (() => void) | undefined;
  private rest: Buffer = Buffer.alloc(0);
  /** The key that is down, and since when. */
  private down: { readonly code: number; readonly since: number; held: boolean } | undefined;

  constructor(options: ButtonOptions) {
    this.options = options;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.open();
  }

  stop(): void {
    this.running = false;
    this.cancelNext?.();
    this.release();
  }

  private open(): void {
    const { path, log } = this.options;
    try {
      this.fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      this.lost(error);
      return;
    }
    if (this.missing) log.info({ path }, 'the button is there again');
    this.missing = false;
    this.later(POLL_MS, () => this.poll());
  }

  private poll(): void {
    try {
      this.drain();
    } catch (error) {
      this.lost(error);
      return;
    }
    this.watchHold();
    this.later(POLL_MS, () => this.poll());
  }

  private drain(): void {
    for (;;) {
      let length: number;
      try {
        length = readSync(this.fd!, this.buffer, 0, BUFFER_BYTES, null);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
        throw error;
      }
      if (length === 0) throw new Error('it has no more to say');
      this.take(this.buffer.subarray(0, length));
      if (length < BUFFER_BYTES) return;
    }
  }

  private take(bytes: Buffer): void {
    const all = Buffer.concat([this.rest, bytes]);
    const whole = all.length - (all.length % EVENT_BYTES);
    for (let at = 0; at < whole; at += EVENT_BYTES) this.hear(all.subarray(at, at + EVENT_BYTES));
    this.rest = Buffer.from(all.subarray(whole));
  }

  private hear(event: Buffer): void {
    const type = event.readUInt16LE(TYPE_AT);
    const code = event.readUInt16LE(TYPE_AT + 2);
    const value = event.readInt32LE(TYPE_AT + 4);
    // Events were lost: whether the key is still down is not known.
    if (type === EV_SYN && code === SYN_DROPPED) this.down = undefined;
    if (type !== EV_KEY) return;
    if (value === 1 && !this.down) this.down = { code, since: this.options.clock.now(), held: false };
    if (value === 0 && this.down?.code === code) this.up();
  }

  private up(): void {
    const { since, held } = this.down!;
    this.down = undefined;
    // Let go in between: somebody who thought better of it.
    if (!held && this.options.clock.now() - since < PRESS_MS) this.options.onPress();
  }

  private watchHold(): void {
    const { down } = this;
    if (!down || down.held || this.options.clock.now() - down.since < HOLD_MS) return;
    down.held = true;
    this.options.onHold();
  }

  private lost(error: unknown): void {
    this.release();
    if (!this.running) return;
    const { path, log } = this.options;
    if (!this.missing) {
      log.warn({ path }, `the button ${path} cannot be read (${errorText(error)}): it has no effect until it can`);
    }
    this.missing = true;
    this.later(REOPEN_MS, () => this.open());
  }

  private release(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
    this.down = undefined;
    this.rest = Buffer.alloc(0);
  }

  private later(ms: number, run: () => void): void {
    this.cancelNext = this.options.clock.after(ms, () => {
      if (this.running) run();
    });
  }
}
