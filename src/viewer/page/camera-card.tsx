import { useSignal } from '@preact/signals';
import { formatUid } from '#protocol/uid.ts';
import type { Presence } from '../connection/presence.ts';
import type { RememberedCamera } from '../memory/store.ts';
import { words } from '../words.ts';
import { Confirm } from './confirm.tsx';
import { Icon } from './icon.tsx';

interface CameraCardProps {
  readonly camera: RememberedCamera;
  readonly presence: Presence;
  readonly forget: () => void;
}

/** One remembered camera: a tap anywhere on it opens the picture. */
export function CameraCard({ camera, presence, forget }: CameraCardProps) {
  const asking = useSignal(false);
  const { known, lastSeenAt } = camera;
  const now = Date.now();
  const name = camera.name || words.cameras.nameless;
  const gone = !known.rights;
  const state = gone ? words.cameras.noAccess : words.presence(presence, now);
  return (
    <li class="card">
      <span class="card-picture">
        <Icon name="camera" />
      </span>
      <div class="card-text">
        <h2>
          <a href={`#${known.uid}`} aria-label={words.cameras.watch(name, state)}>
            {name}
          </a>
        </h2>
        <p class={`presence ${gone ? 'offline' : presence.state}`}>
          <span class="dot" />
          {state}
        </p>
        <p class="card-seen">
          {lastSeenAt > 0 ? words.cameras.seen(words.moment(lastSeenAt, now)) : words.cameras.never}
          <span class="uid">{formatUid(known.uid)}</span>
        </p>
      </div>
      <button
        type="button"
        class="round"
        aria-label={words.cameras.forget(name)}
        title={words.cameras.forget(name)}
        onClick={() => (asking.value = true)}
      >
        <Icon name="bin" />
      </button>
      {asking.value && (
        <Confirm
          heading={words.forget.heading(name)}
          text={words.forget.text}
          verb={words.forget.forget}
          run={forget}
          close={() => (asking.value = false)}
        />
      )}
    </li>
  );
}
