/** How the picture travels: in the local network, straight across the Internet, or through a TURN server. */
export type Path = 'lan' | 'direct' | 'relay';

/** One end of the selected ICE candidate pair; browsers leave the address out where it would tell too much. */
export interface PathEnd {
  readonly type: 'host' | 'srflx' | 'prflx' | 'relay';
  readonly address: string | undefined;
}

/**
 * Names the path of a candidate pair. The camera's end decides where its address is known: one the viewer reaches at
 * a private address is in its own network (or a VPN that behaves like it).
 */
export function pathOf(local: PathEnd, remote: PathEnd): Path {
  if (local.type === 'relay' || remote.type === 'relay') return 'relay';
  if (remote.address) {
    if (isPrivateAddress(remote.address)) return 'lan';
    return local.address && sameIpv6Network(local.address, remote.address) ? 'lan' : 'direct';
  }
  if (local.address && !local.address.endsWith('.local')) return isPrivateAddress(local.address) ? 'lan' : 'direct';
  return remote.type === 'host' && local.type === 'host' ? 'lan' : 'direct';
}

/** Loopback, link-local and private addresses (RFC 1918, RFC 3927, RFC 4193, RFC 4291). */
export function isPrivateAddress(address: string): boolean {
  const text = address.toLowerCase();
  if (text.includes(':')) return text === '::1' || /^f[cd]/.test(text) || /^fe[89ab]/.test(text);
  return /^(127\.|10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.)/.test(text);
}

/** Whether two global IPv6 addresses share their /64: two hosts on one link. */
function sameIpv6Network(a: string, b: string): boolean {
  const [first, second] = [ipv6Prefix(a), ipv6Prefix(b)];
  return first !== undefined && first === second;
}

function ipv6Prefix(address: string): string | undefined {
  if (!address.includes(':')) return undefined;
  const [head = '', tail] = address.toLowerCase().split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? front : [...front, ...Array(8 - front.length - back.length).fill('0'), ...back];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16))
    .join(':');
}
