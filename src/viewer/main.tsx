import { type Signal, signal } from '@preact/signals';
import { render } from 'preact';
import { parseJsonAs } from '#protocol/parse.ts';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import { type ViewerConfig, viewerConfigSchema } from '#protocol/viewer-config.ts';
import { Broker } from './connection/broker.ts';
import { Connection } from './connection/connection.ts';
import { BrowserPeer, browserCanPlay } from './connection/peer.ts';
import { MqttSignalling } from './connection/signalling.ts';
import { browserTimer } from './connection/timer.ts';
import { deviceName } from './device-name.ts';
import { readLabel, START } from './label.ts';
import { IndexedDbStore } from './memory/indexed-db-store.ts';
import { Self } from './memory/self.ts';
import { CameraPage } from './page/camera-page.tsx';
import { InsecurePage } from './page/insecure-page.tsx';
import { StartPage } from './page/start-page.tsx';

interface Watching {
  readonly uid: Uid;
  readonly connection: Connection<MediaStream>;
  /** Counts the camera's news about who has access. */
  readonly accessNews: Signal<number>;
}

const MAX_CONFIG = 64 * 1024;

// Without a secure context there is no cryptography, and nothing else here would work.
if (globalThis.isSecureContext && globalThis.crypto?.subtle) run();
else explainInsecure();

function run(): void {
  const watching = signal<Watching | undefined>(undefined);
  const typed = signal('');
  const self = signal<Self | undefined>(undefined);
  let config: Promise<ViewerConfig> | undefined;

  const loadConfig = () => {
    config ??= fetchConfig().catch((error: unknown) => {
      config = undefined;
      throw error;
    });
    return config;
  };
  // Key, memory and settings are on their way before anything is drawn.
  const loading = Self.load(() => IndexedDbStore.open());
  void loading.then((loaded) => {
    self.value = loaded;
  });
  const broker = new Broker({
    self: loading,
    page: location.href,
    loadConfig,
    grants: ({ cameras }) => {
      const uid = watching.value?.uid;
      const wanted = uid ? cameras.value.filter(({ known }) => known.uid === uid) : cameras.value;
      return wanted.flatMap(({ known }) => known.grant ?? []);
    },
  });

  const connect = (uid: Uid, code: SetupCode | undefined): Watching => {
    const accessNews = signal(0);
    const connection = new Connection<MediaStream>({
      timer: browserTimer,
      supported: browserCanPlay(),
      signalling: new MqttSignalling({
        uid,
        self: loading,
        post: broker,
        timer: browserTimer,
        code,
        deviceName: deviceName(navigator),
      }),
      loadConfig,
      makePeer: (events) => new BrowserPeer(events),
      hidden: () => document.hidden,
      notified: ({ method }) => {
        if (method === 'access.changed') accessNews.value++;
      },
    });
    return { uid, connection, accessNews };
  };

  const show = (uid: Uid | undefined, code: SetupCode | undefined) => {
    const before = watching.value;
    if (before && before.uid === uid) {
      if (code) before.connection.offer(code);
      return;
    }
    const next = uid && connect(uid, code);
    watching.value = next;
    next?.connection.start();
    before?.connection.stop();
  };

  /** Opens what the address says behind its `#`; a code leaves the address bar and the history before anything else. */
  const route = () => {
    const label = readLabel(location.hash === START ? '' : location.hash);
    if (location.hash.includes('.')) history.replaceState(history.state, '', `#${label.uid ?? label.typed}`);
    typed.value = label.uid ? '' : label.typed;
    show(label.uid, label.code);
  };

  /** As if the address had been opened, but a code never gets into it. */
  const open = (uid: Uid, code: SetupCode | undefined) => {
    history.pushState(null, '', `#${uid}`);
    show(uid, code);
  };

  const App = () => {
    const camera = watching.value;
    if (camera) return <CameraPage key={camera.uid} {...camera} self={self.value} />;
    if (!self.value) return null;
    return <StartPage key={typed.value} self={self.value} post={broker} typed={typed.value} open={open} />;
  };

  route();
  render(<App />, document.getElementById('app')!);

  addEventListener('hashchange', route);
  addEventListener('popstate', route);
  addEventListener('online', () => watching.value?.connection.hurry());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) watching.value?.connection.hurry();
  });
  // Also the way into the back/forward cache, from which the page returns as it was.
  addEventListener('pagehide', () => watching.value?.connection.stop());
  addEventListener('pageshow', (event) => {
    if (event.persisted) watching.value?.connection.start();
  });
}

async function fetchConfig(): Promise<ViewerConfig> {
  const response = await fetch('config.json');
  if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
  return parseJsonAs(viewerConfigSchema, await response.text(), 'config.json', MAX_CONFIG);
}

function explainInsecure(): void {
  const secure = new URL(location.href);
  secure.protocol = 'https:';
  // A port of its own belongs to the plain server.
  secure.port = '';
  const { uid } = readLabel(location.hash);
  if (location.hash.includes('.')) history.replaceState(null, '', uid ? `#${uid}` : location.pathname);
  document.documentElement.dataset.state = 'insecure';
  render(<InsecurePage address={secure.href} />, document.getElementById('app')!);
}
