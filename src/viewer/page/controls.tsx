import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

interface ControlsProps {
  /** The element that fills the screen. */
  readonly stage: () => HTMLElement | null;
  readonly detailsOpen: boolean;
  readonly toggleDetails: () => void;
}

/** What a person can do with the picture. */
export function Controls({ stage, detailsOpen, toggleDetails }: ControlsProps) {
  const full = useSignal(false);
  useEffect(() => {
    const changed = () => {
      full.value = document.fullscreenElement !== null;
    };
    document.addEventListener('fullscreenchange', changed);
    return () => document.removeEventListener('fullscreenchange', changed);
  }, []);
  const picture = () => document.querySelector<HTMLVideoElement & { webkitEnterFullscreen?(): void }>('#picture');

  const toggleFull = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (document.fullscreenEnabled) void stage()?.requestFullscreen();
    // An iPhone shows nothing but video elements in full screen.
    else picture()?.webkitEnterFullscreen?.();
  };
  const toggleInset = () => {
    if (document.pictureInPictureElement) void document.exitPictureInPicture();
    else
      picture()
        ?.requestPictureInPicture()
        .catch(() => {});
  };

  return (
    <div class="controls" role="toolbar" aria-label={words.controls.label}>
      <button
        type="button"
        class="round"
        aria-expanded={detailsOpen}
        aria-controls="details"
        onClick={toggleDetails}
        title={words.controls.details}
      >
        <Icon name="details" />
        <span class="unseen">{words.controls.details}</span>
      </button>
      {document.pictureInPictureEnabled && (
        <button type="button" class="round" onClick={toggleInset} title={words.controls.pictureInPicture}>
          <Icon name="inset" />
          <span class="unseen">{words.controls.pictureInPicture}</span>
        </button>
      )}
      <button
        type="button"
        class="round"
        onClick={toggleFull}
        title={full.value ? words.controls.leaveFullScreen : words.controls.fullScreen}
      >
        <Icon name={full.value ? 'shrink' : 'expand'} />
        <span class="unseen">{full.value ? words.controls.leaveFullScreen : words.controls.fullScreen}</span>
      </button>
    </div>
  );
}
