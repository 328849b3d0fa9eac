// time limit: 180 s
import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import { suite } from 'uvu';
import { formatUid, uidFromKeyHash } from '#protocol/uid.ts';
import { freePort, Mosquitto } from '../support/mosquitto.ts';
import { type ServerProgram, startServer } from '../support/product.ts';
import { Home } from './home.ts';
import { launchBrowser, ViewerPage } from './viewer-page.ts';

const test = suite('words');
/** A UID that can be, of a camera nobody has made. */
const NOBODY = uidFromKeyHash(new Uint8Array(32).fill(7));
const CODE = '0123456789ABCDEF';

let server: ServerProgram;
let browser: Browser;

test.before(async () => {
  server = await startServer();
  browser = await launchBrowser();
});

test.after(async () => {
  await browser.close();
  await server.stop();
});

test('a camera that does not answer: one text for everything it may be', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}.${CODE}`);
  await viewer.waitFor('pairing');
  await viewer.waitFor('silent', 10_000);
  const text = await viewer.text();
  for (const part of [/does not answer/, /off, or not connected/, /UID or code/, /belongs to somebody/, /removed/]) {
    assert.match(text, part);
  }
  await viewer.close();
});

test('a camera that is not remembered: which code?', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}`);
  await viewer.waitFor('code-needed');
  assert.equal(await viewer.page.evaluate(() => document.activeElement?.id), 'code');
  await viewer.close();
});

test('the camera comes while its viewer waits', async () => {
  const home = await Home.start();
  await (await home.open()).close();
  await home.camera.stop();
  const viewer = await home.open();
  await viewer.waitFor('leaving');
  await home.restartCamera();
  await viewer.waitFor('live', 10_000);
  await home.stop();
});

test('since when a camera is offline, on a standard broker that speaks MQTT 5', async () => {
  const webSocketPort = await freePort();
  const broker = await Mosquitto.create([`listener ${webSocketPort} 127.0.0.1`, 'protocol websockets']);
  const home = await Home.start({
    broker: broker.url,
    serverArgs: ['--viewer-mqtt', `ws://127.0.0.1:${webSocketPort}`, '--viewer-mqtt-version', '5'],
  });
  const viewer = await home.open();
  await viewer.waitFor('live');
  await home.camera.kill();
  await viewer.waitFor('offline');
  // Whoever opens it later is told the same.
  const late = await home.open();
  await late.waitFor('offline');
  for (const { page } of [viewer, late]) {
    await page.getByRole('heading', { name: /^This camera is offline since \d\d:\d\d/ }).waitFor();
  }
  await home.restartCamera();
  await home.stop();
  await broker.remove();
});

test('a mistyped UID is found before anything is sent', async () => {
  const wrong = `${NOBODY.slice(0, 19)}${NOBODY.endsWith('A') ? 'B' : 'A'}`;
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${formatUid(NOBODY)}`.replace(/.$/, wrong.at(-1)!));
  await viewer.waitFor('start');
  await viewer.waitForText(/This is not a UID: at least one character is wrong/);
  assert.deepEqual(
    viewer.requests.filter((url) => url.startsWith('ws')),
    [],
  );
  await viewer.close();
});

test('a picture source that is down, with its reason', async () => {
  const home = await Home.start({ source: 'command:/bin/false' });
  const viewer = await ViewerPage.open(home.browser, home.label);
  await viewer.waitFor('source-down');
  const text = await viewer.text();
  assert.match(text, /The camera is there, but its picture source is down/);
  assert.match(text, /\/bin\/false/);
  await home.stop();
});

test('a server that is gone', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/`);
  await viewer.waitFor('start');
  await viewer.page.context().setOffline(true);
  await viewer.page.evaluate((uid) => {
    location.hash = uid;
  }, NOBODY);
  await viewer.waitFor('server-unreachable');
  assert.match(await viewer.text(), /This device has no network/);
  await viewer.page.context().setOffline(false);
  await viewer.waitFor('code-needed', 15_000);
  await viewer.close();
});

test('a page opened over plain http leads to the secure one', async () => {
  const outside = await launchBrowser(['--host-resolver-rules=MAP cameras.example 127.0.0.1']);
  const address = server.httpUrl.replace('127.0.0.1', 'cameras.example');
  const viewer = await ViewerPage.open(outside, `${address}/#${NOBODY}.${CODE}`);
  await viewer.waitFor('insecure');
  assert.match(await viewer.text(), /This page needs https/);
  const link = viewer.page.getByRole('link', { name: 'Open the secure page' });
  assert.equal(await link.getAttribute('href'), `https://cameras.example/#${NOBODY}.${CODE}`);
  assert.ok(!viewer.page.url().includes(CODE));
  await outside.close();
});

test('a browser without H.264', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}`, {
    init: () => {
      RTCRtpReceiver.getCapabilities = () => ({
        codecs: [{ mimeType: 'video/VP8', clockRate: 90000 }],
        headerExtensions: [],
      });
    },
  });
  await viewer.waitFor('unsupported');
  assert.match(await viewer.text(), /This browser cannot show the picture/);
  await viewer.close();
});

test('a code is in no request, no message, no address, no history and no memory', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}.${CODE}`);
  await viewer.waitFor('silent', 15_000);
  assert.ok(viewer.messages.length > 0);
  const { page } = viewer;
  assert.equal(await page.evaluate(() => location.hash), `#${NOBODY}`);
  const memory = JSON.stringify(await page.context().storageState());
  for (const text of [...viewer.requests, ...viewer.messages, await page.title(), await viewer.text(), memory]) {
    assert.ok(!text.includes(CODE), text.slice(0, 200));
  }
  await page.goBack();
  assert.ok(!page.url().includes(CODE));
  await viewer.close();
});

test.run();
