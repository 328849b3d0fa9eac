import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { isUsableCandidate, parseOffer } from '#session/offer.ts';
import { chromiumOffer } from '../support/offers.ts';

const test = suite('offer');

const V4 =
  'candidate:842163049 1 udp 2113937151 5a6c6f7e-95a4-4bde-a9b0-bbcdff1f0f22.local 45594 typ host generation 0';
const V6 =
  'candidate:173829011 1 udp 2113942271 0b0b3e0c-7a5f-4f3a-9b62-2d1e55d1ab11.local 50162 typ host generation 0';
const PUBLIC = 'candidate:1510613869 1 udp 1685921535 203.0.113.9 40000 typ srflx raddr 0.0.0.0 rport 0';
const candidatesOf = (sdp: string) => sdp.split('\r\n').filter((line) => line.startsWith('a=candidate:'));

test("Chromium's offer: Constrained Baseline in packetization mode 1, and the extensions' ids", () => {
  const { mid, payloadType, formatParameters, transportCcId, playoutDelayId } = parseOffer(chromiumOffer());
  assert.deepEqual(
    { mid, payloadType, transportCcId, playoutDelayId },
    {
      mid: '0',
      payloadType: 108,
      transportCcId: 4,
      playoutDelayId: 5,
    },
  );
  assert.match(formatParameters, /profile-level-id=42e01f/);
});

test('a viewer without the extensions, or with long ids, is served without them', () => {
  const offer = chromiumOffer()
    .replace('a=extmap:4 ', 'a=extmap:40 ')
    .replace(/a=extmap:5 .*\r\n/, '');
  const { transportCcId, playoutDelayId } = parseOffer(offer);
  assert.deepEqual([transportCcId, playoutDelayId], [0, 0]);
});

test('line ends of any kind are understood', () => {
  assert.equal(parseOffer(chromiumOffer().replaceAll('\r\n', '\n')).payloadType, 108);
});

test('candidates with an address pass, names do not', () => {
  const { sdp } = parseOffer(chromiumOffer({ candidates: [V6, PUBLIC, V4] }));
  assert.deepEqual(candidatesOf(sdp), [`a=${PUBLIC}`]);
});

test('names become the address the offer came from, the family that fits first', () => {
  const over4 = candidatesOf(parseOffer(chromiumOffer({ candidates: [V6, V4, PUBLIC] }), '192.0.2.2').sdp);
  assert.deepEqual(over4, [
    'a=candidate:842163049 1 udp 2113937151 192.0.2.2 45594 typ host',
    'a=candidate:173829011 1 udp 2113942271 192.0.2.2 50162 typ host',
    `a=${PUBLIC}`,
  ]);
  const over6 = candidatesOf(parseOffer(chromiumOffer({ candidates: [V4, V6] }), 'fd00::2').sdp);
  assert.match(over6[0]!, /fd00::2 50162/);
});

test('candidates: RFC 8839 with an address', () => {
  assert.ok(isUsableCandidate(PUBLIC));
  assert.ok(isUsableCandidate('candidate:1 1 UDP 2116026111 fd00::2 50162 typ host'));
  for (const bad of [
    '',
    'candidate:',
    V4,
    PUBLIC.replace('203.0.113.9', 'example.org'),
    PUBLIC.replace('srflx', 'host2'),
  ]) {
    assert.ok(!isUsableCandidate(bad), bad);
  }
});

test('what cannot be used is refused with the field named', () => {
  const offer = chromiumOffer();
  const cases: [string, RegExp][] = [
    ['', /v=/],
    ['hello', /v=/],
    [`${offer}\0\r\n`, /not an SDP line/],
    ['v=0\r\ns=-\r\n', /m=.*no media section/],
    [offer.replace('m=video', 'm=audio'), /m=video.*no video section/],
    [offer.replace('a=recvonly', 'a=sendonly'), /m=video.*no video section that receives/],
    [offer.replaceAll('packetization-mode=1', 'packetization-mode=0'), /a=rtpmap.*packetization-mode=1/],
    [offer.replaceAll('H264', 'AV1'), /a=rtpmap/],
    [offer.replaceAll(/a=fingerprint:.*\r\n/g, ''), /a=fingerprint/],
    [offer.replaceAll(/a=fingerprint:sha-256 .*\r\n/g, 'a=fingerprint:sha-256 12:34\r\n'), /a=fingerprint/],
    [offer.replaceAll('a=ice-ufrag:YbCB', 'a=ice-ufrag:x'), /a=ice-ufrag/],
    [offer.replaceAll(/a=ice-pwd:.*\r\n/g, ''), /a=ice-pwd/],
    [offer.replace('a=mid:0', 'a=nothing:0'), /a=mid/],
    [offer.replaceAll('108', '228'), /payload type 228/],
    [offer + 'm=video 9 UDP/TLS/RTP/SAVPF 96\r\n'.repeat(20), /m=.*at most 16/],
    [offer + 'a=x\r\n'.repeat(3_000), /at most 2000/],
    ['v=0\r\n'.padEnd(70_000, 'x'), /at most 65536/],
  ];
  for (const [sdp, message] of cases) assert.throws(() => parseOffer(sdp), { code: 'offer.malformed', message });
});

test.run();
