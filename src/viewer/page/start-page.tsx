import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Post } from '../connection/broker.ts';
import { PresenceWatch } from '../connection/presence.ts';
import { browserTimer } from '../connection/timer.ts';
import type { Self } from '../memory/self.ts';
import { words } from '../words.ts';
import { AddCamera } from './add-camera.tsx';
import { Brand } from './brand.tsx';
import { CameraCard } from './camera-card.tsx';
import { Icon } from './icon.tsx';

interface StartPageProps {
  readonly self: Self;
  readonly post: Post;
  /** From an address that named no camera. */
  readonly typed: string;
  readonly open: (uid: Uid, code: SetupCode | undefined) => void;
}

/** The cameras this browser remembers, and the way to another one. */
export function StartPage({ self, post, typed, open }: StartPageProps) {
  const adding = useSignal(typed !== '');
  const none = self.cameras.value.length === 0;
  useEffect(() => {
    document.title = words.product;
    document.documentElement.dataset.state = 'start';
    delete document.documentElement.dataset.path;
  }, []);

  const isRemembered = (uid: Uid) => self.camera(uid)?.known.rights !== undefined;
  const add = <AddCamera typed={typed} isRemembered={isRemembered} open={open} autoFocus={none || adding.value} />;
  if (none) {
    return (
      <main class="start">
        <div class="start-card">
          <Brand />
          <h1>{words.start.heading}</h1>
          <p class="lead">{words.start.lead}</p>
          {add}
          <p class="promise">{self.lasting ? words.start.promise : words.start.forgetful}</p>
        </div>
      </main>
    );
  }
  return (
    <div class="home-page">
      <header class="top">
        <Brand />
      </header>
      <main class="cameras">
        <header>
          <h1>{words.cameras.heading}</h1>
          <button
            type="button"
            class="button"
            aria-expanded={adding.value}
            aria-controls="add"
            onClick={() => (adding.value = !adding.value)}
          >
            <Icon name={adding.value ? 'close' : 'plus'} />
            {words.cameras.add}
          </button>
        </header>
        {adding.value && (
          <section id="add" class="start-card" aria-label={words.cameras.add}>
            {add}
          </section>
        )}
        <Cards self={self} post={post} />
        {!self.lasting && <p class="promise">{words.start.forgetful}</p>}
      </main>
    </div>
  );
}

function Cards({ self, post }: { readonly self: Self; readonly post: Post }) {
  const watch = useMemo(() => new PresenceWatch({ self, post, timer: browserTimer }), [self, post]);
  useEffect(() => {
    watch.start();
    return () => watch.stop();
  }, [watch]);
  const presences = watch.presences.value;
  return (
    <ul class="cards">
      {self.cameras.value.map((camera) => (
        <CameraCard
          key={camera.known.uid}
          camera={camera}
          presence={presences.get(camera.known.uid) ?? { state: 'asking' }}
          forget={() => self.forget(camera.known.uid)}
        />
      ))}
    </ul>
  );
}
