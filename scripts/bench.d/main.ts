/** scripts/bench: peercam and its peers on one clip, interleaved. See README.md for what is measured and how. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { arch, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ChromiumViewer } from './chromium.ts';
import { makeClip } from './clip.ts';
import { bundleBytes, idleCpu } from './daemon.ts';
import { measureFirstFrames } from './first-frame.ts';
import { measureLatency } from './latency.ts';
import { measureLoad } from './load.ts';
import type { Peer, Workspace } from './peer.ts';
import { gstreamer } from './peers/gstreamer.ts';
import { janus } from './peers/janus.ts';
import { peercam } from './peers/peercam.ts';
import { pion } from './peers/pion.ts';
import { thinnest } from './peers/thinnest.ts';
import { median, type PeerResult, type Results } from './results.ts';
import { markdownPage } from './table.ts';

const PEERS: readonly Peer[] = [peercam, janus, gstreamer, pion, thinnest];

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    peers: { type: 'string', default: PEERS.map((peer) => peer.name).join(',') },
    viewers: { type: 'string', default: '1,3,10' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    'first-frames': { type: 'string' },
    json: { type: 'string' },
    page: { type: 'string' },
    skip: { type: 'string', default: '' },
  },
});
const seconds = Number(values.seconds ?? (values.quick ? 4 : 15));
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const firstFrames = Number(values['first-frames'] ?? (values.quick ? 3 : 15));
const viewerCounts = values.viewers
  .split(',')
  .map(Number)
  .sort((a, b) => a - b);
const skipped = values.skip.split(',');
const chosen = values.peers.split(',').map((name) => {
  const peer = PEERS.find((candidate) => candidate.name === name);
  if (!peer) throw new Error(`no peer "${name}"; there are ${PEERS.map((candidate) => candidate.name).join(', ')}`);
  return peer;
});

const root = join(import.meta.dirname, '../..');
const cache = join(root, '.cache/bench');
mkdirSync(cache, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'peercam-bench-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
const progress = (text: string) => process.stderr.write(`${text}\n`);

const space: Workspace = { root, cache, scratch, ...(await makeClip(root, cache)) };
const peers: PeerResult[] = chosen.map((peer) => ({
  name: peer.name,
  title: peer.title,
  settings: peer.settings,
  missing: peer.missing(space),
  load: [],
  firstFrameMs: [],
  firstFrameWithCandidateMs: [],
  latencyMs: [],
  invalid: [],
}));
const present = chosen.filter((_, index) => !peers[index]?.missing);
const resultOf = (peer: Peer) => peers.find((result) => result.name === peer.name)!;
for (const result of peers) if (result.missing) progress(`${result.title}: missing: ${result.missing}`);

if (!skipped.includes('load')) {
  for (let round = 1; round <= rounds; round++) {
    for (const peer of present)
      await measureLoad(peer, space, { round, viewerCounts, seconds }, resultOf(peer), progress);
  }
}
const chromium = new ChromiumViewer();
await chromium.start();
try {
  if (!skipped.includes('first-frame')) {
    await measureFirstFrames(present, space, chromium, firstFrames, resultOf, progress);
  }
  if (!skipped.includes('latency')) {
    for (let round = 1; round <= rounds; round++) {
      for (const peer of present) await measureLatency(peer, space, chromium, seconds, resultOf(peer), progress);
    }
  }
} finally {
  await chromium.stop();
}
const results: Results = {
  date: new Date().toISOString(),
  machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}, ${arch()}, Node ${process.version}`,
  options: { seconds, rounds, firstFrames, viewers: viewerCounts },
  peers,
  bundleBytes: bundleBytes(root),
  idleCpuPercent:
    present.includes(peercam) && !skipped.includes('idle') ? await idleCpu(space, values.quick ? 10 : 40) : undefined,
};
if (results.idleCpuPercent !== undefined) progress(`idle: ${results.idleCpuPercent.toFixed(2)} % of a core`);
if (values.json) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
const page = markdownPage(results);
if (values.page) writeFileSync(values.page, page);
process.stdout.write(page);
const firstFrame = peers.map((peer) => `${peer.name} ${median(peer.firstFrameMs)?.toFixed(0) ?? '-'}`);
progress(`first frame: ${firstFrame.join(', ')}`);
process.exit(0); // playwright keeps the loop alive for seconds
