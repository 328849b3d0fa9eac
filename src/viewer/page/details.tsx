import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { formatUid, type Uid } from '#protocol/uid.ts';
import type { Connection, ConnectionView } from '../connection/connection.ts';
import type { Self } from '../memory/self.ts';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';
import { LeaveCamera } from './leave-camera.tsx';
import { Steps } from './steps.tsx';

interface DetailsProps {
  readonly uid: Uid;
  readonly name: string | undefined;
  readonly view: ConnectionView<MediaStream>;
  readonly self: Self | undefined;
  readonly connection: Connection<MediaStream>;
  readonly close: () => void;
}

/** Everything that is known about camera, connection and picture, for whoever wants to know. */
export function Details({ uid, name, view, self, connection, close }: DetailsProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const now = connection.statistics.value;
  const { info, source, viewers, verified, warnings } = view;
  const text = words.details;
  return (
    <aside
      id="details"
      class="details"
      aria-labelledby="details-heading"
      onKeyDown={(event: KeyboardEvent) => event.key === 'Escape' && close()}
    >
      <header>
        <h2 id="details-heading" ref={heading} tabIndex={-1}>
          {text.heading}
        </h2>
        <button type="button" class="round" onClick={close} aria-label={words.controls.closeDetails}>
          <Icon name="close" />
        </button>
      </header>
      <h3>{text.camera}</h3>
      <dl>
        <Fact name={text.name}>{name}</Fact>
        <Fact name={text.uid}>
          <span class="uid">{formatUid(uid)}</span>
        </Fact>
        <Fact name={text.firmware}>{info?.firmware ?? view.status?.firmware}</Fact>
        <Fact name={text.source}>{source?.description}</Fact>
        <Fact name={text.viewers}>{viewers === undefined ? undefined : text.viewerCount(viewers)}</Fact>
      </dl>
      {(verified || warnings.count > 0) && (
        <>
          <h3>{words.verified.heading}</h3>
          <dl>
            <Fact name={words.verified.name}>
              {verified && (
                <>
                  {words.verified.badge}
                  <small>{words.verified.meaning}</small>
                  <small>{words.verified.how[verified]}</small>
                </>
              )}
            </Fact>
            <Fact name={words.verified.warnings}>
              {warnings.count > 0 && (
                <>
                  {words.verified.refused(warnings.count, warnings.last)}
                  <small>{words.verified.refusedMeaning}</small>
                </>
              )}
            </Fact>
          </dl>
        </>
      )}
      <h3>{text.connection}</h3>
      <dl>
        <Fact name={words.figure.path}>
          {now?.path && (
            <>
              {words.path[now.path]}
              <small>{words.pathMeaning[now.path]}</small>
            </>
          )}
        </Fact>
        <Fact name={text.route}>{now?.route}</Fact>
        <Fact name={text.roundTrip}>{now && words.unit.ms(now.roundTripMs)}</Fact>
        <Fact name={text.lost}>{now?.packetsLost}</Fact>
        <Fact name={text.server}>{view.serverOnline ? text.serverOnline : text.serverLost}</Fact>
      </dl>
      <h3>{text.picture}</h3>
      <dl>
        <Fact name={words.figure.size}>{now && words.unit.size(now.width, now.height)}</Fact>
        <Fact name={words.figure.latency}>{now && words.unit.wholeMs(now.latencyMs)}</Fact>
        <Fact name={text.buffer}>{now && words.unit.ms(now.bufferMs)}</Fact>
        <Fact name={text.decode}>{now && words.unit.ms(now.decodeMs)}</Fact>
        <Fact name={text.codec}>{now?.codec}</Fact>
        <Fact name={text.decoder}>{now?.decoder}</Fact>
        <Fact name={text.dropped}>{now?.framesDropped}</Fact>
      </dl>
      <h3>{text.steps}</h3>
      <Steps steps={view.steps} />
      {view.firstPictureMs !== undefined && (
        <p class="first-picture">
          {text.firstPicture} <strong>{words.unit.wholeMs(view.firstPictureMs)}</strong>
        </p>
      )}
      {self && view.admission.state === 'in' && (
        <LeaveCamera uid={uid} name={name ?? words.thisCamera} self={self} connection={connection} />
      )}
    </aside>
  );
}

/** One fact; one that is not known is left out. */
function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  if (children === undefined || children === false || children === '') return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
