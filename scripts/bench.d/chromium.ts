import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { Endpoint } from './signalling.js';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-web-security', // no CORS preflights: every peer's signalling is one plain request
];
const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript' };

/** The functions page.js puts on its window. */
interface ViewerPage {
  firstFrame(endpoint: Endpoint, waitForCandidate: boolean): Promise<number>;
  presented(endpoint: Endpoint, settle: number, seconds: number, wait: boolean): Promise<[number, number][]>;
}

/** Debian's headless Chromium as a viewer. */
export class ChromiumViewer {
  #server: Server | undefined;
  #browser: Browser | undefined;
  #page: Page | undefined;

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      const name = request.url === '/' ? 'page.html' : (request.url ?? '').slice(1);
      if (!['page.html', 'page.js', 'signalling.js'].includes(name)) return void response.writeHead(404).end();
      response.writeHead(200, { 'Content-Type': TYPES[extname(name)] });
      response.end(readFileSync(join(import.meta.dirname, name)));
    }).listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: FLAGS });
    this.#page = await this.#browser.newPage();
    await this.#page.goto(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`);
    await this.#page.waitForFunction('window.ready');
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }

  /** Milliseconds from the call in the page to the first presented frame. */
  firstFrame(endpoint: Endpoint, waitForCandidate: boolean): Promise<number> {
    return this.#page!.evaluate(([at, wait]) => (globalThis as unknown as ViewerPage).firstFrame(at, wait), [
      endpoint,
      waitForCandidate,
    ] as const);
  }

  /** [RTP timestamp, wall-clock ms] of every frame presented in `seconds`, after `settle` seconds. */
  presented(endpoint: Endpoint, settle: number, seconds: number, wait: boolean): Promise<[number, number][]> {
    return this.#page!.evaluate(([at, ...rest]) => (globalThis as unknown as ViewerPage).presented(at, ...rest), [
      endpoint,
      settle,
      seconds,
      wait,
    ] as const);
  }
}
