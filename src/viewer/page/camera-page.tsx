import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { type AccessList, accessListSchema } from '#protocol/access.ts';
import { mayDo, type Right } from '#protocol/rights.ts';
import { formatUid, type Uid } from '#protocol/uid.ts';
import type { Connection } from '../connection/connection.ts';
import type { Phase } from '../connection/phase.ts';
import { START } from '../label.ts';
import type { Self } from '../memory/self.ts';
import { words } from '../words.ts';
import { Brand } from './brand.tsx';
import { Controls } from './controls.tsx';
import { Details } from './details.tsx';
import { Icon } from './icon.tsx';
import { LiveFigures } from './live-bar.tsx';
import { People } from './people.tsx';
import { Picture } from './picture.tsx';
import { Problem, problemOf } from './problem.tsx';
import { SpareCode } from './spare-code.tsx';
import { Steps } from './steps.tsx';
import { Welcome } from './welcome.tsx';

/** Where a person's "try again" can do more than waiting does. */
const HELPED_BY_RETRY: ReadonlySet<Phase> = new Set<Phase>([
  'offline',
  'leaving',
  'silent',
  'forged',
  'refused',
  'server-unreachable',
]);

/** Pointer at rest this long: the bar over the picture makes way. */
const REST_MS = 3500;

interface CameraPageProps {
  readonly uid: Uid;
  readonly connection: Connection<MediaStream>;
  readonly accessNews: Signal<number>;
  /** Undefined while the memory is being read. */
  readonly self: Self | undefined;
}

/** One camera: its picture, or what stands in the way of it. */
export function CameraPage({ uid, connection, accessNews, self }: CameraPageProps) {
  const view = connection.view.value;
  const stage = useRef<HTMLDivElement>(null);
  const panel = useSignal<'details' | 'people' | undefined>(undefined);
  const welcomed = useSignal(false);
  const resting = useRest(stage);

  const { phase, info, status, stream, admission } = view;
  const remembered = self?.camera(uid);
  const name = info?.name || remembered?.name || status?.name;
  const size = connection.statistics.value;
  const problem = problemOf(view, Date.now(), navigator.onLine);
  const live = phase === 'live';
  const seen = view.firstPictureMs !== undefined;
  const lost = phase === 'reconnecting';
  const rights = admission.state === 'in' ? admission.rights : [];
  const there = info !== undefined && (live || phase === 'source-down');
  // What was seen is nobody's business any more where the access is gone.
  const over = phase === 'no-access' || phase === 'forged';
  const open = there || (panel.value === 'details' && seen && !over) ? panel.value : undefined;
  useEffect(() => {
    document.title = name ? `${name} · ${words.product}` : words.product;
  }, [name]);
  useEffect(() => {
    if (live) self?.saw(uid, info?.name);
  }, [live, self, info?.name]);
  useDataset(connection);
  const access = useAccess(there, connection, accessNews, (mine) => self?.rightsChanged(uid, mine));

  const toggle = (which: 'details' | 'people') => {
    panel.value = panel.value === which ? undefined : which;
  };
  const closePanel = () => {
    const button = document.querySelector<HTMLElement>(`[aria-controls=${panel.value}]`);
    panel.value = undefined;
    button?.focus();
  };

  return (
    <div class={open ? 'camera with-details' : 'camera'}>
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
        {there && mayDo(rights, 'owner') && (
          <button
            type="button"
            class="round"
            aria-expanded={open === 'people'}
            aria-controls="people"
            title={words.people.heading}
            onClick={() => toggle('people')}
          >
            <Icon name="people" />
            <span class="unseen">{words.people.heading}</span>
          </button>
        )}
      </header>
      <main
        ref={stage}
        class={`stage ${live ? 'live' : seen && !over && (lost || problem) ? 'faded' : 'blank'} ${resting.value ? 'resting' : ''}`}
        style={size?.width ? { '--ratio': size.width / size.height } : undefined}
      >
        <Picture
          stream={stream}
          label={words.picture(name ?? words.thisCamera)}
          shown={(from, rtp, atMs) => connection.pictureShown(from, rtp, atMs)}
        />
        {problem && (
          <Problem
            problem={problem}
            submitCode={(code) => connection.pair(code)}
            retry={HELPED_BY_RETRY.has(phase) ? () => connection.retry() : undefined}
          />
        )}
        {!problem && !live && (
          <section class="connecting">
            <h2>{headingOf(phase, name ?? words.thisCamera)}</h2>
            <Steps steps={view.steps} />
          </section>
        )}
        {live && (
          <div class="bar">
            <LiveFigures statistics={connection.statistics} verified={view.verified} />
            <Controls
              stage={() => stage.current}
              detailsOpen={open === 'details'}
              toggleDetails={() => toggle('details')}
            />
          </div>
        )}
      </main>
      {open === 'details' && (
        <Details uid={uid} name={name} view={view} self={self} connection={connection} close={closePanel} />
      )}
      {open === 'people' && mayDo(rights, 'owner') && (
        <People
          uid={uid}
          name={name ?? words.thisCamera}
          connection={connection}
          list={access.value}
          close={closePanel}
        />
      )}
      <SpareCode admission={admission} connection={connection} />
      {there && self && admission.state === 'in' && admission.newly && !welcomed.value && (
        <Welcome
          name={name ?? ''}
          rights={rights}
          connection={connection}
          renamed={(to) => self.renamed(uid, to)}
          close={() => (welcomed.value = true)}
        />
      )}
    </div>
  );
}

function headingOf(phase: Phase, camera: string): string {
  if (phase === 'reconnecting') return words.reconnecting;
  return phase === 'pairing' ? words.pairing : words.connectingTo(camera);
}

function tone(phase: Phase): string {
  if (phase === 'live') return 'good';
  const busy = words.phase[phase] === words.phase.asking || phase === 'reconnecting' || phase === 'code-needed';
  return busy ? 'busy' : 'bad';
}

/** Who has access, as far as this viewer may know: read anew whenever the camera says that it changed. */
function useAccess(
  there: boolean,
  connection: Connection<MediaStream>,
  news: Signal<number>,
  learnt: (mine: readonly Right[]) => void,
) {
  const list = useSignal<AccessList | undefined>(undefined);
  useEffect(() => {
    if (!there) return;
    connection.request('access.list', accessListSchema).then(
      (fresh) => {
        list.value = fresh;
        const mine = fresh.entries.find(({ thumbprint }) => thumbprint === fresh.me)?.rights;
        if (!mine) return;
        connection.rightsChanged(mine);
        learnt(mine);
      },
      (error: unknown) => console.warn('peercam: access.list', error),
    );
  }, [there, news.value]);
  return list;
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

/**
 * State for machines, on the root element: `data-state` the phase, `data-path` how the picture travels,
 * `data-verified` how it was made sure whose picture it is.
 */
function useDataset(connection: Connection<MediaStream>): void {
  const { phase, verified } = connection.view.value;
  const path = connection.statistics.value?.path;
  const root = document.documentElement.dataset;
  useEffect(() => {
    root.state = phase;
    if (phase === 'live' && path) root.path = path;
    else delete root.path;
    if (phase === 'live' && verified) root.verified = verified;
    else delete root.verified;
  }, [phase, path, verified]);
}
