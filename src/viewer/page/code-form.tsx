import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { groupTypedCode, symbolsIn } from '../label.ts';
import { words } from '../words.ts';
import { TypedField, type TypedFieldProps } from './typed-field.tsx';

const CODE_SYMBOLS = 16;

/** Where a person types the code of a camera whose UID is known already. */
export function CodeForm({ submit }: { readonly submit: (code: SetupCode) => void }) {
  const text = useSignal('');
  const problem = useSignal<string | undefined>(undefined);
  const field = useRef<HTMLInputElement>(null);
  const send = (event: Event) => {
    event.preventDefault();
    problem.value = problemOfCode(text.value);
    const code = parseSetupCode(text.value);
    if (code) submit(code);
    else field.current?.focus();
  };
  return (
    <form class="code-form" onSubmit={send} noValidate>
      <CodeField text={text} problem={problem} field={field} autoFocus />
      <button type="submit" class="button primary wide">
        {words.code.submit}
      </button>
    </form>
  );
}

/** The field for the code of a label or an invitation. */
export function CodeField(props: Pick<TypedFieldProps, 'text' | 'problem' | 'field' | 'autoFocus'>) {
  return (
    <TypedField
      id="code"
      label={words.code.label}
      hint={words.code.hint}
      placeholder="XXXX-XXXX-XXXX-XXXX"
      group={groupTypedCode}
      judge={(typed) => (symbolsIn(typed) >= CODE_SYMBOLS ? problemOfCode(typed) : undefined)}
      {...props}
    />
  );
}

/** What is wrong with a code as typed, in words. */
export function problemOfCode(text: string): string | undefined {
  if (parseSetupCode(text)) return undefined;
  const missing = CODE_SYMBOLS - symbolsIn(text);
  return missing > 0 ? words.code.tooShort(missing) : words.code.mistyped;
}
