import { useSignal } from '@preact/signals';
import * as v from 'valibot';
import { mayDo, type Right } from '#protocol/rights.ts';
import type { Connection } from '../connection/connection.ts';
import { words } from '../words.ts';
import { Dialog } from './dialog.tsx';

interface WelcomeProps {
  readonly name: string;
  readonly rights: readonly Right[];
  readonly connection: Connection<MediaStream>;
  readonly renamed: (name: string) => void;
  readonly close: () => void;
}

/** After the first time: whose camera it is now, and its name. */
export function Welcome({ name, rights, connection, renamed, close }: WelcomeProps) {
  const typed = useSignal(name);
  const problem = useSignal<string | undefined>(undefined);
  const mayName = mayDo(rights, 'settings');
  const owner = mayDo(rights, 'owner');

  const done = async (event: Event) => {
    event.preventDefault();
    const wanted = typed.value.trim();
    if (!mayName || wanted === '' || wanted === name) return close();
    try {
      await connection.request('camera.rename', v.unknown(), { name: wanted });
      renamed(wanted);
      close();
    } catch (error) {
      problem.value = words.welcome.notSaved(error instanceof Error ? error.message : String(error));
    }
  };

  return (
    <Dialog kind="sheet" heading={owner ? words.welcome.yours : words.welcome.watch} close={close}>
      <form onSubmit={(event) => void done(event)}>
        <p>{owner ? words.welcome.yoursText : words.welcome.watchText}</p>
        {mayName && (
          <label>
            {words.welcome.name}
            <input
              class="text-field"
              value={typed}
              maxLength={64}
              autocomplete="off"
              enterkeyhint="done"
              onInput={(event) => (typed.value = event.currentTarget.value)}
            />
          </label>
        )}
        {problem.value && (
          <p class="wrong" role="alert">
            {problem.value}
          </p>
        )}
        <button type="submit" class="button primary wide">
          {words.welcome.done}
        </button>
      </form>
    </Dialog>
  );
}
