import type { Topic } from '#protocol/topics.ts';

/** Who is at the other end of one connection. */
export interface Peer {
  /** MQTT client id, as the peer chose it. */
  readonly clientId: string;
  readonly username?: string;
  /** IP address. */
  readonly address?: string;
}

/**
 * Who may do what at the broker. Only topics of peercam get here, each already checked for its form: a rule
 * decides about the peer. Each method returns why not, for the log, or undefined for yes.
 */
export interface AccessRules {
  connect(peer: Peer, password: Uint8Array | undefined): Promise<string | undefined>;
  publish(peer: Peer, topic: Topic): string | undefined;
  subscribe(peer: Peer, topic: Topic): string | undefined;
}

/** Everybody may use every topic of peercam: for a network whose users trust each other. */
export const openAccess: AccessRules = {
  connect: async () => undefined,
  publish: () => undefined,
  subscribe: () => undefined,
};
