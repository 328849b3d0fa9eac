import type { WriteStream } from 'node:tty';

const BAR = 30;
/** Without a terminal, a line for every so many. */
const LINES = 20;

/** How far a batch is: a bar that moves on a terminal, a line now and then in a log. */
export class Progress {
  private readonly out: NodeJS.WriteStream | WriteStream;
  private readonly total: number;
  private readonly startedAt = performance.now();
  private count = 0;
  private shownAt = 0;

  constructor(options: { total: number; out: NodeJS.WriteStream }) {
    this.total = options.total;
    this.out = options.out;
  }

  /** One more is through. */
  step(): void {
    this.count++;
    if (this.out.isTTY) this.draw();
    else if (this.count === this.total || this.count % Math.ceil(this.total / LINES) === 0) {
      this.out.write(`${this.count} of ${this.total} boards\n`);
    }
  }

  /** Writes a line beside the bar. */
  say(line: string): void {
    this.out.write(this.out.isTTY ? `\r\x1b[K${line}\n` : `${line}\n`);
    if (this.out.isTTY) this.draw(true);
  }

  /** Ends the bar's line. */
  end(): void {
    if (this.out.isTTY) this.out.write('\r\x1b[K');
  }

  private draw(now = false): void {
    const at = performance.now();
    if (!now && this.count < this.total && at - this.shownAt < 50) return;
    this.shownAt = at;
    const share = this.total === 0 ? 1 : this.count / this.total;
    const full = Math.round(share * BAR);
    const rate = this.count / Math.max((at - this.startedAt) / 1000, 0.001);
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR - full)}`;
    this.out.write(`\r\x1b[K${bar} ${this.count}/${this.total}  ${rate.toFixed(1)} boards/s`);
  }
}
