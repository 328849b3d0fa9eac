import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type Incoming, Refused } from '#identity/camera-parley.ts';
import { newSealingKey, newSigningKey, type SigningKey } from '#identity/keys.ts';
import { hashOf, seal, sign } from '#identity/seal.ts';
import { ViewerParley } from '#identity/viewer-parley.ts';
import { SIGNED_TYPE, type ToViewer } from '#protocol/message.ts';
import { ProtocolError } from '#protocol/parse.ts';
import { cameraParty, exchange, pairedViewer, randomCode, type TestParty } from '../support/parley.ts';

/** Every state × message of the two tables in src/identity/README.md. */
const test = suite('states and messages');
const CALL = 'call-0123456789abcdef';
const SDP = 'v=0 offer';

interface Camera {
  readonly camera: TestParty;
  readonly viewer: ViewerParley;
  readonly key: SigningKey;
}

type CameraState = 'stranger' | 'greeted' | 'listed' | 'call open' | 'call over';
type Outcome = Incoming['kind'] | `reply ${string}` | `refused ${string}`;

/** Brings a camera and one viewer into a state. */
async function inState(state: CameraState): Promise<Camera> {
  const camera = await cameraParty();
  const key = await newSigningKey();
  if (state === 'stranger' || state === 'greeted') {
    const viewer = new ViewerParley({ uid: camera.uid, key, now: () => camera.clock.now });
    // A stranger who somehow has the camera's keys: nothing is built on their being secret.
    await exchange(camera, viewer, await viewer.hello(camera.code));
    if (state === 'stranger') camera.parley.forget(key.thumbprint);
    return { camera, viewer, key };
  }
  const viewer = await pairedViewer(camera, key);
  if (state === 'listed') return { camera, viewer, key };
  const incoming = await camera.parley.receive(await viewer.sealCall({ type: 'call', call: CALL, sdp: SDP }));
  assert.equal(incoming.kind, 'call');
  if (state === 'call over' && incoming.kind === 'call') incoming.talk.close();
  return { camera, viewer, key };
}

const MESSAGES = {
  'hello with the code': async ({ camera, viewer }: Camera) => {
    if (camera.list.open.length === 0) camera.list.open.push({ id: 'label', code: camera.code });
    return viewer.hello(camera.code);
  },
  'hello with a wrong code': ({ viewer }: Camera) => viewer.hello(randomCode()),
  'hello with a spent code': async ({ camera, viewer }: Camera) => {
    const code = randomCode();
    camera.list.spent.push({ code, refusal: { code: 'pairing.used', message: 'used' } });
    return viewer.hello(code);
  },
  hello: ({ viewer }: Camera) => viewer.hello(),
  pair: ({ viewer, camera }: Camera) =>
    viewer.pair('me').catch(() => sealed(camera, viewer, { type: 'pair', name: 'me', proof: 'p'.repeat(43) })),
  'pair with a wrong proof': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'pair', name: 'me', proof: 'p'.repeat(43) }),
  call: ({ camera, viewer }: Camera) => sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }),
  'call of another run': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }, { epoch: 'e'.repeat(22) }),
  'call of long ago': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }, { iat: camera.clock.now - 3_600_000 }),
  candidate: ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'candidate', call: CALL, candidate: 'candidate:1', mid: '0' }, { seq: 1 }),
  'candidate with an old number': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'candidate', call: CALL, candidate: 'candidate:1', mid: '0' }, { seq: 0 }),
  bye: ({ camera, viewer }: Camera) => sealed(camera, viewer, { type: 'bye', call: CALL }, { seq: 1 }),
  'an answer, which only cameras give': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'answer', call: CALL, sdp: SDP }),
  'signed as a camera signs': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }, {}, SIGNED_TYPE.toViewer),
  'meant for another camera': async ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }, { aud: (await cameraParty()).uid }),
  'in another name': ({ camera, viewer }: Camera) =>
    sealed(camera, viewer, { type: 'call', call: CALL, sdp: SDP }, { iss: 'i'.repeat(43) }),
} satisfies Record<string, (at: Camera) => Promise<Uint8Array>>;

