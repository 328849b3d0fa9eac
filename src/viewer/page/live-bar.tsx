import type { ReadonlySignal } from '@preact/signals';
import type { Verified } from '../connection/connection.ts';
import type { Statistics } from '../connection/statistics.ts';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

interface LiveFiguresProps {
  readonly statistics: ReadonlySignal<Statistics | undefined>;
  readonly verified: Verified | undefined;
}

/** The figures of a live picture: whose it is, path, latency, bitrate, frame rate, size. */
export function LiveFigures({ statistics, verified }: LiveFiguresProps) {
  const now = statistics.value;
  const path = now?.path;
  return (
    <dl class="figures">
      {verified && (
        <div class="figure-verified">
          <dt>{words.verified.figure}</dt>
          <dd>
            <span class="chip verified" title={words.verified.meaning}>
              <Icon name="shield" />
              {words.verified.badge}
            </span>
          </dd>
        </div>
      )}
      <div class="figure-path">
        <dt>{words.figure.path}</dt>
        <dd>
          {path ? (
            <span class={`chip ${path}`} title={words.pathMeaning[path]}>
              {words.pathShort[path]}
            </span>
          ) : (
            '–'
          )}
        </dd>
      </div>
      <div title={words.latencyMeaning}>
        <dt>{words.figure.latency}</dt>
        <dd>{words.unit.wholeMs(now?.latencyMs)}</dd>
      </div>
      <div>
        <dt>{words.figure.bitrate}</dt>
        <dd>{words.unit.bitrate(now?.bitsPerSecond)}</dd>
      </div>
      <div>
        <dt>{words.figure.rate}</dt>
        <dd>{words.unit.rate(now?.framesPerSecond)}</dd>
      </div>
      <div class="figure-size">
        <dt>{words.figure.size}</dt>
        <dd>{words.unit.size(now?.width ?? 0, now?.height ?? 0)}</dd>
      </div>
    </dl>
  );
}
