import type { ReadonlySignal } from '@preact/signals';
import type { Statistics } from '../connection/statistics.ts';
import { words } from '../words.ts';

/** The figures of a live picture: path, latency, bitrate, frame rate, size. */
export function LiveFigures({ statistics }: { readonly statistics: ReadonlySignal<Statistics | undefined> }) {
  const now = statistics.value;
  const path = now?.path;
  return (
    <dl class="figures">
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
