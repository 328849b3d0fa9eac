import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type AccessList, type AuditPage, auditPageSchema } from '#protocol/access.ts';
import type { Connection } from '../connection/connection.ts';
import { words } from '../words.ts';

/** As many lines as one answer of the camera surely holds. */
const PAGE = 25;

type Entry = AuditPage['entries'][number];

interface ActivityProps {
  readonly connection: Connection<MediaStream>;
  /** To call people by their names. */
  readonly people: AccessList | undefined;
}

/** What the camera has taken down, newest first. */
export function Activity({ connection, people }: ActivityProps) {
  const entries = useSignal<readonly Entry[]>([]);
  const state = useSignal<{ more: boolean; intact: boolean } | undefined>(undefined);
  const problem = useSignal<string | undefined>(undefined);
  const read = async (before: number | undefined) => {
    try {
      const params = { limit: PAGE, ...(before !== undefined && { before }) };
      const page = await connection.request('audit.read', auditPageSchema, params);
      const known = new Map([...entries.value, ...page.entries].map((entry) => [entry.n, entry]));
      entries.value = [...known.values()].sort((a, b) => b.n - a.n);
      // What comes on top says nothing about what lies below.
      const more = before === undefined && state.value ? state.value.more : page.more;
      state.value = { more, intact: page.intact };
    } catch (error) {
      problem.value = words.people.failed(error instanceof Error ? error.message : String(error));
    }
  };
  // Whatever changes who has access is taken down too.
  useEffect(() => void read(undefined), [people]);

  const now = Date.now();
  return (
    <>
      {problem.value && (
        <p class="wrong" role="alert">
          {problem.value}
        </p>
      )}
      {state.value?.intact === false && (
        <p class="wrong" role="alert">
          {words.activity.broken}
        </p>
      )}
      {!state.value && !problem.value && <p class="lead">{words.people.loading}</p>}
      {state.value && entries.value.length === 0 && <p class="lead">{words.activity.empty}</p>}
      <ol class="activity">
        {entries.value.map((entry) => (
          <li key={entry.n}>
            <p>
              {sentenceOf(entry, people)}
              {entry.repeated ? <small> ({words.activity.repeated(entry.repeated)})</small> : null}
            </p>
            <time dateTime={new Date(entry.at).toISOString()}>{words.moment(entry.at, now)}</time>
          </li>
        ))}
      </ol>
      {state.value?.more && (
        <button type="button" class="button wide" onClick={() => void read(entries.value.at(-1)?.n)}>
          {words.activity.older}
        </button>
      )}
    </>
  );
}

/** One line of the record as a sentence. Its fields come from the camera and are taken for text alone. */
export function sentenceOf(entry: Entry, people: AccessList | undefined): string {
  const called = (thumbprint: unknown) => {
    if (thumbprint === people?.me) return words.activity.you;
    return people?.entries.find((person) => person.thumbprint === thumbprint)?.name || words.activity.somebody;
  };
  const { event, viewer, name, by, reason, seconds } = entry;
  const sentence = words.activity.event[event]?.({
    by: called(by),
    viewer: (viewer === people?.me ? undefined : name) || called(viewer),
    named: viewer === undefined ? undefined : called(viewer),
    name: name || called(viewer),
    reason: reason ?? '',
    cause: by ?? '',
    duration: typeof seconds === 'number' ? words.unit.duration(seconds) : undefined,
  });
  const text = sentence ?? words.activity.unknown(event);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
