import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { formatUid, type Uid } from '#protocol/uid.ts';
import type { Connection } from '../connection/connection.ts';
import type { Phase } from '../connection/phase.ts';
import { START } from '../label.ts';
import { words } from '../words.ts';
import { Brand } from './brand.tsx';
import { Controls } from './controls.tsx';
import { Details } from './details.tsx';
import { LiveFigures } from './live-bar.tsx';
import { Picture } from './picture.tsx';
import { Problem, problemOf } from './problem.tsx';
import { Steps } from './steps.tsx';

/** Where a person's "try again" can do more than waiting does. */
const HELPED_BY_RETRY: ReadonlySet<Phase> = new Set(['offline', 'leaving', 'unknown', 'refused', 'server-unreachable']);

/** Pointer at rest this long: the bar over the picture makes way. */
const REST_MS = 3500;

interface CameraPageProps {
  readonly uid: Uid;
  readonly connection: Connection<MediaStream>;
}

/** One camera: its picture, or what stands in the way of it. */
export function CameraPage({ uid, connection }: CameraPageProps) {
  const view = connection.view.value;
  const stage = useRef<HTMLDivElement>(null);
  const details = useSignal(false);
  const detailsButton = () => stage.current?.querySelector<HTMLElement>('[aria-controls=details]');
  const resting = useRest(stage);

  const { phase, info, status, stream } = view;
  const name = info?.name || status?.name;
  const size = connection.statistics.value;
  const problem = problemOf(view, Date.now(), navigator.onLine);
  const live = phase === 'live';
  const seen = view.firstPictureMs !== undefined;
  const lost = phase === 'reconnecting';
  useEffect(() => {
    document.title = name ? `${name} · ${words.product}` : words.product;
  }, [name]);
  useDataset(connection);

  return (
    <div class={details.value ? 'camera with-details' : 'camera'}>
      <header class="top">
        <a class="home" href={START} aria-label={`${words.product}: ${words.otherCamera}`}>
          <Brand />
        </a>
        <div class="who">
          <h1 class={name ? undefined : 'uid'}>{name ?? formatUid(uid)}</h1>
          {name && <p class="uid">{formatUid(uid)}</p>}
        </div>
        <p class={`state ${tone(phase)}`} role="status">
          <span class="dot" />
          {words.phase[phase]}
        </p>
      </header>
      <main
        ref={stage}
        class={`stage ${live ? 'live' : seen && (lost || problem) ? 'faded' : 'blank'} ${resting.value ? 'resting' : ''}`}
        style={size?.width ? { '--ratio': size.width / size.height } : undefined}
      >
        <Picture
          stream={stream}
          label={words.picture(name ?? words.thisCamera)}
          shown={(from, rtp, atMs) => connection.pictureShown(from, rtp, atMs)}
        />
        {problem && (
          <Problem problem={problem} retry={HELPED_BY_RETRY.has(phase) ? () => connection.retry() : undefined} />
        )}
        {!problem && !live && (
          <section class="connecting">
            <h2>{lost ? words.reconnecting : words.connectingTo(name ?? words.thisCamera)}</h2>
            <Steps steps={view.steps} />
          </section>
        )}
        {live && (
          <div class="bar">
            <LiveFigures statistics={connection.statistics} />
            <Controls
              stage={() => stage.current}
              detailsOpen={details.value}
              toggleDetails={() => (details.value = !details.value)}
            />
          </div>
        )}
      </main>
      {details.value && (
        <Details
          uid={uid}
          view={view}
          statistics={connection.statistics}
          close={() => {
            details.value = false;
            detailsButton()?.focus();
          }}
        />
      )}
    </div>
  );
}

function tone(phase: Phase): string {
  if (phase === 'live') return 'good';
  return words.phase[phase] === words.phase.asking || phase === 'reconnecting' ? 'busy' : 'bad';
}

/** True once pointer and keyboard have been still for a while. */
function useRest(stage: { readonly current: HTMLElement | null }) {
  const resting = useSignal(false);
  useEffect(() => {
    const element = stage.current!;
    let timer: ReturnType<typeof setTimeout>;
    const stir = () => {
      resting.value = false;
      clearTimeout(timer);
      timer = setTimeout(() => (resting.value = true), REST_MS);
    };
    stir();
    const signs = ['pointermove', 'pointerdown', 'keydown', 'focusin'] as const;
    for (const sign of signs) element.addEventListener(sign, stir);
    return () => {
      clearTimeout(timer);
      for (const sign of signs) element.removeEventListener(sign, stir);
    };
  }, []);
  return resting;
}

/** State for machines, on the root element: `data-state` the phase, `data-path` how the picture travels. */
function useDataset(connection: Connection<MediaStream>): void {
  const { phase } = connection.view.value;
  const path = connection.statistics.value?.path;
  const root = document.documentElement.dataset;
  useEffect(() => {
    root.state = phase;
    if (phase === 'live' && path) root.path = path;
    else delete root.path;
  }, [phase, path]);
}
