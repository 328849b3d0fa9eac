import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { parseUid, type Uid } from '#protocol/uid.ts';
import { groupTyped, readLabel, symbolsIn } from '../label.ts';
import { words } from '../words.ts';
import { CodeField, problemOfCode } from './code-form.tsx';
import { Icon } from './icon.tsx';
import { Scanner } from './scanner.tsx';
import { TypedField } from './typed-field.tsx';

const UID_SYMBOLS = 20;

export interface AddCameraProps {
  /** From an address that named no camera. */
  readonly typed: string;
  readonly isRemembered: (uid: Uid) => boolean;
  readonly open: (uid: Uid, code: SetupCode | undefined) => void;
  readonly autoFocus?: boolean;
}

/** Where a person says which camera: by scanning its label, or by typing what is on it. */
export function AddCamera({ typed, isRemembered, open, autoFocus = true }: AddCameraProps) {
  const uid = useSignal(groupTyped(typed));
  const uidProblem = useSignal(typed === '' ? undefined : problemOfUid(typed));
  const code = useSignal('');
  const codeProblem = useSignal<string | undefined>(undefined);
  const scanning = useSignal(false);
  const uidField = useRef<HTMLInputElement>(null);
  const codeField = useRef<HTMLInputElement>(null);
  const complete = parseUid(uid.value);
  const codeWanted = complete !== undefined && !isRemembered(complete);

  const submit = (event: Event) => {
    event.preventDefault();
    uidProblem.value = problemOfUid(uid.value);
    const target = parseUid(uid.value);
    if (!target) return uidField.current?.focus();
    // Left empty, the camera itself is asked first: it may know this browser.
    codeProblem.value = codeWanted && code.value !== '' ? problemOfCode(code.value) : undefined;
    if (codeProblem.value !== undefined) return codeField.current?.focus();
    open(target, codeWanted ? parseSetupCode(code.value) : undefined);
  };
  // Pasted from a label or a link: the whole of it is taken.
  const takeLink = (text: string) => {
    const pasted = /[#.]/.test(text) ? readLabel(text) : undefined;
    if (!pasted?.uid) return false;
    open(pasted.uid, pasted.code);
    return true;
  };

  return (
    <>
      <button type="button" class="button wide scan" onClick={() => (scanning.value = true)}>
        <Icon name="scan" />
        {words.start.scan}
      </button>
      <form onSubmit={submit} noValidate>
        <TypedField
          id="uid"
          label={words.start.uid}
          hint={complete && !codeWanted ? words.code.known : words.start.uidHint}
          placeholder="XXXXX-XXXXX-XXXXX-XXXXX"
          group={groupTyped}
          text={uid}
          problem={uidProblem}
          judge={(text) => (symbolsIn(text) >= UID_SYMBOLS ? problemOfUid(text) : undefined)}
          take={takeLink}
          field={uidField}
          autoFocus={autoFocus}
        />
        {codeWanted && <CodeField text={code} problem={codeProblem} field={codeField} />}
        <button type="submit" class="button primary wide watch">
          {words.start.watch}
          <Icon name="arrow" />
        </button>
      </form>
      {scanning.value && <Scanner found={open} close={() => (scanning.value = false)} />}
    </>
  );
}

function problemOfUid(text: string): string | undefined {
  if (parseUid(text)) return undefined;
  const missing = UID_SYMBOLS - symbolsIn(text);
  return missing > 0 ? words.start.tooShort(missing) : words.start.mistyped;
}
