import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { REVOKED } from '#protocol/message.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import { Bench, settle } from './fakes.ts';

const test = suite('connection');

test('goes through its phases in order, and the first picture makes it live', async () => {
  const bench = new Bench();
  const seen: string[] = [];
  bench.connection.view.subscribe(({ phase }) => {
    if (seen.at(-1) !== phase) seen.push(phase);
  });
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  await bench.answer();
  bench.peer.events.progress('path');
  bench.peer.secure();
  await settle();
  bench.playing.add(bench.peer);
  await bench.pass(200);
  assert.deepEqual(seen, [
    'loading-config',
    'reaching-server',
    'asking',
    'answered',
    'finding-path',
    'securing',
    'waiting-for-picture',
    'live',
  ]);
  assert.deepEqual(
    bench.connection.view.value.steps.map(({ state }) => state),
    ['done', 'done', 'done', 'done', 'done'],
  );
});

test('makes its offer while the server is still being reached', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  assert.equal(bench.peers.length, 1);
  assert.deepEqual(bench.signalling.sent, []);
  bench.signalling.online();
  await settle();
  const call = bench.signalling.calls[0]!;
  assert.deepEqual(bench.signalling.sent, [{ type: 'call', call, sdp: 'offer 0', address: '192.0.2.7' }]);
});

test('sends candidates that come after the offer, not those before', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.peer.events.candidate('candidate:1', '0');
  bench.signalling.online();
  await settle();
  bench.peer.events.candidate('candidate:2', '0');
  const call = bench.signalling.calls[0]!;
  assert.deepEqual(bench.signalling.sent.slice(1), [{ type: 'candidate', call, candidate: 'candidate:2', mid: '0' }]);
});

test('takes an answer that comes twice once, and ignores those of other calls', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  bench.signalling.events!.message({ type: 'answer', call: 'another-call-of-somebody', sdp: 'forged' });
  await settle();
  assert.equal(bench.peer.accepted, undefined);
  await bench.answer();
  bench.signalling.events!.message({ type: 'answer', call: bench.signalling.calls[0]!, sdp: 'second' });
  await settle();
  assert.equal(bench.peer.accepted, 'answer');
});

test('losing the server does not touch a live picture', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  bench.signalling.events!.lost('closed');
  await bench.pass(60_000);
  assert.equal(bench.phase, 'live');
  assert.equal(bench.connection.view.value.serverOnline, false);
  bench.signalling.online();
  // A camera that reconnected too has a newer status, although it never stopped sending.
  bench.signalling.events!.status({ state: 'online', since: 5000 }, true);
  await bench.pass(10_000);
  assert.equal(bench.phase, 'live');
  assert.equal(peer.closed, false);
  assert.equal(bench.signalling.calls.length, 1);
});

test('a picture that stands still is replaced by a new call; the old one stays until the new one plays', async () => {
  const bench = new Bench();
  const old = await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  await bench.pass(2400);
  assert.equal(bench.phase, 'live');
  await bench.pass(1800);
  assert.equal(bench.phase, 'reconnecting');
  assert.equal(bench.signalling.calls.length, 2);
  assert.equal(old.closed, false);
  assert.equal(bench.connection.view.value.stream, old.stream, 'the last picture stays on the screen');
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
  await bench.pass(500);
  assert.equal(old.closed, true);
  assert.deepEqual(bench.signalling.goodbyes, [bench.signalling.calls[0]]);
  assert.equal(bench.connection.view.value.stream, bench.peer.stream);
});

test('a picture that moves again by itself keeps its call', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  await bench.pass(4000);
  assert.equal(bench.phase, 'reconnecting');
  bench.playing.add(peer);
  await bench.pass(1000);
  assert.equal(bench.phase, 'live');
  assert.equal(peer.closed, false);
  assert.equal(bench.peer.closed, true, 'the replacement is given up');
});

