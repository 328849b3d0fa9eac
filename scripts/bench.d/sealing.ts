/**
 * What sealing costs: first frame of a returning viewer with and without it, in one run, turn and turn about; and how
 * long pairing takes, from entering the code to the picture.
 * `node --import tsx scripts/bench.d/sealing.ts [--times 40]` prints one line of numbers.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Plugin } from 'esbuild';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { labelAddress } from '#protocol/label.ts';
import { TestFactory } from '../../test/support/factory.ts';
import { Child } from './child.ts';
import { median } from './results.ts';

type Variant = 'sealed' | 'plain';
const VARIANTS: readonly Variant[] = ['sealed', 'plain'];

const { values } = parseArgs({ options: { times: { type: 'string', default: '40' } } });
const times = Number(values.times);
const root = join(import.meta.dirname, '../..');
/** Plain JavaScript, as the build itself uses it. */
const VIEWER_BUILD = join(root, 'src/viewer/build.mjs');
const scratch = mkdtempSync(join(tmpdir(), 'peercam-sealing-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

/** A server and a camera of one variant, and a browser profile that has paired with it. */
interface Household {
  readonly url: string;
  readonly context: BrowserContext;
  readonly firstFrames: number[];
  readonly pairings: number[];
  page: Page;
  newCamera(): Promise<string>;
  stop(): Promise<void>;
}

/** Puts plain-seal.ts in the place of src/identity/seal.ts. */
const unsealed: Plugin = {
  name: 'unsealed',
  setup({ onResolve }) {
    onResolve({ filter: /^(#identity|\.)\/seal\.ts$/ }, () => ({ path: join(import.meta.dirname, 'plain-seal.ts') }));
  },
};

const factory = await TestFactory.create();
const files = await factory.serverCertificate();
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const households = new Map<Variant, Household>();
try {
  for (const variant of VARIANTS) households.set(variant, await settle(browser, variant));
  for (let turn = 0; turn <= times; turn++) {
    for (const household of households.values()) {
      const ms = await firstFrame(household);
      // Turn 0 warms up.
      if (turn > 0) household.firstFrames.push(ms);
    }
    process.stderr.write(`\rturn ${turn} of ${times}`);
  }
  process.stderr.write('\n');
} finally {
  await browser.close();
  for (const household of households.values()) await household.stop();
  await factory.remove();
}

const sealed = households.get('sealed')!;
const plain = households.get('plain')!;
const [sealedMs, plainMs] = [median(sealed.firstFrames)!, median(plain.firstFrames)!];
const figures = {
  times,
  sealedMs: Math.round(sealedMs),
  plainMs: Math.round(plainMs),
  sealingAddsMs: Math.round((sealedMs - plainMs) * 10) / 10,
  spreadMs: sealed.firstFrames.map(Math.round).sort((a, b) => a - b),
  pairingMs: Math.round(median(sealed.pairings)!),
};
console.log(JSON.stringify(figures));
process.exit(0);

async function settle(browser: Browser, variant: Variant): Promise<Household> {
  const out = join(root, '.cache/bench/sealing', variant);
  mkdirSync(out, { recursive: true });
  const plugins = variant === 'plain' ? [unsealed] : [];
  await build({
    absWorkingDir: root,
    entryPoints: { peercamd: 'src/camera/main.ts' },
    outdir: out,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    plugins,
    define: { 'process.env.PEERCAM_BUILD_TIME': JSON.stringify(`${Date.now()}`) },
  });
  const { buildViewer } = (await import(VIEWER_BUILD)) as { buildViewer(options: object): Promise<unknown> };
  await buildViewer({ outDir: join(out, 'viewer'), plugins });
  const run = (file: string, args: string[]) =>
    new Child(process.execPath, [file, ...args, '--log-level', 'warn'], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const children: Child[] = [];
  const server = run(join(root, 'dist/peercam-server.js'), [
    ...['--http-host', '127.0.0.1', '--http-port', '0', '--mqtt-host', '127.0.0.1', '--mqtt-port', '0'],
    ...['--tls-cert', files.certFile, '--tls-key', files.keyFile, '--cameras-ca', factory.rootFile],
    ...['--viewer-folder', join(out, 'viewer'), '--max-visits-per-minute', '100000'],
  ]);
  const { httpUrl, mqttUrl } = (await server.message()) as { httpUrl: string; mqttUrl: string };
  let cameras = 0;
  const newCamera = async () => {
    const folder = join(scratch, variant, `${cameras++}`);
    mkdirSync(folder, { recursive: true });
    const { uid, setupCode, folder: store } = await factory.board(join(folder, 'board'));
    const camera = run(join(out, 'peercamd.js'), [
      ...['--server', mqttUrl, '--server-ca', files.caFile, '--factory', store, '--state', join(folder, 'state')],
      ...['--control', join(folder, 'control.sock'), '--source', `file:${join(root, 'src/device/sim/pattern.h264')}`],
    ]);
    children.push(camera);
    await camera.message();
    return labelAddress(httpUrl, uid, setupCode);
  };
  const url = await newCamera();
  const pairings: number[] = [];
  for (let index = 0; index < 5; index++) pairings.push(await pairing(browser, await newCamera()));
  const context = await browser.newContext();
  const page = await open(context, url);
  return {
    url: url.split('.').slice(0, -1).join('.'),
    context,
    page,
    firstFrames: [],
    pairings,
    newCamera,
    async stop() {
      for (const child of children) await child.stop();
      await server.stop();
    },
  };
}

/** From entering the code to the picture, ms, for somebody who was never here: hello, pairing, call. */
async function pairing(browser: Browser, url: string): Promise<number> {
  const context = await browser.newContext();
  const page = await context.newPage();
  const dot = url.lastIndexOf('.');
  await page.goto(url.slice(0, dot));
  await page.fill('#code', url.slice(dot + 1));
  const from = performance.now();
  await page.press('#code', 'Enter');
  await live(page);
  const ms = performance.now() - from;
  await context.close();
  return ms;
}

/** From the navigation to "live", ms, for somebody who was here: nothing but the browser's memory is left. */
async function firstFrame(household: Household): Promise<number> {
  await household.page.reload();
  await live(household.page);
  return household.page.evaluate(() => (globalThis as unknown as { liveAt: number }).liveAt);
}

async function open(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  // tsx names functions by a helper that the page does not have.
  await page.addInitScript('globalThis.__name = (named) => named');
  await page.addInitScript(noteLive);
  await page.goto(url);
  await live(page);
  return page;
}

async function live(page: Page): Promise<void> {
  await page.locator('html[data-state=live]').waitFor({ timeout: 20_000 });
}

/** Runs in the page: when did it say that it is live, ms after the navigation. */
function noteLive(): void {
  const at = globalThis as unknown as {
    liveAt?: number;
    document: { documentElement: { dataset: { state?: string } } };
  };
  const watch = () => {
    if (at.liveAt === undefined && at.document.documentElement.dataset.state === 'live') at.liveAt = performance.now();
  };
  const Observer = (
    globalThis as unknown as { MutationObserver: new (run: () => void) => { observe(...a: unknown[]): void } }
  ).MutationObserver;
  new Observer(watch).observe(at.document, { subtree: true, attributes: true, childList: true });
}
