import type { RefusalMessage } from '#protocol/message.ts';
import type { Right } from '#protocol/rights.ts';

/** How this viewer stands with one camera. */
export type Admission =
  /** Nothing is known yet: the memory is being read, or the camera is being asked. */
  | { readonly state: 'asking' }
  /** It is not remembered, and no code is at hand. */
  | { readonly state: 'code-needed' }
  /** The code's proof is on its way. */
  | { readonly state: 'pairing' }
  /** Nothing came back: off, not connected, a wrong code, somebody else's. Nobody can tell which. */
  | { readonly state: 'silent' }
  | { readonly state: 'refused'; readonly refusal: RefusalMessage }
  /**
   * `newly`: since the page was opened, by a code. `code`: what became of a code that a viewer already let in has
   * brought along (it may be good for more rights); it is used only when the person says so.
   */
  | {
      readonly state: 'in';
      readonly rights: readonly Right[];
      readonly newly: boolean;
      readonly code?: 'unused' | 'trying' | 'silent' | RefusalMessage | undefined;
    }
  /** It was let in once, and is not any more. */
  | { readonly state: 'out' };
