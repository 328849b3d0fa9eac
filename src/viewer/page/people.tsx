import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import * as v from 'valibot';
import {
  type AccessEntry,
  type AccessList,
  type Invited,
  invitedSchema,
  type OpenInvitation,
} from '#protocol/access.ts';
import type { Uid } from '#protocol/uid.ts';
import type { Connection } from '../connection/connection.ts';
import { words } from '../words.ts';
import { Activity } from './activity.tsx';
import { Confirm } from './confirm.tsx';
import { Icon } from './icon.tsx';
import { InvitationLink } from './invitation-link.tsx';
import { InviteForm, type Wish } from './invite-form.tsx';
import { PersonForm } from './person-form.tsx';

interface PeopleProps {
  readonly uid: Uid;
  readonly name: string;
  readonly connection: Connection<MediaStream>;
  /** As the camera told it last; undefined until it has. */
  readonly list: AccessList | undefined;
  readonly close: () => void;
}

type Shown =
  | { readonly view: 'list' | 'invite' | 'activity' }
  | { readonly view: 'person'; readonly person: AccessEntry }
  | { readonly view: 'link'; readonly invited: Invited; readonly transfer: boolean };

const LIST: Shown = { view: 'list' };

/** The owner's panel: who has access, with what rights, and how others get it. */
export function People({ uid, name, connection, list, close }: PeopleProps) {
  const shown = useSignal<Shown>(LIST);
  const problem = useSignal<string | undefined>(undefined);
  const heading = useRef<HTMLHeadingElement>(null);
  const now = shown.value;
  useEffect(() => heading.current?.focus(), [now.view]);

  const attempt = async (work: () => Promise<unknown>) => {
    problem.value = undefined;
    try {
      await work();
    } catch (error) {
      problem.value = words.people.failed(error instanceof Error ? error.message : String(error));
    }
  };
  const ask = (method: string, params: object) => connection.request(method, v.unknown(), params);
  /** Does it, and returns to the list, which the camera tells anew by itself. */
  const change = (method: string, params: object) =>
    attempt(async () => {
      await ask(method, params);
      shown.value = LIST;
    });
  const invite = ({ transfer, ...wish }: Wish) =>
    attempt(async () => {
      const invited = await connection.request('access.invite', invitedSchema, { ...wish, transfer });
      shown.value = { view: 'link', invited, transfer };
    });

  const goBack = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return;
    if (now.view === 'list') close();
    else shown.value = LIST;
  };
  return (
    <aside id="people" class="details people" aria-labelledby="people-heading" onKeyDown={goBack}>
      <header>
        {now.view !== 'list' && (
          <button type="button" class="round" aria-label={words.people.back} onClick={() => (shown.value = LIST)}>
            <Icon name="back" />
          </button>
        )}
        <h2 id="people-heading" ref={heading} tabIndex={-1}>
          {headingOf(now)}
        </h2>
        <button type="button" class="round" onClick={close} aria-label={words.people.close}>
          <Icon name="close" />
        </button>
      </header>
      {problem.value && (
        <p class="wrong" role="alert">
          {problem.value}
        </p>
      )}
      {now.view === 'list' && (
        <Everybody
          list={list}
          show={(next) => (shown.value = next)}
          cancelInvitation={(id) => void change('access.cancelInvitation', { id })}
          giveAway={() =>
            void invite({ rights: ['view'], note: words.people.giveAway, expiresInHours: 24, transfer: true })
          }
        />
      )}
      {now.view === 'person' && (
        <PersonForm
          person={now.person}
          isSelf={now.person.thumbprint === list?.me}
          save={(changes) =>
            void attempt(async () => {
              const { thumbprint } = now.person;
              if (changes.name) await ask('access.rename', { thumbprint, name: changes.name });
              if (changes.rights) await ask('access.setRights', { thumbprint, rights: changes.rights });
              shown.value = LIST;
            })
          }
          remove={() => void change('access.revoke', { thumbprint: now.person.thumbprint })}
        />
      )}
      {now.view === 'invite' && <InviteForm make={(wish) => void invite(wish)} />}
      {now.view === 'link' && (
        <InvitationLink
          uid={uid}
          camera={name}
          invited={now.invited}
          transfer={now.transfer}
          done={() => (shown.value = LIST)}
        />
      )}
      {now.view === 'activity' && <Activity connection={connection} people={list} />}
    </aside>
  );
}

