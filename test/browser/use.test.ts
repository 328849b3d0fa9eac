// time limit: 240 s
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { formatSetupCode } from '#protocol/setup-code.ts';
import { formatUid } from '#protocol/uid.ts';
import { videoOfCode } from './code-video.ts';
import { contrastProblems } from './contrast.ts';
import { Home, makeInvitation } from './home.ts';
import { launchBrowser, ViewerPage } from './viewer-page.ts';

const test = suite('use');

let home: Home;
let photographs: string;

test.before(async () => {
  photographs = await mkdtemp(join(tmpdir(), 'peercam-pages-'));
  home = await Home.start();
});

test.after(async () => {
  await home.stop();
  console.log(`photographs of all pages: ${photographs}`);
});

test('typing UID and code is enough, grouped and in any case', async () => {
  const { uid, setupCode } = home.camera;
  const viewer = await ViewerPage.open(home.browser, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.keyboard.type(uid.toLowerCase());
  assert.equal(await viewer.page.inputValue('#uid'), formatUid(uid));
  await viewer.page.keyboard.press('Tab');
  await viewer.page.keyboard.type(setupCode.toLowerCase());
  assert.equal(await viewer.page.inputValue('#code'), formatSetupCode(setupCode));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitFor('live');
  await viewer.page.keyboard.press('Escape');
  await viewer.page.getByRole('dialog').waitFor({ state: 'detached' });
  // This profile is the owner now: a UID it remembers needs no code.
  await viewer.page.goBack();
  await viewer.waitFor('start');
  await viewer.page.getByRole('button', { name: 'Add a camera' }).click();
  await viewer.page.fill('#uid', uid);
  assert.equal(await viewer.page.locator('#code').count(), 0);
  await viewer.page.keyboard.press('Enter');
  await viewer.waitFor('live');
  await home.takeOwner(viewer);
});

test('too few characters are counted for the person', async () => {
  const viewer = await ViewerPage.open(home.browser, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.keyboard.type(home.camera.uid.slice(0, 18));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitForText(/2 characters are missing/);
  assert.equal(await viewer.page.getAttribute('#uid', 'aria-invalid'), 'true');
  await viewer.close();
});

test('a code that is too short is counted for the person', async () => {
  const viewer = await ViewerPage.open(home.browser, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.fill('#uid', home.camera.uid);
  await viewer.page.fill('#code', '0123-4567');
  await viewer.page.keyboard.press('Enter');
  await viewer.waitForText(/8 characters are missing: a code has 16/);
  await viewer.close();
});

test('a pasted link opens its camera', async () => {
  const link = await home.invite();
  const viewer = await ViewerPage.open(home.browser, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.fill('#uid', link);
  await viewer.waitFor('live');
  await viewer.close();
});

test('everything can be reached and used by keyboard, and the focus is seen', async () => {
  const viewer = await home.open();
  const { page } = viewer;
  await viewer.waitFor('live');
  const reached: string[] = [];
  for (let presses = 0; presses < 5; presses++) {
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
  assert.deepEqual(reached, ['peercam: Other camera', 'People', 'Details', 'Picture in picture', 'Full screen']);
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
  const viewer = await home.open();
  await viewer.waitFor('live');
  assert.equal(await viewer.page.locator('.state').textContent(), 'Live');
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

test('scanning an invitation opens the camera', async () => {
  const label = join(home.folder, 'label.y4m');
  await writeFile(label, videoOfCode(await home.invite()));
  const scanning = await launchBrowser([
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    `--use-file-for-fake-video-capture=${label}`,
  ]);
  const viewer = await ViewerPage.open(scanning, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.getByRole('button', { name: 'Scan the QR code' }).click();
  await viewer.waitFor('live');
  assert.equal(await viewer.page.evaluate(() => location.hash), `#${home.camera.uid}`);
  await scanning.close();
});

test('without a camera to scan with, says what to do instead', async () => {
  const viewer = await ViewerPage.open(home.browser, home.server.httpUrl);
  await viewer.waitFor('start');
  await viewer.page.getByRole('button', { name: 'Scan the QR code' }).click();
  await viewer.waitForText(/type UID and code instead/i);
  await viewer.page.keyboard.press('Escape');
  await viewer.page.getByRole('dialog').waitFor({ state: 'detached' });
  await viewer.close();
});

for (const width of [390, 1440]) {
  for (const colorScheme of ['light', 'dark'] as const) {
    test(`fits ${width} pixels, ${colorScheme}, with enough contrast`, async () => {
      const viewport = { width, height: width === 390 ? 844 : 900 };
      const viewer = await home.open();
      await viewer.page.setViewportSize(viewport);
      await viewer.page.emulateMedia({ colorScheme });
      const photograph = (name: string) => shoot(viewer, name, photographs, width, colorScheme);
      await viewer.waitFor('live');
      await viewer.waitForText(/Latency\n\d+ ms/);
      await photograph('live');
      assert.equal(await pictureIsOnTop(viewer), true, 'something covers the picture');
      await viewer.page.getByRole('button', { name: 'Details', exact: true }).click();
      await photograph('details');
      await makeInvitation(viewer);
      await photograph('invitation');
      await viewer.page.getByRole('button', { name: 'Done', exact: true }).click();
      await viewer.waitForText(/Open invitations/);
      await photograph('people');
      await viewer.page.getByRole('button', { name: 'Activity' }).click();
      await viewer.waitForText(/You began to watch/);
      await photograph('activity');
      await viewer.page.getByRole('link', { name: /Other camera/ }).click();
      await viewer.waitForText(/Online/);
      await photograph('cameras');
      await viewer.page.getByRole('button', { name: 'Add a camera' }).click();
      await photograph('add');
      await viewer.close();

      const stranger = await ViewerPage.open(home.browser, home.server.httpUrl, { viewport, colorScheme });
      await stranger.waitFor('start');
      await shoot(stranger, 'start', photographs, width, colorScheme);
      await stranger.page.evaluate((uid) => {
        location.hash = uid;
      }, home.camera.uid);
      await stranger.waitFor('code-needed');
      await shoot(stranger, 'code-needed', photographs, width, colorScheme);
      await stranger.page.fill('#code', '0000-0000-0000-0000');
      await stranger.page.keyboard.press('Enter');
      await stranger.waitFor('silent');
      await shoot(stranger, 'silent', photographs, width, colorScheme);
      await stranger.close();
    });
  }
}

test.run();

/** Photographs a page, and finds what is too wide or too faint on it. */
async function shoot(viewer: ViewerPage, name: string, folder: string, width: number, scheme: string): Promise<void> {
  // After the cross-fades.
  await viewer.page.waitForFunction(() =>
    document
      .getAnimations()
      .every(({ playState, effect }) => playState !== 'running' || effect?.getTiming().iterations === Infinity),
  );
  await viewer.page.screenshot({ path: join(folder, `${name}-${width}-${scheme}.png`) });
  const over = await viewer.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name} is ${over} pixels too wide`);
  assert.deepEqual(await contrastProblems(viewer.page), [], name);
}

/** Whether a click into the middle of the picture hits the picture. */
async function pictureIsOnTop(viewer: ViewerPage): Promise<boolean> {
  return await viewer.page.evaluate(() => {
    const picture = document.querySelector('#picture')!;
    const { x, y, width, height } = picture.getBoundingClientRect();
    return document.elementFromPoint(x + width / 2, y + height / 2) === picture;
  });
}
