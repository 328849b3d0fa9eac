// time limit: 180 s
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { AppError } from '#lib/error.ts';
import { parseOffer } from '#session/offer.ts';
import { chromiumOffer } from '../support/offers.ts';
import { startWhepCamera, type WhepCamera } from '../support/whep-camera.ts';
import { postOffer, WhepViewer } from '../support/whep-viewer.ts';

const LIVE_OFFERS = 400;
const test = suite('SDP from outside');
let running: WhepCamera;
let target: WhepCamera['target'];

test.before(async () => {
  running = await startWhepCamera('sdp');
  ({ target } = running);
});

test.after(() => running.stop());

/** An offer with lines dropped, doubled, swapped, cut and overwritten. */
const mutated = fc
  .array(
    fc.tuple(
      fc.constantFrom('drop', 'double', 'swap', 'cut', 'overwrite', 'grow'),
      fc.nat(),
      fc.string({ maxLength: 40 }),
    ),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((changes) => {
    const lines = chromiumOffer({
      candidates: ['candidate:1 1 udp 2113937151 127.0.0.1 9 typ host', 'candidate:2 1 udp 1 203.0.113.9 9 typ srflx'],
    }).split('\r\n');
    for (const [kind, at, text] of changes) {
      const index = at % lines.length;
      const line = lines[index]!;
      if (kind === 'drop') lines.splice(index, 1);
      else if (kind === 'double') lines.splice(index, 0, line);
      else if (kind === 'swap') lines.push(...lines.splice(index, 1));
      else if (kind === 'cut') lines[index] = line.slice(0, at % (line.length + 1));
      else if (kind === 'overwrite') lines[index] = line.slice(0, 2) + text + line.slice(2 + text.length);
      else lines[index] = line + text.repeat(20);
    }
    return lines.join('\r\n');
  });

test('a damaged offer is read or refused with the field named, never more', () => {
  fc.assert(
    fc.property(mutated, (sdp) => {
      try {
        parseOffer(sdp, '127.0.0.1');
      } catch (error) {
        assert.ok(error instanceof AppError, String(error));
        assert.match(error.message, /cannot be used: \S+/);
      }
    }),
    { numRuns: 20_000 },
  );
});

test('the daemon lives through hundreds of them, and who watches meanwhile sees nothing of it', async () => {
  const watching = new WhepViewer(target, { keep: 10 });
  await watching.watch();
  const statuses = new Map<number, number>();
  const offers = fc.sample(mutated, LIVE_OFFERS);
  while (offers.length > 0) {
    const responses = await Promise.all(offers.splice(0, 4).map((sdp) => postOffer(target, sdp)));
    for (const response of responses) {
      const text = await response.text();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      assert.ok([201, 400, 503].includes(response.status), `${response.status} ${text}`);
      // An offer that was good enough opens a session that nobody will use: the next one needs its place.
      const location = response.headers.get('location');
      if (location) {
        await fetch(new URL(location, target.url), {
          method: 'DELETE',
          headers: { authorization: `Bearer ${target.token}` },
        });
      }
    }
  }
  console.log(`\n  answers: ${[...statuses].map(([status, count]) => `${status} x ${count}`).join(', ')}`);
  assert.ok((statuses.get(400) ?? 0) > LIVE_OFFERS / 4);
  await watching.nextFrames(30);
  assert.equal(watching.gaps, 0);
  await watching.leave();
});

test('RTCP of any content harms neither its session nor the others', async () => {
  const [sender, watching] = [new WhepViewer(target, { keep: 10 }), new WhepViewer(target, { keep: 10 })];
  await sender.watch();
  await watching.watch();
  for (const bytes of fc.sample(fc.uint8Array({ minLength: 8, maxLength: 600 }), 2_000)) {
    // The library tells RTCP by its second byte (RFC 5761), 200 to 206 here.
    bytes[0] = 0x80 | (bytes[0]! & 31);
    bytes[1] = 200 + (bytes[1]! % 7);
    sender.sendRtcp(Buffer.from(bytes));
  }
  await sender.nextFrames(30);
  await watching.nextFrames(30);
  assert.equal(watching.gaps, 0);
  await sender.leave();
  await watching.leave();
});

test.run();
