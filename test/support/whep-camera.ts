import { type CameraProgram, startCamera, startServer, temporaryFolder } from './product.ts';
import type { WhepTarget } from './whep-viewer.ts';

/** A server and a camera with WHEP on, as their users run them. */
export interface WhepCamera {
  readonly camera: CameraProgram;
  readonly target: WhepTarget;
  /** Ends both; rejects when one ends badly. */
  stop(): Promise<void>;
}

/** @param purpose a word for the camera's state folder */
export async function startWhepCamera(purpose: string): Promise<WhepCamera> {
  const token = 'a-token-for-the-test';
  const folder = await temporaryFolder(purpose);
  const server = await startServer();
  const camera = await startCamera({ server: server.mqttUrl, folder: folder.path, whepToken: token });
  return {
    camera,
    target: { url: camera.whepUrl!, token },
    async stop() {
      await camera.stop();
      await server.stop();
      await folder.remove();
    },
  };
}
