import { type Signal, useSignal } from '@preact/signals';
import type { Right } from '#protocol/rights.ts';
import { words } from '../words.ts';
import { RightsField } from './rights-field.tsx';

/** What an invitation is to be like: params of `access.invite`. */
export interface Wish {
  readonly rights: readonly Right[];
  readonly note: string;
  readonly expiresInHours: number;
  readonly accessHours?: number;
  readonly transfer: boolean;
}

/** Whom to invite, to what, for how long. */
export function InviteForm({ make }: { readonly make: (wish: Wish) => void }) {
  const note = useSignal('');
  const rights = useSignal<readonly Right[]>(['view']);
  const access = useSignal(0);
  const expiry = useSignal(1);
  const submit = (event: Event) => {
    event.preventDefault();
    const accessHours = rights.value.includes('owner') ? undefined : words.invite.accessFor[access.value]?.[1];
    make({
      rights: rights.value,
      note: note.value.trim(),
      expiresInHours: words.invite.expiresIn[expiry.value]![1],
      ...(accessHours !== undefined && { accessHours }),
      transfer: false,
    });
  };
  return (
    <form class="panel-form" onSubmit={submit}>
      <p class="lead">{words.invite.text}</p>
      <label>
        {words.invite.note}
        <input
          class="text-field"
          value={note}
          maxLength={64}
          autocomplete="off"
          aria-describedby="note-hint"
          onInput={(event) => (note.value = event.currentTarget.value)}
        />
        <small id="note-hint">{words.invite.noteHint}</small>
      </label>
      <RightsField legend={words.invite.rights} rights={rights} />
      {!rights.value.includes('owner') && (
        <Choice label={words.invite.access} choices={words.invite.accessFor} chosen={access} />
      )}
      <Choice label={words.invite.expires} choices={words.invite.expiresIn} chosen={expiry} />
      <button type="submit" class="button primary wide">
        {words.invite.make}
      </button>
    </form>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly choices: readonly (readonly [string, unknown])[];
  /** Index of one of them. */
  readonly chosen: Signal<number>;
}

function Choice({ label, choices, chosen }: ChoiceProps) {
  return (
    <label>
      {label}
      <select
        class="text-field"
        value={chosen.value}
        onChange={(event) => (chosen.value = Number(event.currentTarget.value))}
      >
        {choices.map(([text], index) => (
          <option key={text} value={index}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
