import { type AccessList, CameraParley, type PairingRefusal } from '#identity/camera-parley.ts';
import { newSealingKey, newSigningKey, type SealingKey, type SigningKey, uidOfKey } from '#identity/keys.ts';
import { ViewerParley } from '#identity/viewer-parley.ts';
import { AppError } from '#lib/error.ts';
import type { Right } from '#protocol/rights.ts';
import { type SetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';

export const randomCode = (): SetupCode => setupCodeFrom(crypto.getRandomValues(new Uint8Array(10)));

/** Who may use the test camera, in memory. */
export class TestList implements AccessList {
  readonly people = new Map<string, { rights: readonly Right[] }>();
  readonly open: { id: string; code: SetupCode }[] = [];
  readonly spent: { code: SetupCode; refusal: PairingRefusal }[] = [];
  failures = 0;

  get hasOwner(): boolean {
    return this.people.size > 0;
  }
  find(thumbprint: string) {
    return this.people.get(thumbprint);
  }
  acceptableCodes() {
    return this.open;
  }
  spentCodes() {
    return this.spent;
  }
  async noteFailure() {
    this.failures++;
  }
  async admit(code: { id: string; code: SetupCode }, { thumbprint }: { thumbprint: string }) {
    const index = this.open.findIndex(({ id }) => id === code.id);
    if (index < 0) throw new AppError('pairing.used', 'this code has been used');
    this.open.splice(index, 1);
    const entry = { rights: ['view', 'owner'] as const };
    this.people.set(thumbprint, entry);
    return entry;
  }
}

/** A camera's side of the conversation without the camera around it. */
export interface TestParty {
  readonly uid: Uid;
  readonly key: SigningKey;
  readonly sealing: SealingKey;
  readonly list: TestList;
  readonly parley: CameraParley<{ id: string; code: SetupCode }>;
  readonly code: SetupCode;
  /** ms since 1970, to be turned. */
  readonly clock: { now: number };
  /** As after a restart: same keys, same list, another run. */
  restart(): TestParty;
}

/** @param deviceKey a new one where left out */
export async function cameraParty(deviceKey?: SigningKey): Promise<TestParty> {
  const key = deviceKey ?? (await newSigningKey());
  const uid = await uidOfKey(key.publicKey);
  const sealing = await newSealingKey();
  const list = new TestList();
  const code = randomCode();
  list.open.push({ id: 'label', code });
  const clock = { now: Date.now() };
  const make = (): TestParty => ({
    uid,
    key,
    sealing,
    list,
    code,
    clock,
    parley: new CameraParley({
      uid,
      key,
      sealing,
      access: list,
      grants: { issue: async () => 'header.payload.signature' },
      now: () => clock.now,
      describe: () => ({ name: 'Front door', firmware: '1.2.3' }),
    }),
    restart: make,
  });
  return make();
}

/** A viewer that is on the camera's list, by the front door: hello, here, pair, paired. */
export async function pairedViewer(camera: TestParty, key?: SigningKey): Promise<ViewerParley> {
  const viewer = new ViewerParley({
    uid: camera.uid,
    key: key ?? (await newSigningKey()),
    now: () => camera.clock.now,
  });
  const code = randomCode();
  camera.list.open.push({ id: code, code });
  await exchange(camera, viewer, await viewer.hello(code));
  await exchange(camera, viewer, await viewer.pair('A viewer'));
  if (!viewer.known?.rights) throw new Error('pairing failed');
  return viewer;
}

/** Hands one payload to the camera and its reply to the viewer. */
export async function exchange(camera: TestParty, viewer: ViewerParley, payload: Uint8Array) {
  const incoming = await camera.parley.receive(payload);
  if (incoming.kind !== 'reply') throw new Error(`a reply was expected, not "${incoming.kind}"`);
  return { event: incoming.event, news: await viewer.open(incoming.payload) };
}
