// time limit: 180 s
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { suite } from 'uvu';
import { newSealingKey, newSigningKey } from '#identity/keys.ts';
import { randomName, seal, sign } from '#identity/seal.ts';
import { SIGNED_TYPE } from '#protocol/message.ts';
import { cameraInbox, viewerInbox } from '#protocol/topics.ts';
import { type CameraProgram, startCamera, temporaryFolder } from '../support/product.ts';
import { SeededRandom } from '../support/trust-random.ts';
import { type Passing, TamperedServer } from '../support/trust-server.ts';
import { until } from '../support/wait.ts';

/**
 * Wyze 2024: after an outage a cache at the cloud mixed up device and user ids; some 13,000 people were shown pictures
 * of other people's cameras. Here the operator's own server mixes everything up on purpose, between real cameras and
 * real browsers. Each camera films one colour: what a browser shows tells whose picture it is.
 */
const test = suite('Wyze 2024: a server that mixes up users');
const COLOURS = ['red', 'lime', 'blue'] as const;
type Colour = (typeof COLOURS)[number];
const MIX_MS = 25_000;

const random = new SeededRandom();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let tampered: TamperedServer;
let browser: Browser;
const cameras: CameraProgram[] = [];
const pages: { page: Page; colour: Colour; warnings: number[]; spy: boolean }[] = [];

test.before(async () => {
  console.log(`seed: ${random.seed}`);
  folder = await temporaryFolder('misrouting');
  tampered = await TamperedServer.start();
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-background-networking', '--disable-renderer-backgrounding'],
  });
  for (const colour of COLOURS) {
    const own = join(folder.path, colour);
    await mkdir(own);
    const clip = film(colour, own);
    const { mqttUrl } = tampered.server;
    cameras.push(await startCamera({ server: mqttUrl, folder: own, source: `file:${clip}`, name: colour }));
  }
});

test.after(async () => {
  await browser?.close();
  for (const camera of cameras) await camera.stop();
  await tampered?.server.stop();
  await folder.remove();
});

test('three families, three cameras: each sees its own as long as the server is honest', async () => {
  for (const [i, camera] of cameras.entries()) await open(camera.labelUrl(tampered.server.httpUrl), COLOURS[i]!, false);
  // Somebody who knows no code, at each camera's door.
  await open(`${tampered.server.httpUrl}/#${cameras[0]!.uid}`, 'red', true);
  for (const { page, spy, colour } of pages) {
    if (!spy) await until(`the ${colour} picture`, async () => (await colours(page)).has(colour), 30_000);
  }
});

