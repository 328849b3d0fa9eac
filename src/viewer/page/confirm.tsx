import { words } from '../words.ts';
import { Dialog } from './dialog.tsx';

interface ConfirmProps {
  readonly heading: string;
  readonly text: string;
  /** What the button that does it says. */
  readonly verb: string;
  readonly run: () => void;
  readonly close: () => void;
}

/** Asks before something that cannot be undone. */
export function Confirm({ heading, text, verb, run, close }: ConfirmProps) {
  return (
    <Dialog heading={heading} close={close}>
      <p>{text}</p>
      <p class="actions">
        <button
          type="button"
          class="button danger"
          onClick={() => {
            close();
            run();
          }}
        >
          {verb}
        </button>
        <button type="button" class="button" onClick={close}>
          {words.forget.cancel}
        </button>
      </p>
    </Dialog>
  );
}
