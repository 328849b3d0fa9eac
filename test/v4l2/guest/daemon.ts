import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { splitNals } from '#media/annex-b.ts';
import { nalsOf, type Rtp } from '../../support/depacketizer.ts';
import {
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../../support/product.ts';
import { until } from '../../support/wait.ts';
import { WhepViewer } from '../../support/whep-viewer.ts';
import { clip, replay, replugged, vividPath } from './replay.ts';

const TOKEN = 'a-token-for-the-test';
const FRAMES = 45;

const test = suite('peercamd on v4l2:');
let server: ServerProgram;
let camera: CameraProgram | undefined;
let viewer: WhepViewer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

test.before(async () => {
  execFileSync('modprobe', ['vivid', 'n_devs=1', 'node_types=0x1']);
  replay.load({ multiplanar: false });
  folder = await temporaryFolder('v4l2');
  server = await startServer();
});
test.after(async () => {
  await server.stop();
  await folder.remove();
  replay.unload(); // succeeds only when peercamd has closed everything
  // The WebRTC library's threads do not end by themselves after a test that failed half-way.
  setTimeout(() => process.exit(), 2_000).unref();
});
test.after.each(async () => {
  viewer.close();
  const stopping = camera;
  camera = undefined;
  await stopping?.stop();
});

test('a camera with H.264, watched by a WebRTC peer: the clip, byte by byte', async () => {
  // Slower than life: an emulated processor does DTLS, SRTP and ICE for both sides.
  await watch(`v4l2:${replay.camera()}?fps=6`);
  await frames(FRAMES);
  keep('direct');
});

test('raw pictures through the encoder, watched by a WebRTC peer', async () => {
  await watch(`v4l2:${vividPath()}?width=320&height=180&fps=6`);
  await frames(FRAMES);
  keep('encoded');
});

test('a picture loss indication reaches the encoder: an IDR within a few frames', async () => {
  await watch(`v4l2:${replay.camera()}?fps=6`);
  await frames(4);
  const asked = received().length;
  viewer.sendRtcp(pictureLoss(viewer.ssrc));
  await frames(8);
  const keyAt = received().findIndex((nals, index) => index >= asked && nals.some((nal) => (nal[0]! & 31) === 5));
  assert.ok(keyAt >= 0, 'the clip itself would bring one after 30 frames');
});

test('unplugged and plugged in again under a watching peer: the picture comes back by itself', async () => {
  await watch(`v4l2:${replay.camera()}?fps=6`);
  await frames(5);
  await viewer.ask('{"jsonrpc":"2.0","id":1,"method":"session.info"}');
  replay.set('plugged', 0);
  await until('the viewer is told', () => wasTold('"down".*(The camera is gone|There is no such device)'), 30_000);
  await replugged();
  const before = viewer.frames;
  await until('pictures again', () => viewer.frames > before + 5, 60_000);
  await until('the viewer is told', () => wasTold('"down".*"live"'), 30_000);
});

async function watch(source: string): Promise<void> {
  camera = await startCamera({ server: server.mqttUrl, folder: folder.path, source, whepToken: TOKEN });
  viewer = new WhepViewer({ url: camera.whepUrl!, token: TOKEN });
  await within(60_000, 'the first packet', viewer.watch());
}

function frames(count: number): Promise<void> {
  return within(60_000, `${count} frames`, viewer.nextFrames(count));
}

/** An emulated processor is slow and a peer waits for ever: say what the camera saw. */
async function within<T>(limitMs: number, what: string, wanted: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${limitMs} ms in vain: ${what}; the camera's log:\n${camera?.log()}`));
    }, limitMs);
  });
  return Promise.race([wanted, late]).finally(() => clearTimeout(timer));
}

/** Whether what came on the control channel, in this order, matches. */
function wasTold(pattern: string): boolean {
  return new RegExp(pattern).test(JSON.stringify(viewer.replies));
}

/** The access units that came whole, each as its NAL units. */
function received(): Buffer[][] {
  const units: Buffer[][] = [];
  let packets: Rtp[] = [];
  for (const packet of viewer.packets) {
    packets.push(packet);
    if (!packet.marker) continue;
    units.push(nalsOf(packets));
    packets = [];
  }
  return units;
}

/**
 * Compares what came with the clip, and leaves it for the host to decode. A viewer that falls behind, as an emulated
 * one may, goes on at an IDR: nothing else may be left out.
 */
function keep(name: string): void {
  const units = received();
  assert.ok(units.length >= FRAMES);
  assert.equal(viewer.gaps, 0, 'RTP packets missing');
  const places = units.map((nals) => clip.findIndex((frame) => sameNals(splitNals(frame.data), nals)));
  const said = `the clip's frames ${places}; the camera's log:\n${camera?.log()}`;
  assert.ok(!places.includes(-1), `every access unit is one of the clip, SPS and PPS before each IDR: ${said}`);
  for (const [index, place] of places.entries()) {
    const follows = index > 0 && place === (places[index - 1]! + 1) % clip.length;
    assert.ok(follows || clip[place]!.keyframe, `access unit ${index} follows, or is an IDR: ${said}`);
  }
  const startCode = Buffer.from([0, 0, 0, 1]);
  writeFileSync(
    `/run/vm/${name}.h264`,
    Buffer.concat(units.flatMap((nals) => nals.flatMap((nal) => [startCode, nal]))),
  );
  writeFileSync(`/run/vm/${name}.json`, JSON.stringify({ frames: units.length }));
}

function sameNals(expected: readonly Uint8Array[], actual: readonly Buffer[]): boolean {
  return expected.length === actual.length && expected.every((nal, index) => Buffer.compare(nal, actual[index]!) === 0);
}

/** RTCP PLI, RFC 4585 section 6.3.1. */
function pictureLoss(ssrc: number): Buffer {
  const packet = Buffer.alloc(12);
  packet.writeUInt32BE(0x81ce0002, 0);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(ssrc, 8);
  return packet;
}

test.run();