test('every message to a recipient at random: not one frame to the wrong viewer', async () => {
  const viewers = [...new Set(tampered.seen.map(({ topic }) => topic).filter((topic) => topic.includes('/viewer/')))];
  const boxes = cameras.map(({ uid }) => cameraInbox(uid));
  const own = await newSigningKey();
  let misrouted = 0;
  let forged = 0;
  let firstAt = 0;
  tampered.tamper = (passing) => {
    const isMail = passing.topic.endsWith('/in');
    if (!isMail) return [passing];
    if (random.chance(0.3)) return [passing];
    misrouted++;
    firstAt ||= Date.now();
    const others = passing.topic.includes('/viewer/') ? viewers : boxes;
    const letters: Passing[] = [{ ...passing, topic: random.pick(others) }];
    // And whatever was said before, to whomever.
    const old = random.pick(tampered.seen.filter(({ topic }) => topic.endsWith('/in')));
    if (random.chance(0.5)) letters.push({ ...old, topic: random.pick([...viewers, ...boxes]) });
    return letters;
  };
  const end = performance.now() + MIX_MS;
  while (performance.now() < end) {
    const { page, spy } = random.pick(pages);
    if (!spy) await page.reload({ waitUntil: 'commit' }).catch(() => {});
    // The server answers for a camera, too, to the page key it has seen in the hello.
    const hello = tampered.seen.findLast(
      ({ topic, payload }) => topic.endsWith('/in') && payload.toString('latin1').split('.').length === 3,
    );
    if (hello) {
      const claims = JSON.parse(Buffer.from(hello.payload.toString().split('.')[1]!, 'base64url').toString());
      const answer = { type: 'answer', call: randomName(16), sdp: 'v=0\r\n' };
      const forgery = { iss: claims.aud, aud: claims.iss, iat: Date.now(), seq: 9, re: 'r'.repeat(43), msg: answer };
      const jws = await sign(SIGNED_TYPE.toViewer, forgery, own);
      const { kid } = await newSealingKey();
      const payload = Buffer.from(await seal(jws, { kid, publicKey: claims.enc }));
      firstAt ||= Date.now();
      tampered.deliver({ topic: viewerInbox(claims.iss), payload, retain: false });
      forged++;
    }
    const more = random.pick(tampered.seen.filter(({ topic }) => topic.endsWith('/in')));
    for (let i = 0; i < 20; i++) {
      misrouted++;
      tampered.deliver({ ...more, topic: random.pick([...viewers, ...boxes]) });
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  let frames = 0;
  for (const { page, colour, spy } of pages) {
    const seen = await colours(page);
    frames += await page.evaluate<number>('Number(sessionStorage.getItem("frames") ?? 0)').catch(() => 0);
    assert.deepEqual(
      [...seen].filter((other) => other !== colour || spy),
      [],
      `a ${colour} viewer saw ${[...seen]}`,
    );
  }
  // Cameras complain in their logs, viewers on their consoles, and both within a second of the first.
  const complaints = cameras
    .flatMap((camera) => linesOf(camera))
    .filter(({ msg, time }) => /message refused/.test(msg) && Date.parse(time) >= firstAt);
  const warnings = pages.flatMap((page) => page.warnings).filter((at) => at >= firstAt);
  assert.ok(complaints.length > 0, 'no camera has logged anything');
  assert.ok(warnings.length > 0, 'no viewer has warned');
  const first = Math.min(...complaints.map(({ time }) => Date.parse(time)), ...warnings);
  console.log(`  first complaint ${first - firstAt} ms after the first misrouted message`);
  assert.ok(first - firstAt < 1_000);
  console.log(
    `attempts: ${misrouted} misrouted, ${forged} forged; complaints: ${complaints.length} in cameras' logs, ` +
      `${warnings.length} on viewers' consoles; frames watched: ${frames}, to the wrong viewer: 0`,
  );
});

test('the server mends its ways: everybody sees their own again', async () => {
  tampered.tamper = (passing) => [passing];
  for (const { page, colour, spy } of pages) {
    if (spy) continue;
    await page.reload({ waitUntil: 'commit' });
    await until(`the ${colour} picture`, async () => (await colours(page)).has(colour), 30_000);
    assert.deepEqual([...(await colours(page))], [colour]);
  }
});

test.run();

/** Opens a page that looks at every frame it shows, and remembers the colours across reloads. */
async function open(url: string, colour: Colour, spy: boolean): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 640, height: 480 } });
  const page = await context.newPage();
  const entry = { page, colour, warnings: [] as number[], spy };
  page.on('console', (message) => {
    if (message.type() === 'warning' && /refused/.test(message.text())) entry.warnings.push(Date.now());
  });
  await page.addInitScript({ content: WATCH_COLOURS });
  pages.push(entry);
  await page.goto(url, { waitUntil: 'commit' });
}

/** Runs in the page; as text, since this file is checked without a browser's types. */
const WATCH_COLOURS = `
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 4;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const known = new Set(JSON.parse(sessionStorage.getItem('colours') ?? '[]'));
  setInterval(() => {
    for (const video of document.querySelectorAll('video')) {
      if (video.readyState < 2 || video.videoWidth === 0) continue;
      context.drawImage(video, 0, 0, 4, 4);
      const [r, g, b] = context.getImageData(1, 1, 1, 1).data;
      sessionStorage.setItem('frames', Number(sessionStorage.getItem('frames') ?? 0) + 1);
      if (Math.max(r, g, b) < 100) continue;
      known.add(r > g && r > b ? 'red' : g > b ? 'lime' : 'blue');
      sessionStorage.setItem('colours', JSON.stringify([...known]));
    }
  }, 50);`;

async function colours(page: Page): Promise<Set<string>> {
  const text = await page.evaluate<string | null>('sessionStorage.getItem("colours")').catch(() => null);
  return new Set(JSON.parse(text ?? '[]') as string[]);
}

function film(colour: Colour, place: string): string {
  const path = join(place, 'clip.h264');
  const made = spawnSync('ffmpeg', [
    ...['-v', 'error', '-f', 'lavfi', '-i', `color=${colour}:s=320x180:r=15:d=4`, '-pix_fmt', 'yuv420p'],
    ...['-c:v', 'libx264', '-profile:v', 'baseline', '-g', '15', '-bsf:v', 'h264_mp4toannexb', '-f', 'h264', path],
  ]);
  if (made.status !== 0) throw new Error(`ffmpeg: ${made.stderr}`);
  return path;
}

function linesOf(camera: CameraProgram): { msg: string; time: string }[] {
  return camera
    .log()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { msg: string; time: string });
}