type Message = keyof typeof MESSAGES;

/** The same in every state. */
const EVERYWHERE: Partial<Record<Message, Outcome>> = {
  'hello with the code': 'reply greeted',
  'hello with a wrong code': 'refused wrong-code',
  'hello with a spent code': 'reply pairing-refused',
  'an answer, which only cameras give': 'refused malformed',
  'signed as a camera signs': 'refused malformed',
  'meant for another camera': 'refused not-for-us',
  'in another name': 'refused malformed',
};
const UNKNOWN = 'refused unknown-viewer';
const TABLE: Record<CameraState, Partial<Record<Message, Outcome>>> = {
  stranger: {
    hello: UNKNOWN,
    pair: 'refused replayed',
    'pair with a wrong proof': 'refused replayed',
    call: UNKNOWN,
    'call of another run': UNKNOWN,
    'call of long ago': UNKNOWN,
    candidate: UNKNOWN,
    'candidate with an old number': UNKNOWN,
    bye: UNKNOWN,
  },
  greeted: {
    hello: UNKNOWN,
    pair: 'reply paired',
    'pair with a wrong proof': 'refused wrong-code',
    call: UNKNOWN,
    'call of another run': UNKNOWN,
    'call of long ago': UNKNOWN,
    candidate: UNKNOWN,
    'candidate with an old number': UNKNOWN,
    bye: UNKNOWN,
  },
  listed: {
    hello: 'reply here',
    pair: 'refused replayed',
    'pair with a wrong proof': 'refused replayed',
    call: 'call',
    'call of another run': 'reply stale',
    'call of long ago': 'reply stale',
    candidate: 'refused no-such-call',
    'candidate with an old number': 'refused no-such-call',
    bye: 'refused no-such-call',
  },
  'call open': {
    hello: 'reply here',
    pair: 'refused replayed',
    'pair with a wrong proof': 'refused replayed',
    call: 'refused replayed',
    'call of another run': 'reply stale',
    'call of long ago': 'reply stale',
    candidate: 'in-call',
    'candidate with an old number': 'refused out-of-order',
    bye: 'in-call',
  },
  'call over': {
    hello: 'reply here',
    pair: 'refused replayed',
    'pair with a wrong proof': 'refused replayed',
    call: 'refused replayed',
    'call of another run': 'reply stale',
    'call of long ago': 'reply stale',
    candidate: 'refused no-such-call',
    'candidate with an old number': 'refused no-such-call',
    bye: 'refused no-such-call',
  },
};

for (const state of Object.keys(TABLE) as CameraState[]) {
  for (const message of Object.keys(MESSAGES) as Message[]) {
    test(`camera, ${state}: ${message}`, async () => {
      const at = await inState(state);
      const payload = await MESSAGES[message](at);
      assert.equal(await outcome(at.camera, payload), TABLE[state][message] ?? EVERYWHERE[message]);
      // Whatever it was: a second copy opens nothing.
      const again = await outcome(at.camera, payload);
      assert.ok(again.startsWith('refused') || again === 'reply stale', `the second copy: ${again}`);
    });
  }
}

async function outcome(camera: TestParty, payload: Uint8Array): Promise<Outcome> {
  try {
    const incoming = await camera.parley.receive(payload);
    return incoming.kind === 'reply' ? `reply ${incoming.event}` : incoming.kind;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return `refused ${error.reason}`;
  }
}

/** A message as the viewer could seal it if it were malicious: every claim can be replaced. */
async function sealed(
  camera: TestParty,
  viewer: ViewerParley,
  msg: object,
  claims: object = {},
  type: string = SIGNED_TYPE.toCamera,
): Promise<Uint8Array> {
  const key = (viewer as unknown as { key: SigningKey }).key;
  const whole = {
    iss: key.thumbprint,
    aud: camera.uid,
    jti: crypto.randomUUID(),
    iat: camera.clock.now,
    epoch: camera.parley.epoch,
    seq: 0,
    enc: (await newSealingKey()).publicKey,
    msg,
    ...claims,
  };
  return seal(await sign(type, whole, key), { kid: camera.sealing.kid, publicKey: camera.sealing.publicKey });
}

