import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type Path, type PathEnd, pathOf } from '#viewer/connection/path.ts';

const test = suite('path');

const end = (type: PathEnd['type'], address?: string): PathEnd => ({ type, address });

const cases: readonly (readonly [string, PathEnd, PathEnd, Path])[] = [
  ['two private addresses', end('host', '192.168.1.4'), end('host', '192.168.1.9'), 'lan'],
  ['a hidden local address, the camera at a private one', end('prflx'), end('host', '10.0.0.7'), 'lan'],
  ['an mDNS name here, a peer-reflexive camera', end('host', 'a1b2.local'), end('prflx'), 'direct'],
  ['the camera behind its router', end('host', '192.168.1.4'), end('srflx', '203.0.113.9'), 'direct'],
  ['a public camera found on the way', end('srflx', '198.51.100.2'), end('prflx', '203.0.113.9'), 'direct'],
  ['a relay here', end('relay', '198.51.100.3'), end('host', '192.168.1.9'), 'relay'],
  ['a relay there', end('host', '192.168.1.4'), end('relay', '198.51.100.3'), 'relay'],
  ['unique local IPv6', end('host', 'fd00::1'), end('host', 'fd00::2'), 'lan'],
  ['global IPv6 on one link', end('host', '2001:db8:1:2::5'), end('host', '2001:db8:1:2:3:4:5:6'), 'lan'],
  ['global IPv6 on two links', end('host', '2001:db8:1:2::5'), end('host', '2001:db8:1:3::5'), 'direct'],
  ['172.32 is not private', end('host', '192.168.1.4'), end('host', '172.32.0.1'), 'direct'],
];

for (const [name, local, remote, expected] of cases) {
  test(name, () => assert.equal(pathOf(local, remote), expected));
}

test.run();
