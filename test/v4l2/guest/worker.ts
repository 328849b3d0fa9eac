import { parentPort, workerData } from 'node:worker_threads';
import { Camera } from 'v4l2camera';

const camera = new Camera((workerData as { path: string }).path).open();
let frames = 0;
camera.on('frame', () => {
  frames++;
  if (frames === 3) parentPort!.postMessage('streaming');
});
camera.start();
