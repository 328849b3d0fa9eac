import { type LoadSample, median, type PeerResult, type Results } from './results.ts';

/** One bar of the bench: what was measured against what it is compared with. */
interface Bar {
  readonly text: string;
  readonly measured: number | undefined;
  readonly reference: number | undefined;
  readonly limit: number;
  readonly unit: string;
}

const DIGITS: Record<string, number> = { s: 3, MB: 0, ms: 0, '%': 2 };

/** The results as one Markdown page: tables first, bars with their ratio, then what each peer was set to. */
export function markdownPage(results: Results): string {
  const { seconds, rounds, firstFrames, viewers } = results.options;
  const lines = [
    '# Bench',
    '',
    `Made by \`scripts/bench\` (method: [bench.d/README.md](bench.d/README.md)) on ${results.date.slice(0, 10)}: ${results.machine}.`,
    `Medians of ${rounds} interleaved round${rounds > 1 ? 's' : ''} of ${seconds} s; first frame of ${firstFrames} connections. ` +
      'Ratios within one run hold elsewhere, absolute figures do not.',
    '',
    ...table(results, viewers),
    '',
    '## Bars',
    '',
    ...bars(results).map(barLine),
    '',
    'What lies behind a missed bar: [bench.d/README.md](bench.d/README.md#where-the-cpu-goes).',
    '',
    '## Settings of each peer',
    '',
    ...results.peers.map(
      (peer) => `- **${peer.title}**: ${peer.missing ? `missing here: ${peer.missing}` : peer.settings}`,
    ),
  ];
  const invalid = results.peers.flatMap((peer) => peer.invalid.map((text) => `- ${peer.title}: ${text}`));
  if (invalid.length) lines.push('', '## Runs that did not count', '', ...invalid);
  return `${lines.join('\n')}\n`;
}

function table(results: Results, viewers: readonly number[]): string[] {
  const header = [
    'peer',
    ...viewers.map((count) => `CPU s/viewer-minute, ${count}`),
    ...viewers.filter((count) => count !== 3).map((count) => `RSS (PSS) MB, ${count}`),
    'first frame ms',
    'send to presented p50 ms',
  ];
  const rows = results.peers.map((peer) => {
    if (peer.missing) return [peer.title, ...header.slice(1).map(() => 'missing')];
    return [
      peer.title,
      ...viewers.map((count) => format(cpu(peer, count), 's')),
      ...viewers
        .filter((count) => count !== 3)
        .map((count) => `${format(of(peer, count, 'rssMb'), 'MB')} (${format(of(peer, count, 'pssMb'), 'MB')})`),
      format(firstFrame(peer), 'ms'),
      median(peer.latencyMs)?.toFixed(1) ?? '-',
    ];
  });
  const janus = results.peers.find((peer) => peer.name === 'janus');
  if (janus && !janus.missing) {
    const blank = header.slice(1 + viewers.length).map(() => '');
    rows.push(['Janus + its RTP feeder', ...viewers.map((count) => format(withFeeder(janus, count), 's')), ...blank]);
  }
  return [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
}

function bars(results: Results): Bar[] {
  const peer = (name: string) => results.peers.find((candidate) => candidate.name === name);
  const [camera, janus, pion, gstreamer, thinnest] = ['peercam', 'janus', 'pion', 'gstreamer', 'thinnest'].map(peer);
  const others = results.peers.filter((candidate) => candidate.name !== 'peercam');
  const latencies = others.flatMap((other) => median(other.latencyMs) ?? []);
  const cpuBar = (text: string, count: number, reference: number | undefined, limit: number): Bar => ({
    text: `CPU per viewer-minute at ${count}: ${text}`,
    measured: cpu(camera, count),
    reference,
    limit,
    unit: 's',
  });
  const rssBar = (count: number): Bar => ({
    text: `RSS at ${count}: <= 1.25x the thinnest sender`,
    measured: of(camera, count, 'rssMb'),
    reference: of(thinnest, count, 'rssMb'),
    limit: 1.25,
    unit: 'MB',
  });
  return [
    cpuBar('<= 0.8x Janus', 10, cpu(janus, 10), 0.8),
    cpuBar('<= 1.0x pion', 10, cpu(pion, 10), 1),
    cpuBar('<= 0.75x (Janus + feeder)', 1, janus && withFeeder(janus, 1), 0.75),
    cpuBar('<= 1.0x GStreamer', 1, cpu(gstreamer, 1), 1),
    rssBar(1),
    rssBar(10),
    {
      text: 'first frame: <= 1.1x Janus',
      measured: firstFrame(camera),
      reference: firstFrame(janus),
      limit: 1.1,
      unit: 'ms',
    },
    {
      text: 'send to presented p50: no worse than the best peer',
      measured: camera && median(camera.latencyMs),
      reference: latencies.length ? Math.min(...latencies) : undefined,
      limit: 1,
      unit: 'ms',
    },
    {
      text: 'bundle without native addons: <= 1.5 MB',
      measured: results.bundleBytes && results.bundleBytes / 1e6,
      reference: 1.5,
      limit: 1,
      unit: 'MB',
    },
    {
      text: 'idle, no viewer: <= 0.5 % of a core',
      measured: results.idleCpuPercent,
      reference: 0.5,
      limit: 1,
      unit: '%',
    },
  ];
}

function barLine({ text, measured, reference, limit, unit }: Bar): string {
  if (measured === undefined || reference === undefined) return `- not measured: ${text}`;
  const digits = reference < 10 && unit === 'MB' ? 2 : unit === 'ms' && reference < 30 ? 1 : DIGITS[unit]!;
  const ratio = measured / reference;
  const figures = `${measured.toFixed(digits)} against ${reference.toFixed(digits)} ${unit}, ratio ${ratio.toFixed(2)}`;
  return `- **${ratio <= limit ? 'met' : 'MISSED'}**: ${text} (${figures})`;
}

function of(peer: PeerResult | undefined, viewers: number, field: keyof LoadSample): number | undefined {
  return peer && median(peer.load.filter((sample) => sample.viewers === viewers).map((sample) => sample[field]));
}

function cpu(peer: PeerResult | undefined, viewers: number): number | undefined {
  return of(peer, viewers, 'cpuPerViewerMinute');
}

function withFeeder(peer: PeerResult, viewers: number): number | undefined {
  const samples = peer.load.filter((sample) => sample.viewers === viewers);
  return median(samples.map((sample) => sample.cpuPerViewerMinute + sample.feederCpuPerViewerMinute));
}

/** The better of the two ways to post the offer: each peer at its best. */
function firstFrame(peer: PeerResult | undefined): number | undefined {
  if (!peer) return undefined;
  const both = [median(peer.firstFrameMs), median(peer.firstFrameWithCandidateMs)];
  const known = both.filter((value) => value !== undefined);
  return known.length ? Math.min(...known) : undefined;
}

function format(value: number | undefined, unit: string): string {
  return value?.toFixed(DIGITS[unit]) ?? '-';
}
