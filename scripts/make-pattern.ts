import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { NAL, nalType, splitNals } from '#media/annex-b.ts';
import { parseSps } from '#media/parameter-sets.ts';
import { HEIGHT, LOOP_SECONDS, PatternScene, RATE, WIDTH } from './make-pattern-scene.ts';

const USAGE = `Usage: scripts/make-pattern [--out PATH]
         the pattern source's clip: 1280x720, 30 fps, 10 s, an IDR every second (default: src/device/sim/pattern.h264)
       scripts/make-pattern --bench PATH [--seconds 20] [--bitrate 2000]
         a clip for measurements: the same picture with noise, an IDR every two seconds, constant bitrate, kbit/s
       scripts/make-pattern --png PATH [--frame 45]
         one frame as drawn, to look at`;

const FONTS = '/usr/share/fonts/truetype/dejavu';

interface Clip {
  readonly path: string;
  readonly frames: number;
  readonly filters: readonly string[];
  readonly encoder: readonly string[];
}

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'src/device/sim/pattern.h264' },
    bench: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    bitrate: { type: 'string', default: '2000' },
    png: { type: 'string' },
    frame: { type: 'string', default: '45' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else if (values.png) await encode(still(values.png), Number(values.frame));
else if (values.bench) await makeClip(benchClip(values.bench, Number(values.seconds), Number(values.bitrate)));
else await makeClip(patternClip(values.out));

/** Small and clean: the encoder may take its time. */
function patternClip(path: string): Clip {
  return {
    path,
    frames: LOOP_SECONDS * RATE,
    filters: [],
    encoder: ['-preset', 'veryslow', '-crf', '19', ...x264({ gop: RATE, reorder: 'ref=3' })],
  };
}

/** What a camera's hardware encoder sends: a steady bitrate, one reference, noise in every macroblock. */
function benchClip(path: string, seconds: number, kbits: number): Clip {
  const rate = ['-b:v', `${kbits}k`, '-maxrate', `${kbits}k`, '-bufsize', `${kbits / 2}k`];
  return {
    path,
    frames: seconds * RATE,
    filters: ['noise=alls=9:allf=t+u'],
    encoder: ['-preset', 'veryfast', '-tune', 'zerolatency', ...rate, ...x264({ gop: 2 * RATE, reorder: 'ref=1' })],
  };
}

function still(path: string): Clip {
  return { path, frames: 1, filters: [], encoder: [] };
}

/** Constrained Baseline, closed GOPs of fixed length, no B-frames, one slice a picture, parameter sets with every IDR. */
function x264(options: { gop: number; reorder: string }): string[] {
  const { gop, reorder } = options;
  const fixed = `keyint=${gop}:min-keyint=${gop}:scenecut=0:bframes=0:slices=1:sliced-threads=0:open-gop=0:aud=0`;
  return [
    ...['-profile:v', 'baseline', '-level', '3.1', '-x264-params', `${fixed}:${reorder}`],
    // The encoder's own text (SEI) is no use to anyone.
    ...['-bsf:v', 'filter_units=remove_types=6', '-f', 'h264'],
  ];
}

async function makeClip(clip: Clip): Promise<void> {
  await encode(clip, 0);
  const stream = readFileSync(clip.path);
  markConstrainedBaseline(stream);
  writeFileSync(clip.path, stream);
  const sps = parseSps(splitNals(stream).find((nal) => nalType(nal) === NAL.sps)!);
  const kbits = (stream.length * 8) / 1000 / (clip.frames / RATE);
  console.log(
    `${clip.path}: ${statSync(clip.path).size} bytes, ${clip.frames} frames, ${kbits.toFixed(0)} kbit/s, ` +
      `${sps.width}x${sps.height} at ${sps.frameRate} fps, profile-level-id ${sps.profileLevelId}`,
  );
}

/**
 * x264 sets constraint_set0 and 1 for its Constrained Baseline streams (42c0..); browsers write the same profile with
 * constraint_set2 as well (42e0..), which holds for these streams too (A.2.3). Equal strings keep SDP simple.
 */
function markConstrainedBaseline(stream: Buffer): void {
  for (const nal of splitNals(stream)) {
    if (nalType(nal) === NAL.sps) nal[2] = nal[2]! | 0xe0;
  }
}

/** Draws frames, hands them to ffmpeg raw, waits for its result. */
async function encode(clip: Clip, first: number): Promise<void> {
  const ffmpeg = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-loglevel', 'error', '-y'],
      ...['-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${WIDTH}x${HEIGHT}`, '-framerate', `${RATE}`],
      ...['-i', '-', '-vf', [...clip.filters, ...captions(first), ...colours(clip)].join(',')],
      ...(clip.encoder.length > 0 ? ['-c:v', 'libx264', ...clip.encoder] : ['-frames:v', '1']),
      clip.path,
    ],
    { stdio: ['pipe', 'inherit', 'inherit'] },
  );
  const ended = once(ffmpeg, 'close');
  const scene = new PatternScene();
  for (let frame = first; frame < first + clip.frames; frame++) {
    if (!ffmpeg.stdin.write(scene.draw(frame))) await once(ffmpeg.stdin, 'drain');
  }
  ffmpeg.stdin.end();
  const [code] = await ended;
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`);
}

function colours(clip: Clip): string[] {
  if (clip.encoder.length === 0) return [];
  return [
    'scale=out_color_matrix=bt709:out_range=tv',
    'format=yuv420p',
    'setparams=color_primaries=bt709:color_trc=bt709',
  ];
}

/** The wordmark, a clock mm:ss.ff (ff: frames) and the frame's number. */
function captions(first: number): string[] {
  const n = `(n+${first})`;
  const number = (expression: string, digits: number) => `%{eif\\:${expression}\\:d\\:${digits}}`;
  const minutes = number(`floor(${n}/${RATE * 60})`, 2);
  const seconds = number(`mod(floor(${n}/${RATE})\\,60)`, 2);
  const frames = number(`mod(${n}\\,${RATE})`, 2);
  return [
    caption({ font: 'DejaVuSans-Bold', size: 56, x: '44', y: '38', text: 'peercam' }),
    caption({ font: 'DejaVuSans', size: 22, x: '48', y: '104', text: 'test pattern' }),
    caption({ font: 'DejaVuSansMono', size: 48, x: 'w-tw-44', y: '42', text: `${minutes}\\:${seconds}.${frames}` }),
    caption({ font: 'DejaVuSansMono', size: 22, x: 'w-tw-46', y: '104', text: `frame ${number(n, 4)}` }),
  ];
}

function caption(options: { font: string; size: number; x: string; y: string; text: string }): string {
  const { font, size, x, y, text } = options;
  const shadow = 'shadowx=0:shadowy=2:shadowcolor=0x10243a@0.35';
  return `drawtext=fontfile=${FONTS}/${font}.ttf:fontsize=${size}:fontcolor=white@0.94:${shadow}:x=${x}:y=${y}:text='${text}'`;
}
