import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { groupTyped, readLabel } from '../label.ts';
import { words } from '../words.ts';
import { Brand } from './brand.tsx';
import { Icon } from './icon.tsx';
import { Scanner } from './scanner.tsx';

const UID_SYMBOLS = 20;

/** Where a person says which camera: by typing its UID or by scanning its label. */
export function StartPage({ typed, open }: { readonly typed: string; readonly open: (fragment: string) => void }) {
  const uid = useSignal(groupTyped(typed));
  const problem = useSignal(typed === '' ? undefined : problemOf(typed));
  const scanning = useSignal(false);
  const field = useRef<HTMLInputElement>(null);

  const submit = (event: Event) => {
    event.preventDefault();
    problem.value = problemOf(uid.value);
    if (problem.value === undefined) open(readLabel(uid.value).uid!);
    else field.current?.focus();
  };

  const type = (event: Event & { readonly currentTarget: HTMLInputElement }) => {
    const input = event.currentTarget;
    // Pasted from a label or a link: the whole of it is taken.
    const pasted = readLabel(input.value);
    if (input.value.includes('#') && pasted.uid) return open(pasted.fragment);
    const atEnd = input.selectionStart === input.value.length;
    const removing = (event as unknown as InputEvent).inputType?.startsWith('delete');
    // Regrouping moves the cursor to the end: only where it already is, and not against the backspace key.
    uid.value = atEnd && !removing ? groupTyped(input.value) : input.value;
    input.value = uid.value;
    const complete = symbolsIn(uid.value) >= UID_SYMBOLS;
    problem.value = complete ? problemOf(uid.value) : undefined;
  };

  return (
    <main class="start">
      <div class="start-card">
        <Brand />
        <h1>{words.start.heading}</h1>
        <p class="lead">{words.start.lead}</p>
        <button type="button" class="button wide scan" onClick={() => (scanning.value = true)}>
          <Icon name="scan" />
          {words.start.scan}
        </button>
        <form onSubmit={submit} noValidate>
          <label for="uid">{words.start.uid}</label>
          <input
            id="uid"
            ref={field}
            class="uid-field"
            value={uid}
            onInput={type}
            placeholder="XXXXX-XXXXX-XXXXX-XXXXX"
            autocomplete="off"
            autocapitalize="characters"
            spellcheck={false}
            enterkeyhint="go"
            aria-describedby="uid-hint"
            aria-invalid={problem.value !== undefined}
            // biome-ignore lint/a11y/noAutofocus: the one thing this page is for, but on a phone its keyboard hides the rest
            autoFocus={matchMedia('(hover: hover)').matches}
          />
          <p id="uid-hint" class={problem.value ? 'hint wrong' : 'hint'} role="status">
            {problem.value ?? words.start.uidHint}
          </p>
          <button type="submit" class="button primary wide watch">
            {words.start.watch}
            <Icon name="arrow" />
          </button>
        </form>
        <p class="promise">{words.start.promise}</p>
      </div>
      {scanning.value && <Scanner found={open} close={() => (scanning.value = false)} />}
    </main>
  );
}

function symbolsIn(text: string): number {
  return text.replaceAll(/[\s-]/g, '').length;
}

function problemOf(text: string): string | undefined {
  if (readLabel(text).uid) return undefined;
  const missing = UID_SYMBOLS - symbolsIn(text);
  return missing > 0 ? words.start.tooShort(missing) : words.start.mistyped;
}
