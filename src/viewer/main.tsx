import { signal } from '@preact/signals';
import { render } from 'preact';
import { plainEnvelope } from '#identity/envelope.ts';
import { parseJsonAs } from '#protocol/parse.ts';
import type { Uid } from '#protocol/uid.ts';
import { type ViewerConfig, viewerConfigSchema } from '#protocol/viewer-config.ts';
import { randomName } from './connection/address.ts';
import { Connection } from './connection/connection.ts';
import { BrowserPeer, browserCanPlay } from './connection/peer.ts';
import { MqttSignalling } from './connection/signalling.ts';
import { browserTimer } from './connection/timer.ts';
import { readLabel, START } from './label.ts';
import { CameraPage } from './page/camera-page.tsx';
import { StartPage } from './page/start-page.tsx';
import { words } from './words.ts';

interface Watching {
  readonly uid: Uid;
  readonly connection: Connection<MediaStream>;
}

const MAX_CONFIG = 64 * 1024;
const watching = signal<Watching | undefined>(undefined);
const typed = signal('');

/** Opens what the address says behind its `#`; the setup code there is for the camera alone and stays unread. */
function route(): void {
  const label = readLabel(location.hash === START ? '' : location.hash);
  if (watching.value?.uid === label.uid && label.uid) return;
  watching.value?.connection.stop();
  typed.value = label.typed;
  watching.value = label.uid && { uid: label.uid, connection: connect(label.uid) };
  watching.value?.connection.start();
  if (watching.value) return;
  document.title = words.product;
  document.documentElement.dataset.state = 'start';
  delete document.documentElement.dataset.path;
}

function connect(uid: Uid): Connection<MediaStream> {
  const self = randomName(32);
  const envelope = plainEnvelope(self);
  return new Connection<MediaStream>({
    timer: browserTimer,
    supported: browserCanPlay(),
    signalling: new MqttSignalling({ uid, self, envelope, page: location.href }),
    loadConfig,
    makePeer: (events) => new BrowserPeer(events),
    hidden: () => document.hidden,
  });
}

async function loadConfig(): Promise<ViewerConfig> {
  const response = await fetch('config.json');
  if (!response.ok) throw new Error(`config.json: HTTP ${response.status}`);
  return parseJsonAs(viewerConfigSchema, await response.text(), 'config.json', MAX_CONFIG);
}

function App() {
  const camera = watching.value;
  if (camera) return <CameraPage key={camera.uid} {...camera} />;
  return (
    <StartPage
      key={typed.value}
      typed={typed.value}
      open={(fragment) => {
        location.hash = fragment;
      }}
    />
  );
}

route();
render(<App />, document.getElementById('app')!);

addEventListener('hashchange', route);
addEventListener('online', () => watching.value?.connection.hurry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) watching.value?.connection.hurry();
});
// Also the way into the back/forward cache, from which the page returns as it was.
addEventListener('pagehide', () => watching.value?.connection.stop());
addEventListener('pageshow', (event) => {
  if (event.persisted) watching.value?.connection.start();
});
