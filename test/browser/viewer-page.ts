import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { readBarcode } from '../support/barcode.ts';
import { until } from '../support/wait.ts';

const CHROMIUM = '/usr/bin/chromium';

/** Debian's Chromium without a screen, and without its own traffic to the outside. */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: install Debian's package chromium`);
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--no-first-run',
      '--disable-quic',
      '--disable-sync',
      '--disable-background-networking',
      '--disable-component-update',
      // Several pages play at once here, and all but one are in the background.
      '--disable-renderer-backgrounding',
      '--disable-backgrounding-occluded-windows',
      ...args,
    ],
  });
}

/** What the viewer's page says about itself on its root element. */
export interface ViewerState {
  readonly state?: string;
  readonly path?: string;
  readonly verified?: string;
}

export interface OpenOptions extends BrowserContextOptions {
  /** Runs in the page before its own scripts. */
  readonly init?: () => void;
  /** What the page's link carries towards it, all its connections together, with a queue of 10 packets. */
  readonly bytesPerSecond?: number;
}

/** The viewer as one person has it open: in a browser profile of its own, or in one that is there already. */
export class ViewerPage {
  readonly page: Page;
  /** Addresses of all its requests. */
  readonly requests: string[] = [];
  /** What it sent on its WebSockets. */
  readonly messages: string[] = [];
  /** What its console said of errors, and what it threw. */
  readonly errors: string[] = [];

  private readonly ownProfile: boolean;

  private constructor(page: Page, ownProfile: boolean) {
    this.page = page;
    this.ownProfile = ownProfile;
    page.on('request', (request) => this.requests.push(request.url()));
    page.on('websocket', (socket) => {
      this.requests.push(socket.url());
      socket.on('framesent', ({ payload }) => this.messages.push(String(payload)));
    });
    page.on('pageerror', (error) => this.errors.push(error.message));
    page.on('console', (message) => message.type() === 'error' && this.errors.push(message.text()));
  }

  /** Opens an address of the viewer: in a new profile of this browser, or in a profile that is there already. */
  static async open(where: Browser | BrowserContext, url: string, options: OpenOptions = {}): Promise<ViewerPage> {
    const { init, bytesPerSecond, ...contextOptions } = options;
    const context =
      'newContext' in where
        ? await where.newContext({ viewport: { width: 1440, height: 900 }, ...contextOptions })
        : where;
    const page = await context.newPage();
    if (init) await page.addInitScript(init);
    if (bytesPerSecond) await thinLink(page, bytesPerSecond);
    const viewer = new ViewerPage(page, context !== where);
    await page.goto(url, { waitUntil: 'commit' });
    return viewer;
  }

  get context(): BrowserContext {
    return this.page.context();
  }

  async state(): Promise<ViewerState> {
    return await this.page.evaluate(() => ({ ...document.documentElement.dataset }));
  }

  /** Waits until the page is in this state; throws with the state it was in, and what it showed, after `limitMs`. */
  async waitFor(state: string, limitMs = 20_000): Promise<void> {
    try {
      await this.page.waitForFunction((wanted) => document.documentElement.dataset.state === wanted, state, {
        timeout: limitMs,
        polling: 50,
      });
    } catch {
      const shown = (await this.text()).replaceAll(/\s+/g, ' ');
      const { state: now } = await this.state();
      throw new Error(`waited ${limitMs} ms in vain for "${state}": the page is in "${now}" and shows: ${shown}`);
    }
  }

  /** The text a person reads on the page. */
  async text(): Promise<string> {
    // biome-ignore lint/performance/useDomNodeTextContent: what is hidden is not read
    return await this.page.locator('body').innerText();
  }

  /** Waits until the page's text matches. */
  async waitForText(pattern: RegExp, limitMs = 10_000): Promise<void> {
    await until(`${pattern} in the page's text`, async () => pattern.test(await this.text()), limitMs);
  }

  /** Size of the playing picture, pixels. */
  async pictureSize(): Promise<{ width: number; height: number }> {
    return await this.page.evaluate(() => {
      const { videoWidth, videoHeight } = document.querySelector<HTMLVideoElement>('#picture')!;
      return { width: videoWidth, height: videoHeight };
    });
  }

  /** Looks at the picture for `ms` and reads the barcode of every frame that is shown. */
  async watch(ms: number): Promise<Watched> {
    // As text: the page's security policy allows no code of ours inside, the debugger's console may do anything.
    await this.page.evaluate(`globalThis.readBarcode = ${readBarcode.toString()}`);
    return await this.page.evaluate(async (duration) => {
      const { readBarcode } = globalThis as unknown as {
        readBarcode: (picture: ImageData) => number | undefined;
      };
      const video = document.querySelector('#picture') as HTMLVideoElement & {
        requestVideoFrameCallback(run: () => void): void;
      };
      const canvas = document.createElement('canvas');
      canvas.width = 320;
      canvas.height = 180;
      const context = canvas.getContext('2d', { willReadFrequently: true })!;
      const numbers: number[] = [];
      let unreadable = 0;
      let longestGapMs = 0;
      let motion = 0;
      let before: Uint8ClampedArray | undefined;
      const startedAt = performance.now();
      let lastAt = startedAt;
      for (;;) {
        const came = await new Promise<boolean>((resolve) => {
          const giveUp = setTimeout(() => resolve(false), Math.max(0, startedAt + duration - performance.now()));
          video.requestVideoFrameCallback(() => {
            clearTimeout(giveUp);
            resolve(true);
          });
        });
        const now = performance.now();
        longestGapMs = Math.max(longestGapMs, now - lastAt);
        lastAt = now;
        if (!came || now > startedAt + duration) return { numbers, unreadable, longestGapMs, motion };
        context.drawImage(video, 0, 0, canvas.width, canvas.height);
        const picture = context.getImageData(0, 0, canvas.width, canvas.height);
        const number = readBarcode(picture);
        if (number === undefined) unreadable++;
        else numbers.push(number);
        // The middle of the picture, where the scene is: how many of its pixels have changed clearly?
        const scene = picture.data.slice(canvas.width * 4 * 30, canvas.width * 4 * 150);
        let changed = 0;
        if (before) {
          for (let at = 1; at < scene.length; at += 4) if (Math.abs(scene[at]! - before[at]!) > 24) changed++;
          motion = Math.max(motion, changed);
        } else {
          before = scene;
        }
      }
    }, ms);
  }

  /** Closes the page, and the profile that was made for it. */
  async close(): Promise<void> {
    if (this.ownProfile) await this.context.close();
    else await this.page.close();
  }
}

/** Chromium applies this to a page's WebRTC connections too, if it was set before they were made. */
async function thinLink(page: Page, bytesPerSecond: number): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: bytesPerSecond,
    uploadThroughput: -1,
    packetQueueLength: 10,
  });
}

/** What was seen of a picture. */
export interface Watched {
  /** Frame numbers (modulo 1024) in the order they were shown. */
  readonly numbers: readonly number[];
  /** Frames whose barcode could not be read. */
  readonly unreadable: number;
  readonly longestGapMs: number;
  /** Most pixels (of 320 x 120) that were clearly different from the first frame seen. */
  readonly motion: number;
}

/** How many frames went by while watching, and how many of those were not shown; both from the barcode. */
export function countFrames(numbers: readonly number[], clipFrames: number): { passed: number; missed: number } {
  let passed = 0;
  let missed = 0;
  for (let index = 1; index < numbers.length; index++) {
    const step = (numbers[index]! - numbers[index - 1]! + clipFrames) % clipFrames;
    passed += step;
    missed += Math.max(0, step - 1);
  }
  return { passed, missed };
}