test('a restarted camera is called as soon as its status says so', async () => {
  const bench = new Bench();
  await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  bench.signalling.events!.status({ state: 'offline', since: 6000 }, true);
  await bench.pass(2100);
  assert.equal(bench.phase, 'offline');
  bench.signalling.events!.status({ state: 'online', since: 8000 }, true);
  await settle();
  assert.equal(bench.signalling.calls.length, 2);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('a camera restarted so fast that its picture has just stopped is called within seconds', async () => {
  const bench = new Bench();
  await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  bench.signalling.events!.status({ state: 'online', since: 8000 }, true);
  await bench.pass(1600);
  assert.equal(bench.signalling.calls.length, 2);
});

test('a call that was sent to a camera not yet there is repeated when it comes', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  await bench.pass(5200);
  assert.equal(bench.phase, 'silent');
  const before = bench.signalling.calls.length;
  bench.signalling.events!.status({ state: 'online', since: 9000 }, true);
  await settle();
  assert.equal(bench.signalling.calls.length, before + 1);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('says offline and since when, and calls no more than now and then', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  bench.signalling.events!.status({ state: 'offline', since: 1234 }, false);
  assert.equal(bench.phase, 'offline');
  assert.equal(bench.connection.view.value.status?.since, 1234);
  await bench.pass(60_000);
  assert.ok(bench.signalling.calls.length <= 3, `${bench.signalling.calls.length} calls`);
  assert.equal(bench.phase, 'offline');
});

test('a person who tries again sees it being tried, and then how things stand', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  bench.signalling.events!.status({ state: 'offline', since: 1234 }, false);
  bench.connection.retry();
  await settle();
  assert.equal(bench.phase, 'asking');
  assert.equal(bench.signalling.calls.length, 2);
  await bench.pass(3100);
  assert.equal(bench.phase, 'offline');
});

test('a source that is down is no reason for a new call, as long as the camera answers', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  peer.sourceChanged({ state: 'down', message: 'the camera module does not answer' });
  await bench.pass(30_000);
  assert.equal(bench.phase, 'source-down');
  assert.equal(bench.connection.view.value.source?.message, 'the camera module does not answer');
  assert.equal(bench.signalling.calls.length, 1);
  peer.sourceChanged({ state: 'live' });
  bench.playing.add(peer);
  await bench.pass(1000);
  assert.equal(bench.phase, 'live');
});

test('says so when the source is down from the start', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  await bench.answer();
  bench.peer.source = { state: 'down', message: 'no such program' };
  bench.peer.secure();
  await bench.pass(20_000);
  assert.equal(bench.phase, 'source-down');
  assert.equal(bench.signalling.calls.length, 1);
});

test('a refusal for good is shown and not repeated; a person may try again', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  const call = bench.signalling.calls[0]!;
  bench.signalling.events!.message({ type: 'refusal', call, code: 'offer.refused', message: 'no H.264', retry: false });
  await bench.pass(60_000);
  assert.equal(bench.phase, 'refused');
  assert.equal(bench.connection.view.value.refusal?.message, 'no H.264');
  assert.equal(bench.signalling.calls.length, 1);
  bench.connection.retry();
  await settle();
  assert.equal(bench.signalling.calls.length, 2);
});

test('a refusal for now is repeated after a pause', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  await settle();
  const call = bench.signalling.calls[0]!;
  bench.signalling.events!.message({ type: 'refusal', call, code: 'viewers.full', message: 'full', retry: true });
  await bench.pass(1200);
  assert.equal(bench.phase, 'refused');
  assert.equal(bench.signalling.calls.length, 2);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('a camera that does not answer is asked again, with growing pauses', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  bench.signalling.events!.status({ state: 'online', since: 1 }, false);
  await bench.pass(120_000);
  const count = bench.signalling.calls.length;
  assert.ok(count >= 4 && count <= 12, `${count} calls in two minutes`);
  assert.equal(bench.phase, 'asking');
});

test('the settings are asked for again when they cannot be read', async () => {
  const bench = new Bench();
  bench.config = 'missing';
  bench.connection.start();
  await bench.pass(200);
  assert.equal(bench.phase, 'server-unreachable');
  assert.equal(bench.connection.view.value.serverProblem, 'config.json: HTTP 502');
  bench.config = 'there';
  await bench.pass(2000);
  assert.equal(bench.phase, 'reaching-server');
});

