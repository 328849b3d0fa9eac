import type { Logger } from './logger.ts';

/**
 * A lifecycle: what was acquired is released in the reverse order, each once, even when one release fails.
 * Closing twice gives the same promise.
 */
export class Scope {
  private readonly releases: { name: string; release: () => void | Promise<void> }[] = [];
  private closing: Promise<void> | undefined;

  /** Registers what must be undone when the scope closes. */
  add(name: string, release: () => void | Promise<void>): void {
    this.releases.push({ name, release });
  }

  close(log: Logger): Promise<void> {
    this.closing ??= this.releaseAll(log);
    return this.closing;
  }

  private async releaseAll(log: Logger): Promise<void> {
    for (const { name, release } of this.releases.reverse()) {
      try {
        await release();
      } catch (error) {
        log.error({ err: error, part: name }, `${name} did not stop cleanly`);
      }
    }
    this.releases.length = 0;
  }
}
