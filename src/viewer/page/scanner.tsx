import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { SetupCode } from '#protocol/setup-code.ts';
import type { Uid } from '#protocol/uid.ts';
import { readLabel } from '../label.ts';
import { words } from '../words.ts';
import { createCodeReader } from './code-reader.ts';
import { Icon } from './icon.tsx';

const LOOK_EVERY_MS = 120;

interface ScannerProps {
  readonly found: (uid: Uid, code: SetupCode | undefined) => void;
  readonly close: () => void;
}

/** Shows what this device's camera sees until a label of ours is in it. */
export function Scanner({ found, close }: ScannerProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const message = useSignal<string>(words.scanner.starting);
  const failed = useSignal(false);

  useEffect(() => {
    dialog.current?.showModal();
    const ending = new AbortController();
    scan(video.current!, ending.signal, (text) => {
      const { uid, code } = readLabel(text);
      if (uid) found(uid, code);
      else message.value = words.scanner.notOurs;
      return uid !== undefined;
    })
      .then((started) => {
        if (started) message.value = words.scanner.hint;
      })
      .catch((error: unknown) => {
        failed.value = true;
        message.value = explain(error);
      });
    return () => ending.abort();
  }, []);

  return (
    <dialog ref={dialog} class="scanner" aria-labelledby="scanner-heading" onClose={close}>
      <header>
        <h2 id="scanner-heading">{words.scanner.heading}</h2>
        <button type="button" class="round" onClick={() => dialog.current?.close()} aria-label={words.scanner.close}>
          <Icon name="close" />
        </button>
      </header>
      <div class={failed.value ? 'viewfinder failed' : 'viewfinder'}>
        <video ref={video} muted playsInline />
      </div>
      <p role="status">{message}</p>
    </dialog>
  );
}

/** Resolves when the camera runs; then looks until `take` is content or the signal aborts. */
async function scan(video: HTMLVideoElement, signal: AbortSignal, take: (text: string) => boolean): Promise<boolean> {
  if (!navigator.mediaDevices) throw new DOMException('', 'SecurityError');
  const [media, read] = await Promise.all([
    navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1280 } } }),
    createCodeReader(),
  ]);
  const stop = () => {
    for (const track of media.getTracks()) track.stop();
  };
  signal.addEventListener('abort', stop);
  if (signal.aborted) {
    stop();
    return false;
  }
  video.srcObject = media;
  await video.play();
  const look = async () => {
    const text = await read(video).catch(() => undefined);
    if (signal.aborted || (text !== undefined && take(text))) return;
    setTimeout(look, LOOK_EVERY_MS);
  };
  void look();
  return true;
}

function explain(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'SecurityError') return words.scanner.insecure;
  if (name === 'NotAllowedError') return words.scanner.denied;
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return words.scanner.noCamera;
  return words.scanner.failed(error instanceof Error ? error.message : String(error));
}