test('a goodbye of the camera ends the call; the picture comes back with a new one', async () => {
  const bench = new Bench();
  await bench.goLive();
  await bench.pass(5000);
  bench.playing.clear();
  bench.signalling.events!.message({ type: 'bye', call: bench.signalling.calls[0]!, reason: 'restarting' });
  await settle();
  assert.equal(bench.phase, 'reconnecting');
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('closing says goodbye and leaves no timer behind; it can be started again', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  bench.connection.stop();
  await settle();
  assert.deepEqual(bench.signalling.goodbyes, bench.signalling.calls);
  assert.equal(peer.closed, true);
  assert.equal(bench.clock.pending, 0);
  await bench.goLive();
  assert.equal(bench.phase, 'live');
});

test('who is not let in yet makes no call; being let in makes one at once', async () => {
  const bench = new Bench();
  bench.signalling.remembered = false;
  bench.connection.start();
  await settle();
  assert.equal(bench.phase, 'code-needed');
  bench.signalling.online(false);
  await bench.pass(20_000);
  assert.deepEqual(bench.signalling.sent, []);
  bench.connection.pair('0123456789ABCDEF' as SetupCode);
  bench.signalling.events!.admission({ state: 'pairing' });
  assert.equal(bench.phase, 'pairing');
  bench.signalling.events!.admission({ state: 'silent' });
  assert.equal(bench.phase, 'silent');
  bench.signalling.events!.admission({ state: 'in', rights: ['view'], newly: true });
  await settle();
  assert.equal(bench.signalling.calls.length, 1);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
  assert.deepEqual(bench.signalling.paired, ['0123456789ABCDEF']);
});

test('the camera’s reason for not letting somebody in is shown', async () => {
  const bench = new Bench();
  bench.signalling.remembered = false;
  bench.connection.start();
  await settle();
  bench.signalling.online(false);
  const refusal = { type: 'refusal', code: 'pairing.closed', message: 'it has an owner', retry: false } as const;
  bench.signalling.events!.admission({ state: 'refused', refusal });
  assert.equal(bench.phase, 'pairing-refused');
  assert.deepEqual(bench.connection.view.value.admission, { state: 'refused', refusal });
});

test('a viewer that was removed loses the picture at once, and calls no more', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  bench.signalling.events!.message({ type: 'bye', call: bench.signalling.calls[0]!, reason: REVOKED });
  await settle();
  assert.equal(bench.phase, 'no-access');
  assert.equal(peer.closed, true);
  assert.equal(bench.connection.view.value.stream, undefined);
  await bench.pass(60_000);
  assert.equal(bench.signalling.calls.length, 1);
});

test('somebody in the camera’s place is never shown, and given up on after three more tries', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online();
  bench.signalling.events!.status({ state: 'online', since: 1 }, false);
  for (let tries = 0; tries < 4; tries++) {
    for (let left = 100; bench.signalling.calls.length === tries && left > 0; left--) await bench.pass(200);
    await bench.answer();
    bench.peer.events.progress('path');
    bench.peer.events.forged('another certificate');
    assert.equal(bench.connection.view.value.stream, undefined);
  }
  assert.equal(bench.phase, 'forged');
  assert.equal(bench.signalling.calls.length, 4);
  assert.equal(bench.connection.view.value.warnings.count, 4);
  await bench.pass(120_000);
  assert.equal(bench.signalling.calls.length, 4);
  bench.connection.retry();
  await settle();
  assert.equal(bench.signalling.calls.length, 5);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('refused messages are counted and change nothing else', async () => {
  const bench = new Bench();
  await bench.goLive();
  bench.signalling.events!.suspicious('message: field "seq": replayed');
  bench.signalling.events!.suspicious('message: field "re": it answers another offer');
  assert.equal(bench.phase, 'live');
  const { count, last } = bench.connection.view.value.warnings;
  assert.equal(count, 2);
  assert.match(last!, /another offer/);
});

test('a call that stays unanswered has the camera asked for its keys; whose presence is secret, that says so', async () => {
  const bench = new Bench();
  bench.connection.start();
  await settle();
  bench.signalling.online(false);
  await bench.pass(5000);
  assert.equal(bench.phase, 'asking');
  await bench.pass(2000);
  assert.equal(bench.phase, 'silent');
  assert.equal(bench.signalling.unansweredCalls, 1);
  await bench.pass(2000);
  await bench.playNewest();
  assert.equal(bench.phase, 'live');
});

test('bad control messages change nothing', async () => {
  const bench = new Bench();
  const peer = await bench.goLive();
  const warn = console.warn;
  console.warn = () => {};
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"jsonrpc":"2.0","method":"source.changed","params":{"state":"on fire"}}',
  ]) {
    peer.events.controlMessage(text);
  }
  peer.events.controlMessage('{"jsonrpc":"2.0","method":"future.news","params":{}}');
  console.warn = warn;
  await bench.pass(1000);
  assert.equal(bench.phase, 'live');
});

test.run();
