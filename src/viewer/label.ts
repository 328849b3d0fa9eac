import { parseSetupCode, type SetupCode } from '#protocol/setup-code.ts';
import { parseUid, type Uid } from '#protocol/uid.ts';

/** What a label's QR code, an invitation, a link or a person's typing says. */
export interface Label {
  /** Undefined when the text holds no UID that can be. */
  readonly uid: Uid | undefined;
  /** The text without address and code, as typed. */
  readonly typed: string;
  /** Undefined where there is none, or none that can be. It is used once and shown nowhere. */
  readonly code: SetupCode | undefined;
}

/** The address that opens no camera but the page to choose one. */
export const START = '#start';

/** Reads `https://host/#<UID>.<code>`, `#<UID>`, or a UID as typed. */
export function readLabel(text: string): Label {
  const fragment = decode(text.slice(text.indexOf('#') + 1)).trim();
  const dot = fragment.indexOf('.');
  const typed = dot < 0 ? fragment : fragment.slice(0, dot);
  return { uid: parseUid(typed), typed, code: dot < 0 ? undefined : parseSetupCode(fragment.slice(dot + 1)) };
}

/** A UID while it is being typed: upper case, in groups of five joined by hyphens, as on the label. */
export function groupTyped(text: string): string {
  return grouped(text, 20, /(.{5})(?=.)/g);
}

/** A code while it is being typed: in groups of four. */
export function groupTypedCode(text: string): string {
  return grouped(text, 16, /(.{4})(?=.)/g);
}

/** How many letters and digits a text has. */
export function symbolsIn(text: string): number {
  return text.replaceAll(/[\s-]/g, '').length;
}

function grouped(text: string, symbols: number, group: RegExp): string {
  const plain = text.toUpperCase().replaceAll(/[^0-9A-Z]/g, '');
  return plain.slice(0, symbols).replaceAll(group, '$1-');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
