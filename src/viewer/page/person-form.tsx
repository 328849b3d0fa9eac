import { useSignal } from '@preact/signals';
import type { AccessEntry } from '#protocol/access.ts';
import type { Right } from '#protocol/rights.ts';
import { words } from '../words.ts';
import { Confirm } from './confirm.tsx';
import { RightsField } from './rights-field.tsx';

interface PersonFormProps {
  readonly person: AccessEntry;
  readonly isSelf: boolean;
  /** Only what is to change is given. */
  readonly save: (changes: { readonly name?: string; readonly rights?: readonly Right[] }) => void;
  readonly remove: () => void;
}

/** One person on the camera's list: name, rights, removal. */
export function PersonForm({ person, isSelf, save, remove }: PersonFormProps) {
  const name = useSignal(person.name);
  const rights = useSignal<readonly Right[]>(person.rights);
  const removing = useSignal(false);
  const submit = (event: Event) => {
    event.preventDefault();
    const wanted = name.value.trim();
    const same =
      rights.value.length === person.rights.length && rights.value.every((one) => person.rights.includes(one));
    save({ ...(wanted && wanted !== person.name && { name: wanted }), ...(!same && { rights: rights.value }) });
  };
  const called = person.name || words.people.nameless;
  return (
    <form class="panel-form" onSubmit={submit}>
      <label>
        {words.person.name}
        <input
          class="text-field"
          value={name}
          maxLength={64}
          autocomplete="off"
          onInput={(event) => (name.value = event.currentTarget.value)}
        />
      </label>
      <RightsField legend={words.person.rights} rights={rights} />
      <button type="submit" class="button primary wide">
        {words.person.save}
      </button>
      <button type="button" class="button danger wide" onClick={() => (removing.value = true)}>
        {isSelf ? words.forget.leave : words.person.remove}
      </button>
      {removing.value && (
        <Confirm
          heading={words.person.removeHeading(isSelf ? words.people.thisDevice : called)}
          text={isSelf ? words.person.leaveText : words.person.removeText}
          verb={isSelf ? words.forget.leave : words.person.remove}
          run={remove}
          close={() => (removing.value = false)}
        />
      )}
    </form>
  );
}
