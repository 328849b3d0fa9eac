import type { Browser, BrowserContextOptions } from 'playwright-core';
import {
  type CameraOptions,
  type CameraProgram,
  type ServerProgram,
  startCamera,
  startServer,
  temporaryFolder,
} from '../support/product.ts';
import { launchBrowser, type OpenOptions, ViewerPage } from './viewer-page.ts';

type HomeOptions = Pick<CameraOptions, 'source' | 'name'> & {
  /** The broker's address, where it is not the server's own. */
  readonly broker?: string;
  readonly serverArgs?: readonly string[];
};

/** A server, a camera fresh from the factory, a browser, and the profile of the camera's owner in it. */
export class Home {
  readonly folder: string;
  readonly browser: Browser;
  server: ServerProgram;
  camera: CameraProgram;
  private readonly options: HomeOptions;
  private readonly removeFolder: () => Promise<void>;
  private ownersProfile: ViewerPage | undefined;

  private constructor(
    options: HomeOptions,
    folder: { path: string; remove: () => Promise<void> },
    parts: { server: ServerProgram; camera: CameraProgram; browser: Browser },
  ) {
    this.options = options;
    this.folder = folder.path;
    this.removeFolder = folder.remove;
    this.server = parts.server;
    this.camera = parts.camera;
    this.browser = parts.browser;
  }

  static async start(options: HomeOptions = {}): Promise<Home> {
    const folder = await temporaryFolder('home');
    const server = await startServer({ args: options.serverArgs ?? [] });
    const camera = await startCamera({ ...cameraOptions(options, server), folder: folder.path });
    return new Home(options, folder, { server, camera, browser: await launchBrowser() });
  }

  /** The camera's address without a code. */
  get address(): string {
    return `${this.server.httpUrl}/#${this.camera.uid}`;
  }

  /** What the label's QR code holds. */
  get label(): string {
    return this.camera.labelUrl(this.server.httpUrl);
  }

  /** A page of the camera's owner, who pairs with the label the first time. */
  async open(options: OpenOptions & { readonly url?: string } = {}): Promise<ViewerPage> {
    const { url = this.address, ...rest } = options;
    if (!this.ownersProfile) await this.takeOwner(await this.pair(this.label));
    return await ViewerPage.open(this.ownersProfile!.context, url, rest);
  }

  /** This page's profile has become the owner's; the page itself watches no longer. */
  async takeOwner(viewer: ViewerPage): Promise<void> {
    this.ownersProfile = viewer;
    await viewer.page.goto('about:blank');
  }

  /** A page of somebody new whom the owner has invited. */
  async guest(options: BrowserContextOptions = {}): Promise<ViewerPage> {
    return await this.pair(await this.invite(), options);
  }

  /** The link of a fresh invitation, made by the owner in the page. */
  async invite(): Promise<string> {
    const owner = await this.open();
    await owner.waitFor('live');
    const link = await makeInvitation(owner);
    await owner.close();
    return link;
  }

  /** A browser profile of its own that opens a link with a code; resolves when its picture plays. */
  async pair(link: string, options: BrowserContextOptions = {}): Promise<ViewerPage> {
    const viewer = await ViewerPage.open(this.browser, link, options);
    await viewer.waitFor('live');
    await viewer.page.getByRole('dialog').getByRole('button', { name: 'Done' }).click();
    return viewer;
  }

  /** The same camera once more, after it was stopped or killed. */
  async restartCamera(): Promise<void> {
    this.camera = await startCamera({ ...cameraOptions(this.options, this.server), folder: this.folder });
  }

  /** The same server at the same ports, after it was killed. */
  async restartServer(): Promise<void> {
    const port = (url: string) => Number(new URL(url).port);
    const { httpUrl, mqttUrl } = this.server;
    this.server = await startServer({ http: port(httpUrl), mqtt: port(mqttUrl), args: this.options.serverArgs ?? [] });
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.camera.stop();
    await this.server.stop();
    await this.removeFolder();
  }
}

/** Makes an invitation to watch in an owner's page whose picture plays; the link. */
export async function makeInvitation({ page }: ViewerPage): Promise<string> {
  await page.getByRole('button', { name: 'People', exact: true }).click();
  await page.getByRole('button', { name: 'Invite somebody' }).click();
  await page.getByRole('button', { name: 'Make the invitation' }).click();
  return await page.getByRole('textbox', { name: 'The invitation is ready' }).inputValue();
}

function cameraOptions({ source, name, broker }: HomeOptions, server: ServerProgram) {
  return { server: broker ?? server.mqttUrl, ...(source && { source }), name: name ?? 'Garden' };
}