function headingOf(shown: Shown): string {
  switch (shown.view) {
    case 'list':
      return words.people.heading;
    case 'person':
      return shown.person.name || words.people.nameless;
    case 'invite':
      return words.invite.heading;
    case 'link':
      return shown.transfer ? words.invite.transferReady : words.invite.ready;
    case 'activity':
      return words.activity.heading;
  }
}

interface EverybodyProps {
  readonly list: AccessList | undefined;
  readonly show: (next: Shown) => void;
  readonly cancelInvitation: (id: string) => void;
  readonly giveAway: () => void;
}

function Everybody({ list, show, cancelInvitation, giveAway }: EverybodyProps) {
  const givingAway = useSignal(false);
  if (!list) return <p class="lead">{words.people.loading}</p>;
  return (
    <>
      <p class="lead">{words.people.lead}</p>
      <ul class="rows">
        {list.entries.map((person) => (
          <Person
            key={person.thumbprint}
            person={person}
            isSelf={person.thumbprint === list.me}
            change={() => show({ view: 'person', person })}
          />
        ))}
      </ul>
      <button type="button" class="button primary wide" onClick={() => show({ view: 'invite' })}>
        <Icon name="plus" />
        {words.people.invite}
      </button>
      {list.invitations.length > 0 && (
        <>
          <h3>{words.people.invitations}</h3>
          <ul class="rows">
            {list.invitations.map((invitation) => (
              <OpenOne key={invitation.id} invitation={invitation} cancel={() => cancelInvitation(invitation.id)} />
            ))}
          </ul>
        </>
      )}
      <p class="panel-links">
        <button type="button" class="button wide" onClick={() => show({ view: 'activity' })}>
          <Icon name="clock" />
          {words.people.activity}
        </button>
        <button type="button" class="button wide" onClick={() => (givingAway.value = true)}>
          {words.people.giveAway}
        </button>
      </p>
      {givingAway.value && (
        <Confirm
          heading={words.transfer.heading}
          text={words.transfer.text}
          verb={words.transfer.make}
          run={giveAway}
          close={() => (givingAway.value = false)}
        />
      )}
    </>
  );
}

interface PersonProps {
  readonly person: AccessEntry;
  readonly isSelf: boolean;
  readonly change: () => void;
}

function Person({ person, isSelf, change }: PersonProps) {
  const { name, rights, addedAt, lastSeenAt, expiresAt } = person;
  const now = Date.now();
  const called = name || words.people.nameless;
  const times = [
    words.people.since(words.moment(addedAt, now)),
    lastSeenAt === undefined ? words.people.neverSeen : words.people.seen(words.moment(lastSeenAt, now)),
    ...(expiresAt === undefined ? [] : [words.people.until(words.moment(expiresAt, now))]),
  ];
  return (
    <li class="row">
      <span class="row-icon">
        <Icon name="person" />
      </span>
      <div>
        <p class="row-name">
          {called} {isSelf && <span class="tag">{words.people.thisDevice}</span>}
        </p>
        <p>{rights.includes('owner') ? words.right.owner : listOf(rights)}</p>
        <p class="row-times">{times.join(', ')}</p>
      </div>
      <button type="button" class="round" aria-label={words.people.change(called)} onClick={change}>
        <Icon name="edit" />
      </button>
    </li>
  );
}

function OpenOne({ invitation, cancel }: { readonly invitation: OpenInvitation; readonly cancel: () => void }) {
  const { note, transfer, rights, expiresAt } = invitation;
  return (
    <li class="row">
      <span class="row-icon">
        <Icon name="key" />
      </span>
      <div>
        <p class="row-name">{transfer ? words.people.giveAway : words.people.invitation(note)}</p>
        <p>{rights.includes('owner') ? words.right.owner : listOf(rights)}</p>
        <p class="row-times">{words.people.until(words.moment(expiresAt, Date.now()))}</p>
      </div>
      <button type="button" class="round" aria-label={words.people.cancelInvitation(note)} onClick={cancel}>
        <Icon name="close" />
      </button>
    </li>
  );
}

function listOf(rights: AccessEntry['rights']): string {
  return rights.map((right) => words.right[right]).join(', ');
}
