import type { Admission } from './admission.ts';

/** Where a connection stands, for people and machines (`data-state` on the root element). */
export type Phase =
  | 'loading-config'
  | 'reaching-server'
  | 'asking'
  | 'answered'
  | 'finding-path'
  | 'securing'
  | 'waiting-for-picture'
  | 'live'
  | 'reconnecting'
  | 'source-down'
  | 'offline'
  | 'leaving'
  | 'code-needed'
  | 'pairing'
  | 'silent'
  | 'pairing-refused'
  | 'no-access'
  | 'forged'
  | 'refused'
  | 'server-unreachable'
  | 'unsupported';

/** How far one call has come; each step includes those before it. */
export type CallStep = 'preparing' | 'asked' | 'answered' | 'checking' | 'path' | 'secured' | 'picture';

/** What a connection knows; `phaseOf` makes one word of it. */
export interface Facts {
  readonly supported: boolean;
  readonly config: 'loading' | 'ready' | 'failed';
  /** `lost`: an attempt has failed since it was last reached. */
  readonly server: 'connecting' | 'online' | 'lost';
  /** How this viewer stands with the camera. */
  readonly admission: Admission['state'];
  /** `missing`: nothing is retained for this UID; `unreadable`: it is none of this viewer's business. */
  readonly presence: 'unheard' | 'missing' | 'unreadable' | 'online' | 'leaving' | 'offline';
  /** Calls stay unanswered, and no presence says why. */
  readonly silent: boolean;
  /** The picture came from somebody else, again and again. */
  readonly forged: boolean;
  /** The call whose picture is shown, while it is healthy. */
  readonly playing: CallStep | undefined;
  /** The call being set up. */
  readonly calling: CallStep | undefined;
  readonly sourceDown: boolean;
  readonly refused: boolean;
  /** A picture has been shown since the page was opened. */
  readonly seen: boolean;
}

/** The one word for a set of facts. A picture that plays outranks whatever goes on around it. */
export function phaseOf(facts: Facts): Phase {
  if (!facts.supported) return 'unsupported';
  if (facts.playing !== undefined) {
    if (facts.sourceDown) return 'source-down';
    return facts.playing === 'picture' ? 'live' : facts.seen ? 'reconnecting' : 'waiting-for-picture';
  }
  if (facts.forged) return 'forged';
  if (facts.admission === 'out') return 'no-access';
  if (facts.refused) return 'refused';
  const step = facts.calling;
  if (step !== undefined && step !== 'preparing' && step !== 'asked') {
    return facts.seen ? 'reconnecting' : PHASE_OF_STEP[step];
  }
  if (facts.config !== 'ready') return facts.config === 'failed' ? 'server-unreachable' : 'loading-config';
  if (facts.server === 'lost') return 'server-unreachable';
  // To be typed while the server is being reached.
  if (facts.admission === 'code-needed') return 'code-needed';
  if (facts.server === 'connecting') return facts.seen ? 'reconnecting' : 'reaching-server';
  if (facts.admission !== 'in') return PHASE_OF_ADMISSION[facts.admission];
  if (facts.presence === 'offline' || facts.presence === 'leaving') return facts.presence;
  if (facts.presence === 'missing' || facts.silent) return 'silent';
  return facts.seen ? 'reconnecting' : 'asking';
}

const PHASE_OF_ADMISSION = {
  asking: 'asking',
  'code-needed': 'code-needed',
  pairing: 'pairing',
  silent: 'silent',
  refused: 'pairing-refused',
} as const;

const PHASE_OF_STEP = {
  answered: 'answered',
  checking: 'finding-path',
  path: 'securing',
  secured: 'waiting-for-picture',
  picture: 'waiting-for-picture',
} as const;
