import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#lib/clock.ts';
import { errorText } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import { Child } from './child.ts';

export interface IndicatorOptions {
  /** `/sys/class/leds/NAME`; empty: none. */
  readonly led: string;
  /** A program; empty: none. */
  readonly command: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const BLINK_MS = 500;
/** A program that takes longer is ended. */
const COMMAND_MS = 10_000;
/** How long the last one may hold up the camera's shutdown. */
const STOP_MS = 1_000;

/**
 * Tells the room: the light is on while somebody watches and blinks while somebody may pair; a program is run with
 * `watching COUNT` or `idle 0` whenever that changes, without a shell. What fails is logged, never thrown.
 */
export class Indicator {
  private readonly options: IndicatorOptions;
  private viewers = 0;
  private mayPair = false;
  private brightest = '1';
  private lit: boolean | undefined;
  private cancelBlink: (() => void) | undefined;
  private writing: Promise<void> = Promise.resolve();
  private complained = false;
  private told = 0;
  private child: Child | undefined;
  private running = false;
  private quiet: () => void = () => {};

  constructor(options: IndicatorOptions) {
    this.options = options;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.write(async (led) => {
      // What the device tree made the light show (a heartbeat, the disk) ends here; not every kernel has triggers.
      await writeFile(join(led, 'trigger'), 'none').catch(() => {});
      const most = await readFile(join(led, 'max_brightness'), 'utf8').catch(() => '1');
      if (/^\d+\s*$/.test(most)) this.brightest = most.trim();
    });
    this.show();
  }

  /** Light off, program told `idle` if it was told anything else. */
  async stop(): Promise<void> {
    this.watching(0);
    this.pairing(false);
    this.running = false;
    await this.writing;
    if (!this.child) return;
    await new Promise<void>((resolve) => {
      this.quiet = resolve;
      this.options.clock.after(STOP_MS, resolve);
    });
  }

  /** @param viewers how many watch just now */
  watching(viewers: number): void {
    this.viewers = viewers;
    if (!this.running) return;
    this.show();
    this.tell();
  }

  /** @param open whether somebody may pair just now */
  pairing(open: boolean): void {
    this.mayPair = open;
    if (this.running) this.show();
  }

  private show(): void {
    const blink = this.viewers === 0 && this.mayPair;
    if (blink && this.cancelBlink) return;
    this.cancelBlink?.();
    this.cancelBlink = undefined;
    if (blink) this.blink();
    else this.light(this.viewers > 0);
  }

  private blink(): void {
    this.light(!this.lit);
    this.cancelBlink = this.options.clock.after(BLINK_MS, () => this.blink());
  }

  private light(on: boolean): void {
    if (this.lit === on) return;
    this.lit = on;
    this.write((led) => writeFile(join(led, 'brightness'), on ? this.brightest : '0'));
  }

  /** One write after the other, so that the last one counts. */
  private write(run: (led: string) => Promise<void>): void {
    const { led, log } = this.options;
    if (led === '') return;
    this.writing = this.writing.then(async () => {
      try {
        await run(led);
        this.complained = false;
      } catch (error) {
        if (!this.complained) log.warn({ led }, `the light ${led} cannot be switched: ${errorText(error)}`);
        this.complained = true;
      }
    });
  }

  /** One program at a time; what changes while it runs is told when it has ended. */
  private tell(): void {
    const { command, clock, log } = this.options;
    if (command === '' || this.child || this.viewers === this.told) return;
    this.told = this.viewers;
    const argv = [command, this.told > 0 ? 'watching' : 'idle', String(this.told)];
    const ended = () => {
      cancel();
      this.child = undefined;
      this.tell();
      if (!this.child) this.quiet();
    };
    const child = new Child({
      argv,
      clock,
      onOutput: () => {},
      onEnd: ({ error, code, signal }) => {
        const how = error ? errorText(error) : code === 0 ? undefined : `it ended with ${code ?? signal}`;
        if (how) log.warn({ command }, `the program of watching.command failed: ${how} ${child.lastWords}`.trimEnd());
        ended();
      },
    });
    const cancel = clock.after(COMMAND_MS, () => {
      log.warn({ command }, 'the program of watching.command took longer than 10 s and was ended');
      void child.stop().then(ended);
    });
    this.child = child;
    child.start();
  }
}
