import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { nalsOf } from '../support/depacketizer.ts';
import { chromiumOffer } from '../support/offers.ts';
import { until } from '../support/wait.ts';
import { startWhepCamera, type WhepCamera } from '../support/whep-camera.ts';
import { postOffer, WhepViewer } from '../support/whep-viewer.ts';

const test = suite('WHEP on the daemon');
let running: WhepCamera;
let camera: WhepCamera['camera'];
let target: WhepCamera['target'];

test.before(async () => {
  running = await startWhepCamera('whep');
  ({ camera, target } = running);
});

test.after(() => running.stop());

test('a viewer gets a stream that starts with SPS, PPS and IDR and has no gaps', async () => {
  const viewer = new WhepViewer(target);
  await viewer.watch();
  await viewer.nextFrames(60);
  const first = viewer.packets.slice(0, viewer.packets.findIndex(({ marker }) => marker) + 1);
  assert.deepEqual(
    nalsOf(first)
      .map((nal) => nal[0]! & 31)
      .filter((type) => type !== 6),
    [7, 8, 5],
  );
  assert.equal(viewer.gaps, 0);
  await viewer.leave();
});

test('the control channel tells about camera and source', async () => {
  const viewer = new WhepViewer(target);
  await viewer.watch();
  const reply = (await viewer.ask('{"jsonrpc":"2.0","id":1,"method":"session.info"}')) as {
    result: { uid: string; name: string; viewers: number; source: { state: string; width: number } };
  };
  const { uid, name, viewers, source } = reply.result;
  assert.deepEqual([uid, name, viewers], [camera.uid, 'Garden', 1]);
  assert.deepEqual([source.state, source.width], ['live', 1280]);
  await viewer.leave();
});

test('a lost packet is sent again when asked for, a lost picture brings an IDR', async () => {
  const viewer = new WhepViewer(target);
  await viewer.watch();
  await viewer.nextFrames(5);
  const mark = viewer.packets.length;
  viewer.sendRtcp(feedback('81ce0002', viewer.ssrc));
  await until('an IDR comes', () => viewer.packets.slice(mark).some(({ payload }) => startsWithSps(payload)));

  // It did arrive, so that the copy is a replay to SRTP and stays unseen here: the camera's own count tells.
  viewer.sendRtcp(feedback('81cd0003', viewer.ssrc, viewer.packets.at(-1)!.sequence));
  await viewer.nextFrames(15);
  await viewer.leave();
  await until('the camera counts one', () => /"retransmitted":1,/.test(camera.log()));
});

test('goodbye by DELETE ends the session at once', async () => {
  const viewer = new WhepViewer(target);
  await viewer.watch();
  const before = camera.log().match(/viewer left/g)?.length ?? 0;
  await viewer.leave();
  await until('the camera says so', () => (camera.log().match(/viewer left/g)?.length ?? 0) > before);
});

test('without the token nobody gets anything, and the token is in no log', async () => {
  for (const authorization of [undefined, 'Bearer', 'Bearer wrong', target.token, `Basic ${target.token}`]) {
    const response = await fetch(target.url, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp', ...(authorization ? { authorization } : {}) },
      body: chromiumOffer(),
    });
    assert.equal(response.status, 401, String(authorization));
    assert.equal(response.headers.get('www-authenticate'), 'Bearer');
  }
  assert.ok(!camera.log().includes(target.token));
});

test('what is not an offer is refused in words', async () => {
  const authorization = `Bearer ${target.token}`;
  const ask = (path: string, init: RequestInit) =>
    fetch(new URL(path, target.url), { ...init, headers: { authorization, ...init.headers } });
  const sdp = { 'content-type': 'application/sdp' };
  const cases: [Promise<Response>, number, RegExp][] = [
    [ask('/whep', { method: 'POST', headers: sdp, body: 'hello' }), 400, /v=/],
    [ask('/whep', { method: 'POST', headers: sdp, body: 'v=0\r\n'.repeat(20_000) }), 413, /at most/],
    [ask('/whep', { method: 'POST', body: 'hello' }), 415, /application\/sdp/],
    [ask('/whep', { method: 'GET' }), 405, /GET/],
    [ask('/other', { method: 'POST' }), 404, /whep/],
    [ask('/whep/none', { method: 'DELETE' }), 404, /no such session/],
    [ask('/whep/none', { method: 'PATCH' }), 404, /no such session/],
  ];
  for (const [pending, status, words] of cases) {
    const response = await pending;
    assert.equal(response.status, status);
    assert.match(await response.text(), words);
  }
});

test('a page of another origin may ask, as it must show the token anyway', async () => {
  const response = await fetch(target.url, { method: 'OPTIONS', headers: { origin: 'http://elsewhere.example' } });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  assert.match(response.headers.get('access-control-allow-headers')!, /Authorization/);
});

test('an offer with audio before the video is served its video', async () => {
  const viewer = new WhepViewer(target);
  await viewer.watch((sdp) => withAudioFirst(sdp));
  await viewer.nextFrames(3);
  await viewer.leave();
});

test('a full camera says so and serves those it has', async () => {
  const viewers = Array.from({ length: 10 }, () => new WhepViewer(target));
  await Promise.all(viewers.map((viewer) => viewer.watch()));
  const extra = new WhepViewer(target);
  const response = await postOffer(target, extra.offer());
  assert.equal(response.status, 503);
  assert.match(await response.text(), /10 viewers already/);
  extra.close();
  await Promise.all(viewers.map((viewer) => viewer.nextFrames(15)));
  await Promise.all(viewers.map((viewer) => viewer.leave()));
});

test.run();

/** RTCP feedback (RFC 4585): the first word says which, the third whose stream, the fourth which packet. */
function feedback(first: string, ssrc: number, sequence?: number): Buffer {
  const packet = Buffer.alloc(sequence === undefined ? 12 : 16);
  packet.write(first, 'hex');
  packet.writeUInt32BE(1, 4);
  packet.writeUInt32BE(ssrc, 8);
  if (sequence !== undefined) packet.writeUInt16BE(sequence, 12);
  return packet;
}

/** A STAP-A whose first NAL unit is an SPS: the opening of an IDR access unit. */
function startsWithSps(payload: Buffer): boolean {
  return (payload[0]! & 31) === 24 && (payload[3]! & 31) === 7;
}

/** Players often offer audio first; it is bundled with the video. */
function withAudioFirst(sdp: string): string {
  const [session = '', ...media] = sdp.split(/(?=^m=)/m);
  const transport = media[0]!
    .split('\r\n')
    .filter((line) => /^a=(ice-ufrag|ice-pwd|fingerprint|setup)/.test(line) || line.startsWith('c='));
  const audio = [
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    ...transport,
    'a=mid:a',
    'a=recvonly',
    'a=rtcp-mux',
    'a=rtpmap:111 opus/48000/2',
    '',
  ];
  return [session.replace(/a=group:BUNDLE (.*)/, 'a=group:BUNDLE a $1'), audio.join('\r\n'), ...media].join('');
}
