/** Where and how a peer takes viewers. */
export type Endpoint =
  | { kind: 'whep'; url: string; token?: string }
  | { kind: 'janus'; url: string; mountpoint: number };

/** What a viewer does with SDP. */
export interface SdpViewer {
  offer(): Promise<string>;
  accept(answer: string): Promise<void>;
  answer(offer: string): Promise<string>;
}

/** An open signalling connection: one session each. */
export interface Signalling {
  negotiate(viewer: SdpViewer): Promise<void>;
  close(): Promise<void>;
}

export function openSignalling(endpoint: Endpoint): Promise<Signalling>;
