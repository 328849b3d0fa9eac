import { parseUid, type Uid } from '#protocol/uid.ts';

/** What a label's QR code, a link or a person's typing says. */
export interface Label {
  /** Undefined when the text holds no UID that can be. */
  readonly uid: Uid | undefined;
  /** The text without address and setup code, as typed. */
  readonly typed: string;
  /** `<UID>.<setup code>`, as it stands behind the `#`; it never leaves this browser. */
  readonly fragment: string;
}

/** The address that opens no camera but the page to choose one. */
export const START = '#start';

/** Reads `https://host/#<UID>.<setup code>`, `#<UID>`, or a UID as typed. */
export function readLabel(text: string): Label {
  const fragment = decode(text.slice(text.indexOf('#') + 1)).trim();
  const typed = fragment.split('.', 1)[0] ?? '';
  return { uid: parseUid(typed), typed, fragment };
}

/** While typing: upper case, in groups of five joined by hyphens, as on the label. */
export function groupTyped(text: string): string {
  const symbols = text.toUpperCase().replaceAll(/[^0-9A-Z]/g, '');
  return symbols.slice(0, 20).replaceAll(/(.{5})(?=.)/g, '$1-');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
