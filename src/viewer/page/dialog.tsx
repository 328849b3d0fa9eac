import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';

interface DialogProps {
  readonly heading: string;
  readonly close: () => void;
  readonly children: ComponentChildren;
  /** `sheet`: at the lower edge, so that the picture stays to be seen. */
  readonly kind?: 'box' | 'sheet';
}

/** A question or a message over the page; Escape closes it, and the focus returns to where it was. */
export function Dialog({ heading, close, children, kind = 'box' }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class={`dialog ${kind}`} aria-labelledby={id} onClose={close}>
      <h2 id={id}>{heading}</h2>
      {children}
    </dialog>
  );
}
