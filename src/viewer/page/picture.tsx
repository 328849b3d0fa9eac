import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

/** What `requestVideoFrameCallback` tells of a frame; `rtpTimestamp` only of one that came over WebRTC. */
interface FrameMetadata {
  readonly expectedDisplayTime: number;
  readonly rtpTimestamp?: number;
}

type FrameVideo = HTMLVideoElement & {
  requestVideoFrameCallback?(run: (now: number, metadata: FrameMetadata) => void): number;
  cancelVideoFrameCallback?(handle: number): void;
};

interface PictureProps {
  readonly stream: MediaStream | undefined;
  readonly label: string;
  readonly shown: (stream: MediaStream, rtp: number | undefined, atMs: number) => void;
}

/** The picture itself; tells of every frame it puts on the screen. */
export function Picture({ stream, label, shown }: PictureProps) {
  const video = useRef<FrameVideo>(null);
  const still = useRef<HTMLCanvasElement>(null);
  const blocked = useSignal(false);

  useEffect(() => {
    const element = video.current!;
    // A video element is empty until its new stream's first picture: the old one's last picture shows through it.
    copyPicture(element, still.current!);
    element.srcObject = stream ?? null;
    if (!stream) return;
    blocked.value = false;
    // Some browsers save power by not even playing silent video until a person touches the page.
    element.play().catch((error: Error) => {
      if (error.name === 'NotAllowedError') blocked.value = true;
    });
    return watchFrames(element, (rtp, atMs) => shown(stream, rtp, atMs));
  }, [stream]);

  return (
    <>
      <canvas ref={still} class="still" />
      <video id="picture" ref={video} aria-label={label} muted autoplay playsInline disableRemotePlayback />
      {blocked.value && (
        <button
          type="button"
          class="button primary play"
          onClick={() => void video.current?.play().then(() => (blocked.value = false))}
        >
          <Icon name="play" />
          {words.controls.play}
        </button>
      )}
    </>
  );
}

function copyPicture(video: HTMLVideoElement, canvas: HTMLCanvasElement): void {
  if (video.videoWidth === 0) return;
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext('2d')?.drawImage(video, 0, 0);
}

/** Calls `shown` for each frame; where the browser tells nothing of frames, once for the first. */
function watchFrames(video: FrameVideo, shown: (rtp: number | undefined, atMs: number) => void): () => void {
  if (!video.requestVideoFrameCallback) {
    const first = () => shown(undefined, performance.now());
    video.addEventListener('loadeddata', first, { once: true });
    return () => video.removeEventListener('loadeddata', first);
  }
  let handle = 0;
  const next = () => {
    handle = video.requestVideoFrameCallback!((_now, metadata) => {
      shown(metadata.rtpTimestamp, metadata.expectedDisplayTime);
      next();
    });
  };
  next();
  return () => video.cancelVideoFrameCallback?.(handle);
}
