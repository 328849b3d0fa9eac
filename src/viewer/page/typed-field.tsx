import type { Signal } from '@preact/signals';
import type { RefObject } from 'preact';

export interface TypedFieldProps {
  readonly id: string;
  readonly label: string;
  readonly hint: string;
  readonly placeholder: string;
  readonly text: Signal<string>;
  readonly problem: Signal<string | undefined>;
  readonly field: RefObject<HTMLInputElement | null>;
  readonly autoFocus?: boolean;
  /** Puts hyphens where the label has them. */
  readonly group: (text: string) => string;
  /** What is wrong with the text so far, while it is being typed. */
  readonly judge: (text: string) => string | undefined;
  /** Looks at the raw text first; true where it has taken it. */
  readonly take?: (text: string) => boolean;
}

/** A field for what is printed on a label: upper case, grouped as there while one types. */
export function TypedField(props: TypedFieldProps) {
  const { id, label, hint, placeholder, text, problem, field, autoFocus = false } = props;
  const type = (event: Event & { readonly currentTarget: HTMLInputElement }) => {
    const input = event.currentTarget;
    if (props.take?.(input.value)) return;
    const atEnd = input.selectionStart === input.value.length;
    const removing = (event as unknown as InputEvent).inputType?.startsWith('delete');
    // Regrouping moves the cursor to the end: only where it already is, and not against the backspace key.
    text.value = atEnd && !removing ? props.group(input.value) : input.value;
    input.value = text.value;
    problem.value = props.judge(text.value);
  };
  return (
    <>
      <label for={id}>{label}</label>
      <input
        id={id}
        ref={field}
        class="uid-field"
        value={text}
        onInput={type}
        placeholder={placeholder}
        autocomplete="off"
        autocapitalize="characters"
        spellcheck={false}
        enterkeyhint="go"
        aria-describedby={`${id}-hint`}
        aria-invalid={problem.value !== undefined}
        // biome-ignore lint/a11y/noAutofocus: the one thing this page is for, but on a phone its keyboard hides the rest
        autoFocus={autoFocus && matchMedia('(hover: hover)').matches}
      />
      <p id={`${id}-hint`} class={problem.value ? 'hint wrong' : 'hint'} role="status">
        {problem.value ?? hint}
      </p>
    </>
  );
}
