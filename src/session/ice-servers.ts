import type { IceServerEntry } from '#protocol/viewer-config.ts';
import type { IceServer } from './rtc-peer.ts';

/** `host:port` of the configuration. */
export function stunServerFrom(hostPort: string): IceServer {
  const colon = hostPort.lastIndexOf(':');
  return { hostname: hostPort.slice(0, colon), port: Number(hostPort.slice(colon + 1)) };
}

/** The servers among a server's notes that this side can use: STUN, and TURN over UDP (RFC 7064, RFC 7065). */
export function usableServers(entries: readonly IceServerEntry[]): IceServer[] {
  return entries.flatMap(({ urls, username, credential }) =>
    [urls].flat().flatMap((url) => {
      const found = /^(stun|turn):(\[[0-9A-Fa-f:]{2,45}\]|[\w.-]{1,253})(?::(\d{1,5}))?(\?transport=udp)?$/.exec(url);
      if (!found) return [];
      const [, scheme, host, port = '3478'] = found;
      const server = { hostname: host!.replace(/^\[|\]$/g, ''), port: Number(port) };
      if (scheme === 'stun') return [server];
      return username === undefined || credential === undefined ? [] : [{ ...server, username, password: credential }];
    }),
  );
}
