// time limit: 240 s
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { suite } from 'uvu';
import { formatUid, parseUid } from '#protocol/uid.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { videoOfCode } from './code-video.ts';
import { contrastProblems } from './contrast.ts';
import { launchBrowser, ViewerPage } from './viewer-page.ts';

const test = suite('use');

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let photographs: string;
let server: ServerProgram;
let camera: CameraProgram;
let browser: Browser;

test.before(async () => {
  folder = await temporaryFolder('use');
  photographs = await mkdtemp(join(tmpdir(), 'peercam-pages-'));
  server = await startServer();
  camera = await startCamera({ server: server.mqttUrl, state: folder.path, name: 'Garden' });
  browser = await launchBrowser();
});

test.after(async () => {
  await browser.close();
  await camera.stop();
  await server.stop();
  await folder.remove();
  console.log(`photographs of all pages: ${photographs}`);
});

test('typing the UID and Enter is enough, grouped and in any case', async () => {
  const viewer = await ViewerPage.open(browser, server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.keyboard.type(camera.uid.toLowerCase());
  assert.equal(await viewer.page.inputValue('#uid'), formatUid(parseUid(camera.uid)!));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitFor('live');
  await viewer.page.goBack();
  await viewer.waitFor('start');
  await viewer.close();
});

test('too few characters are counted for the person', async () => {
  const viewer = await ViewerPage.open(browser, server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.keyboard.type(camera.uid.slice(0, 18));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitForText(/2 characters are missing/);
  assert.equal(await viewer.page.getAttribute('#uid', 'aria-invalid'), 'true');
  await viewer.close();
});

test('a pasted link opens its camera', async () => {
  const viewer = await ViewerPage.open(browser, server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.fill('#uid', `https://cam.example/#${camera.uid}.0123456789ABCDEF`);
  await viewer.waitFor('live');
  await viewer.close();
});

test('everything can be reached and used by keyboard, and the focus is seen', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${camera.uid}`);
  const { page } = viewer;
  await viewer.waitFor('live');
  const reached: string[] = [];
  for (let presses = 0; presses < 4; presses++) {
    await page.keyboard.press('Tab');
    const { name, outline } = await page.evaluate(() => {
      const element = document.activeElement!;
      return {
        name: element.getAttribute('aria-label') ?? element.textContent ?? '',
        outline: Number.parseFloat(getComputedStyle(element).outlineWidth),
      };
    });
    assert.ok(outline >= 2, `the focus on "${name}" is not seen`);
    reached.push(name);
  }
  assert.deepEqual(reached, ['peercam: Other camera', 'Details', 'Picture in picture', 'Full screen']);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.fullscreenElement !== null);
  await page.getByRole('button', { name: 'Leave full screen' }).press('Enter');
  await page.waitForFunction(() => document.fullscreenElement === null);
  const details = page.getByRole('button', { name: 'Details', exact: true });
  await details.press('Enter');
  await page.getByRole('complementary', { name: 'Details' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('complementary', { name: 'Details' }).waitFor({ state: 'detached' });
  assert.equal(await details.evaluate((element) => element === document.activeElement), true);
  await viewer.close();
});

test('a screen reader hears the state, and every control has a name', async () => {
  const viewer = await ViewerPage.open(browser, `${server.httpUrl}/#${camera.uid}`);
  await viewer.waitFor('live');
  assert.equal(await viewer.page.getByRole('status').textContent(), 'Live');
  assert.equal(await viewer.page.getAttribute('html', 'lang'), 'en');
  assert.equal(await viewer.page.getAttribute('#picture', 'aria-label'), 'Live picture of Garden');
  assert.equal(await viewer.page.title(), 'Garden · peercam');
  const nameless = await viewer.page.$$eval('button, a, input', (controls) =>
    controls
      .filter((control) => !control.getAttribute('aria-label') && !control.textContent?.trim())
      .filter((control) => !(control instanceof HTMLInputElement && control.labels?.length))
      .map((control) => control.outerHTML),
  );
  assert.deepEqual(nameless, []);
  await viewer.close();
});

test('scanning the label opens the camera', async () => {
  const label = join(folder.path, 'label.y4m');
  await writeFile(label, videoOfCode(`${server.httpUrl}/#${camera.uid}.0123456789ABCDEF`));
  const scanning = await launchBrowser([
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    `--use-file-for-fake-video-capture=${label}`,
  ]);
  const viewer = await ViewerPage.open(scanning, server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.getByRole('button', { name: 'Scan the QR code' }).click();
  await viewer.waitFor('live');
  assert.ok((await viewer.page.evaluate(() => location.hash)).startsWith(`#${camera.uid}`));
  await scanning.close();
});

test('without a camera to scan with, says what to do instead', async () => {
  const viewer = await ViewerPage.open(browser, server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.getByRole('button', { name: 'Scan the QR code' }).click();
  await viewer.waitForText(/type the UID instead/i);
  await viewer.page.keyboard.press('Escape');
  await viewer.page.getByRole('dialog').waitFor({ state: 'detached' });
  await viewer.close();
});

for (const width of [390, 1440]) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`fits ${width} pixels, ${colorScheme}, with enough contrast`, async () => {
      const viewport = { width, height: width === 390 ? 844 : 900 };
      const viewer = await ViewerPage.open(browser, server.httpUrl, { viewport, colorScheme });
      const photograph = async (page: string) => {
        // After the cross-fades.
        await viewer.page.waitForFunction(() =>
          document
            .getAnimations()
            .every(({ playState, effect }) => playState !== 'running' || effect?.getTiming().iterations === Infinity),
        );
        await viewer.page.screenshot({ path: join(photographs, `${page}-${width}-${colorScheme}.png`) });
        const over = await viewer.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${page} is ${over} pixels too wide`);
        assert.deepEqual(await contrastProblems(viewer.page), []);
      };
      await viewer.waitFor('start');
      await photograph('start');
      await viewer.page.evaluate((uid) => {
        location.hash = uid;
      }, camera.uid);
      await viewer.waitFor('live');
      await viewer.waitForText(/Latency\n\d+ ms/);
      await photograph('live');
      assert.equal(await pictureIsOnTop(viewer), true, 'something covers the picture');
      await viewer.page.getByRole('button', { name: 'Details', exact: true }).click();
      await photograph('details');
      await viewer.close();
    });
  }
}

test.run();

/** Whether a click into the middle of the picture hits the picture. */
async function pictureIsOnTop(viewer: ViewerPage): Promise<boolean> {
  return await viewer.page.evaluate(() => {
    const picture = document.querySelector('#picture')!;
    const { x, y, width, height } = picture.getBoundingClientRect();
    return document.elementFromPoint(x + width / 2, y + height / 2) === picture;
  });
}
