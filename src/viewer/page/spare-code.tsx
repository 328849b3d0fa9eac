import type { Admission } from '../connection/admission.ts';
import type { Connection } from '../connection/connection.ts';
import { words } from '../words.ts';

interface SpareCodeProps {
  readonly admission: Admission;
  readonly connection: Connection<MediaStream>;
}

/** Who is let in already and opens a link with a code decides whether it is used: wrong ones are counted. */
export function SpareCode({ admission, connection }: SpareCodeProps) {
  const code = admission.state === 'in' ? admission.code : undefined;
  if (!code) return null;
  const text = typeof code === 'object' ? refusalText(code) : words.spareCode[code];
  return (
    <aside class="notice">
      <p role="status">{text}</p>
      {code === 'unused' && (
        <button type="button" class="button primary" onClick={() => connection.pair()}>
          {words.spareCode.use}
        </button>
      )}
      {code !== 'trying' && (
        <button type="button" class="button" onClick={() => connection.dropCode()}>
          {code === 'unused' ? words.spareCode.dismiss : words.spareCode.close}
        </button>
      )}
    </aside>
  );
}

/** Why a camera did not let somebody in: in our words, or its own where we have none. */
export function refusalText({ code, message }: { readonly code: string; readonly message: string }): string {
  return words.problem['pairing-refused'].text[code] ?? message;
}