type ViewerState = 'silent' | 'asked' | 'greeted' | 'pairing' | 'call asked' | 'call answered' | 'call over';
type ViewerOutcome = 'refused' | 'dropped' | string;

/** What the viewer has sent last decides what it waits for: `re` of an honest camera is that message's hash. */
interface Viewer {
  readonly camera: TestParty;
  readonly viewer: ViewerParley;
  readonly re: string;
  readonly enc: { kid: string; publicKey: Awaited<ReturnType<typeof newSealingKey>>['publicKey'] };
}

async function viewerInState(state: ViewerState): Promise<Viewer> {
  const camera = await cameraParty();
  const key = await newSigningKey();
  const calls = state.startsWith('call');
  const viewer = calls ? await pairedViewer(camera, key) : new ViewerParley({ uid: camera.uid, key });
  const own = await (viewer as unknown as { sealing: Promise<{ kid: string; publicKey: never }> }).sealing;
  const at = { camera, viewer, enc: { kid: own.kid, publicKey: own.publicKey } };
  if (state === 'silent') return { ...at, re: 'r'.repeat(43) };
  if (!calls) {
    const hello = await viewer.hello(camera.code);
    if (state === 'asked') return { ...at, re: await hashOf(new TextDecoder().decode(hello)) };
    await exchange(camera, viewer, hello);
    if (state === 'greeted') return { ...at, re: await hashOf(new TextDecoder().decode(hello)) };
    await viewer.pair('me');
    return { ...at, re: (viewer as unknown as { greeting: { pair: string } }).greeting.pair };
  }
  await viewer.sealCall({ type: 'call', call: CALL, sdp: SDP });
  const re = (viewer as unknown as { calls: Map<string, { hash: string }> }).calls.get(CALL)!.hash;
  const asked = { ...at, re };
  if (state === 'call answered')
    await viewer.open(await said(asked, { type: 'answer', call: CALL, sdp: SDP }, { seq: 0 }));
  if (state === 'call over') viewer.close(CALL);
  return asked;
}

async function said(
  { camera, viewer, re, enc }: Viewer,
  msg: object,
  claims: object = {},
  options: { key?: SigningKey; type?: string } = {},
): Promise<Uint8Array> {
  const { thumbprint } = (viewer as unknown as { key: SigningKey }).key;
  const whole = { iss: camera.uid, aud: thumbprint, iat: camera.clock.now, seq: 5, re, msg, ...claims };
  return seal(await sign(options.type ?? SIGNED_TYPE.toViewer, whole, options.key ?? camera.key), enc);
}

