// time limit: 180 s
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatSetupCode, setupCodeFrom } from '#protocol/setup-code.ts';
import { Home, makeInvitation } from './home.ts';
import { ViewerPage } from './viewer-page.ts';

const test = suite('pairing');

let home: Home;

test.before(async () => {
  home = await Home.start();
});

test.after(() => home.stop());

test('the label in a fresh browser: the camera is mine, named, and remembered', async () => {
  const viewer = await ViewerPage.open(home.browser, home.label);
  await viewer.waitFor('live');
  assert.equal(viewer.page.url(), home.address, 'the code is out of the address bar');
  await viewer.waitForText(/This camera is yours now/);
  await viewer.page.getByRole('textbox', { name: 'Name of the camera' }).fill('Front door');
  await viewer.page.getByRole('button', { name: 'Done' }).click();
  await viewer.page.getByRole('heading', { name: 'Front door' }).waitFor();
  assert.equal((await viewer.state()).verified, 'certificate');
  assert.deepEqual(viewer.errors, []);
  await home.takeOwner(viewer);
});

test('next time one tap is enough', async () => {
  const viewer = await home.open({ url: `${home.server.httpUrl}/` });
  await viewer.waitFor('start');
  await viewer.page.getByRole('link', { name: 'Front door, Online' }).click();
  await viewer.waitFor('live');
  await viewer.close();
});

test('who has scanned the label before may do so again: no code is spent on it', async () => {
  const viewer = await home.open({ url: home.label });
  await viewer.waitFor('live');
  await viewer.waitForText(/You can watch this camera already/);
  await viewer.page.getByRole('button', { name: 'Not now' }).click();
  await viewer.close();
});

test('the label does not let a second one in, and says what would', async () => {
  const viewer = await ViewerPage.open(home.browser, home.label);
  await viewer.waitFor('pairing-refused');
  assert.match(await viewer.text(), /has an owner already.*press the button|has an owner already/is);
  await viewer.close();
});

test('a wrong code gets no answer; the right one still counts afterwards', async () => {
  const viewer = await ViewerPage.open(home.browser, home.address);
  await viewer.waitFor('code-needed');
  await viewer.page.fill('#code', formatSetupCode(setupCodeFrom(new Uint8Array(10))));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitFor('silent', 10_000);
  const invitation = await home.invite();
  await viewer.page.getByText('Use another code').click();
  await viewer.page.fill('#code', invitation.slice(-16));
  await viewer.page.keyboard.press('Enter');
  await viewer.waitFor('live');
  await viewer.close();
});

test('an invited viewer watches; removed, it loses the picture within a second', async () => {
  const owner = await home.open();
  await owner.waitFor('live');
  const guest = await home.pair(await makeInvitation(owner));
  assert.equal(await guest.page.getByRole('button', { name: 'People', exact: true }).count(), 0);
  await owner.page.getByRole('button', { name: 'Done', exact: true }).click();
  await owner.page
    .getByRole('button', { name: /^Change / })
    .last()
    .click();
  await owner.page.getByRole('textbox', { name: 'Name' }).fill('Anna');
  await owner.page.getByRole('button', { name: 'Save' }).click();
  await owner.page.getByRole('button', { name: 'Change Anna' }).click();
  await owner.page.getByRole('button', { name: 'Remove' }).click();
  const removed = Date.now();
  await owner.page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await guest.waitFor('no-access', 5000);
  const afterMs = Date.now() - removed;
  assert.ok(afterMs < 1000, `the guest lost the picture after ${afterMs} ms`);
  assert.equal(await guest.page.evaluate(() => document.querySelector('video')!.srcObject), null);
  // A reload does not bring it back.
  await guest.page.reload();
  await guest.waitFor('no-access');
  await owner.page.getByRole('button', { name: 'Activity' }).click();
  await owner.waitForText(/You removed Anna/);
  await guest.close();
  await owner.close();
});

test('an invitation that was used or cancelled says so', async () => {
  const owner = await home.open();
  await owner.waitFor('live');
  const link = await makeInvitation(owner);
  await owner.page.getByRole('button', { name: 'Done', exact: true }).click();
  await owner.page.getByRole('button', { name: /^Cancel the invitation/ }).click();
  await owner.page.getByText('Open invitations').waitFor({ state: 'detached' });
  const guest = await ViewerPage.open(home.browser, link);
  await guest.waitFor('pairing-refused');
  assert.match(await guest.text(), /withdrawn/);
  await guest.close();
  await owner.close();
});

test('a guest who leaves is off the list', async () => {
  const guest = await home.guest();
  await guest.page.getByRole('button', { name: 'Details', exact: true }).click();
  await guest.page.getByRole('button', { name: 'Leave this camera' }).click();
  await guest.page.getByRole('dialog').getByRole('button', { name: 'Leave this camera' }).click();
  await guest.waitFor('start');
  await guest.waitForText(/See your camera/);
  await guest.page.goto(home.address);
  await guest.waitFor('code-needed');
  await guest.close();
});

test('a picture over another certificate than the signed one is never shown', async () => {
  const viewer = await home.open({
    init: () => {
      const transport = Object.getOwnPropertyDescriptor(RTCRtpReceiver.prototype, 'transport')!.get!;
      Object.defineProperty(RTCRtpReceiver.prototype, 'transport', {
        get() {
          const real = transport.call(this);
          // As a method: a function with a name of its own needs a helper that this page does not have.
          return (
            real && {
              getRemoteCertificates() {
                return [new Uint8Array(300).buffer];
              },
            }
          );
        },
      });
    },
  });
  await viewer.waitFor('forged', 30_000);
  assert.match(await viewer.text(), /Somebody is in the way/);
  assert.equal(await viewer.page.evaluate(() => document.querySelector('video')!.srcObject), null);
  await viewer.close();
});

test('messages that the server repeats are refused, counted, and change nothing', async () => {
  const viewer = await home.open({ url: 'about:blank' });
  await viewer.page.routeWebSocket(/\/mqtt$/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      socket.send(message);
      if (String(message).includes('/viewer/')) socket.send(message);
    });
  });
  await viewer.page.goto(home.address);
  await viewer.waitFor('live');
  await viewer.page.getByRole('button', { name: 'Details', exact: true }).click();
  await viewer.waitForText(/messages? (was|were) refused/);
  assert.equal((await viewer.state()).state, 'live');
  await viewer.close();
});

test('a camera that is given away is somebody else’s from then on', async () => {
  const owner = await home.open();
  await owner.waitFor('live');
  await owner.page.getByRole('button', { name: 'People', exact: true }).click();
  await owner.page.getByRole('button', { name: 'Give this camera away' }).click();
  await owner.page.getByRole('dialog').getByRole('button', { name: 'Make the link' }).click();
  const link = await owner.page.getByRole('textbox', { name: 'The invitation is ready' }).inputValue();
  const heir = await ViewerPage.open(home.browser, link);
  await heir.waitFor('live');
  await heir.waitForText(/This camera is yours now/);
  await owner.waitFor('no-access', 5000);
  await heir.close();
  await owner.close();
});

test.run();
