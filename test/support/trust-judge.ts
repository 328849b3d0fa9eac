/** What was really said, by whom, to whom: written down by the honest parties, out of the server's reach. */
export interface Said {
  readonly uid: string;
  /** Thumbprint. */
  readonly viewer: string;
  readonly call?: string;
  /** What it answers, where it is an answer. */
  readonly to?: string;
}

/**
 * Watches over all honest parties at once and knows what each of them really said. Every text is unique, so whoever
 * takes one that was not said to them, or takes it twice, is caught. Also holds the secrets that no payload may show.
 */
export class Judge {
  /** What was taken wrongly; empty is what all this is about. */
  readonly wrongs: string[] = [];
  taken = 0;
  payloadsSearched = 0;
  private readonly said = new Map<string, Said>();
  private readonly takenOnce = new Set<string>();
  private readonly secrets: string[] = [];
  private readonly knowers = new Set<string>();

  /** One party says `text`, which nobody has said before. */
  says(text: string, said: Said): void {
    this.said.set(text, said);
  }

  /** One party has taken `text` as said by the other one. */
  takes(who: string, text: string, as: Said): void {
    this.taken++;
    const said = this.said.get(text);
    if (!said) {
      this.wrong(`${who} took "${text}", which nobody has said`);
      return;
    }
    for (const key of ['uid', 'viewer', 'call', 'to'] as const) {
      if (said[key] !== as[key]) this.wrong(`${who} took "${text}": ${key} was ${said[key]}, taken as ${as[key]}`);
    }
    if (this.takenOnce.has(text)) this.wrong(`${who} took "${text}" twice`);
    this.takenOnce.add(text);
  }

  toldCode(viewer: string, code: string): void {
    this.knowers.add(`${viewer} ${code}`);
  }

  admitted(viewer: string, code: string): void {
    if (!this.knowers.has(`${viewer} ${code}`)) this.wrong(`${viewer} was let in with a code it was never told`);
  }

  wrong(what: string): void {
    this.wrongs.push(what);
  }

  /** A text that the server must never see. */
  keepSecret(text: string): string {
    this.secrets.push(text);
    return text;
  }

  /** Looks for every secret in what the server sees, as it is and in each of its base64url parts. */
  search(payload: Uint8Array): void {
    this.payloadsSearched++;
    for (const text of readings(payload)) {
      for (const secret of this.secrets) if (text.includes(secret)) this.wrong(`the server saw "${secret}"`);
    }
  }
}

function readings(payload: Uint8Array): string[] {
  const text = Buffer.from(payload).toString('latin1');
  return [text, ...text.split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'))];
}
