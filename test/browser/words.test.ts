// time limit: 180 s
import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import { suite } from 'uvu';
import { formatUid, uidFromKeyHash } from '#protocol/uid.ts';
import { freePort, Mosquitto } from '../support/mosquitto.ts';
import { type ServerProgram, startCamera, startServer, temporaryFolder } from '../support/product.ts';
import { launchBrowser, ViewerPage } from './viewer-page.ts';

const test = suite('words');
/** A UID that can be, of a camera nobody has made. */
const NOBODY = uidFromKeyHash(new Uint8Array(32).fill(7));

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

test('a UID nobody answers to', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}`);
  await viewer.waitFor('asking');
  await viewer.waitFor('unknown', 10_000);
  assert.match(await viewer.text(), /No camera answers to this UID/);
  await viewer.close();
});

test('the camera comes while its viewer waits', async () => {
  const folder = await temporaryFolder('words');
  const first = await startCamera({ server: server.mqttUrl, state: folder.path });
  await first.stop();
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${first.uid}`);
  await viewer.waitFor('leaving');
  const camera = await startCamera({ server: server.mqttUrl, state: folder.path });
  await viewer.waitFor('live', 10_000);
  await viewer.close();
  await camera.stop();
  await folder.remove();
});

test('since when a camera is offline, on a standard broker that speaks MQTT 5', async () => {
  const folder = await temporaryFolder('words');
  const webSocketPort = await freePort();
  const broker = await Mosquitto.create([`listener ${webSocketPort} 127.0.0.1`, 'protocol websockets']);
  const web = await startServer({
    args: ['--viewer-mqtt', `ws://127.0.0.1:${webSocketPort}`, '--viewer-mqtt-version', '5'],
  });
  const camera = await startCamera({ server: broker.url, state: folder.path });
  const viewer = await ViewerPage.open(browser, `${web.httpUrl}/#${camera.uid}`);
  await viewer.waitFor('live');
  await camera.kill();
  await viewer.waitFor('offline');
  // Whoever opens it later is told the same.
  const late = await ViewerPage.open(browser, `${web.httpUrl}/#${camera.uid}`);
  await late.waitFor('offline');
  for (const { page } of [viewer, late]) {
    await page.getByRole('heading', { name: /^This camera is offline since \d\d:\d\d/ }).waitFor();
  }
  await viewer.close();
  await late.close();
  await web.stop();
  await broker.remove();
  await folder.remove();
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
  const folder = await temporaryFolder('words');
  const camera = await startCamera({ server: server.mqttUrl, state: folder.path, source: 'command:/bin/false' });
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${camera.uid}`);
  await viewer.waitFor('source-down');
  const text = await viewer.text();
  assert.match(text, /The camera is there, but its picture source is down/);
  assert.match(text, /\/bin\/false/);
  await viewer.close();
  await camera.stop();
  await folder.remove();
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
  await viewer.waitFor('unknown', 15_000);
  await viewer.close();
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

test('the setup code behind the UID is in no request and in no message', async () => {
  const code = '0123456789ABCDEF';
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${NOBODY}.${code}`);
  await viewer.waitFor('unknown', 15_000);
  assert.ok(viewer.messages.length > 0);
  for (const text of [...viewer.requests, ...viewer.messages, await viewer.page.title(), await viewer.text()]) {
    assert.ok(!text.includes(code), text.slice(0, 200));
  }
  await viewer.close();
});

test.run();