const here = (camera: TestParty) => ({
  type: 'here',
  name: 'x',
  firmware: '1',
  epoch: 'e'.repeat(22),
  now: 1,
  sealing: camera.sealing.publicKey,
  owned: false,
});
const answer: ToViewer = { type: 'answer', call: CALL, sdp: SDP };
const REPLIES = {
  here: (at: Viewer) => said(at, here(at.camera)),
  paired: (at: Viewer) => said(at, { type: 'paired', name: 'x', rights: ['view'], grant: 'a.b.c' }),
  'pairing refusal': (at: Viewer) => said(at, { type: 'refusal', code: 'pairing.used', message: 'used', retry: false }),
  answer: (at: Viewer) => said(at, answer),
  candidate: (at: Viewer) => said(at, { type: 'candidate', call: CALL, candidate: 'candidate:1', mid: '0' }),
  'call refusal': (at: Viewer) =>
    said(at, { type: 'refusal', call: CALL, code: 'camera.full', message: 'full', retry: true }),
  bye: (at: Viewer) => said(at, { type: 'bye', call: CALL }),
  'an answer to another message': (at: Viewer) => said(at, answer, { re: 'o'.repeat(43) }),
  'an answer with an old number': async (at: Viewer) => {
    await at.viewer
      .open(await said(at, { type: 'candidate', call: CALL, candidate: 'c', mid: '0' }, { seq: 7 }))
      .catch(() => {});
    return said(at, answer, { seq: 7 });
  },
  'an answer by another camera': async (at: Viewer) => said(at, answer, {}, { key: await newSigningKey() }),
  'an answer that names another camera': async (at: Viewer) => said(at, answer, { iss: (await cameraParty()).uid }),
  'an answer for another viewer': (at: Viewer) => said(at, answer, { aud: 'a'.repeat(43) }),
  'an answer signed as a viewer signs': (at: Viewer) => said(at, answer, {}, { type: SIGNED_TYPE.toCamera }),
  'an answer for another page': async (at: Viewer) => {
    const { kid, publicKey } = await newSealingKey();
    return said({ ...at, enc: { kid, publicKey } }, answer);
  },
} satisfies Record<string, (at: Viewer) => Promise<Uint8Array>>;
type Reply = keyof typeof REPLIES;

const FORGED: Partial<Record<Reply, ViewerOutcome>> = {
  'an answer by another camera': 'refused',
  'an answer that names another camera': 'refused',
  'an answer for another viewer': 'refused',
  'an answer signed as a viewer signs': 'refused',
  'an answer for another page': 'dropped',
};
const NO_CALL: Partial<Record<Reply, ViewerOutcome>> = {
  answer: 'dropped',
  candidate: 'dropped',
  'call refusal': 'dropped',
  bye: 'dropped',
  'an answer to another message': 'dropped',
  'an answer with an old number': 'dropped',
};
const NO_PAIRING = { here: 'refused', paired: 'refused', 'pairing refusal': 'refused' };
const VIEWER_TABLE: Record<ViewerState, Partial<Record<Reply, ViewerOutcome>>> = {
  silent: { ...NO_PAIRING, ...NO_CALL },
  asked: { ...NO_CALL, here: 'here', paired: 'refused', 'pairing refusal': 'pairing-refused' },
  greeted: { ...NO_CALL, here: 'refused', paired: 'refused', 'pairing refusal': 'pairing-refused' },
  pairing: { ...NO_CALL, here: 'refused', paired: 'paired', 'pairing refusal': 'pairing-refused' },
  'call asked': {
    ...NO_PAIRING,
    answer: 'call answer',
    candidate: 'call candidate',
    'call refusal': 'call refusal',
    bye: 'call bye',
    'an answer to another message': 'refused',
    'an answer with an old number': 'refused',
  },
  'call answered': {
    ...NO_PAIRING,
    answer: 'refused',
    candidate: 'call candidate',
    'call refusal': 'call refusal',
    bye: 'call bye',
    'an answer to another message': 'refused',
    'an answer with an old number': 'refused',
  },
  'call over': { ...NO_PAIRING, ...NO_CALL },
};

for (const state of Object.keys(VIEWER_TABLE) as ViewerState[]) {
  for (const reply of Object.keys(REPLIES) as Reply[]) {
    test(`viewer, ${state}: ${reply}`, async () => {
      const at = await viewerInState(state);
      const payload = await REPLIES[reply](at);
      assert.equal(await viewerOutcome(at.viewer, payload), FORGED[reply] ?? VIEWER_TABLE[state][reply]);
      const again = await viewerOutcome(at.viewer, payload);
      assert.ok(again === 'refused' || again === 'dropped', `the second copy: ${again}`);
    });
  }
}

async function viewerOutcome(viewer: ViewerParley, payload: Uint8Array): Promise<ViewerOutcome> {
  try {
    const news = await viewer.open(payload);
    if (!news) return 'dropped';
    return news.kind === 'call' ? `call ${news.message.type}` : news.kind;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return 'refused';
  }
}

test.run();
