import type { Camera, DeviceError, Encoder, Frame } from 'v4l2camera';

const LIMIT_MS = 30_000;

/** The next `count` frames; rejects on an error event, or when they take too long. */
export function nextFrames(device: Camera | Encoder, count: number, each?: (frame: Frame) => void): Promise<Frame[]> {
  return new Promise((resolve, reject) => {
    const frames: Frame[] = [];
    const onFrame = (frame: Frame) => {
      frames.push(frame);
      each?.(frame);
      if (frames.length === count) finish(() => resolve(frames));
    };
    const onError = (error: DeviceError) => finish(() => reject(error));
    const timer = setTimeout(
      () => finish(() => reject(new Error(`${frames.length} of ${count} frames in ${LIMIT_MS} ms`))),
      LIMIT_MS,
    );
    function finish(settle: () => void): void {
      clearTimeout(timer);
      device.off('frame', onFrame);
      device.off('error', onError);
      settle();
    }
    device.on('frame', onFrame);
    device.on('error', onError);
  });
}

/** The next error event and how long it took, ms. */
export function nextError(device: Camera | Encoder): Promise<{ code: string; afterMs: number }> {
  const since = performance.now();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no error event in ${LIMIT_MS} ms`)), LIMIT_MS);
    device.once('error', ({ code }) => {
      clearTimeout(timer);
      resolve({ code, afterMs: performance.now() - since });
    });
  });
}
