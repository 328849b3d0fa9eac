import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import encodeQR from 'qr';
import type { Invited } from '#protocol/access.ts';
import { labelAddress } from '#protocol/label.ts';
import type { Uid } from '#protocol/uid.ts';
import { words } from '../words.ts';

interface InvitationLinkProps {
  readonly uid: Uid;
  readonly camera: string;
  readonly invited: Invited;
  readonly transfer: boolean;
  readonly done: () => void;
}

/** The invitation itself, to be scanned, copied or sent. It is shown this once and kept nowhere. */
export function InvitationLink({ uid, camera, invited, transfer, done }: InvitationLinkProps) {
  const copied = useSignal(false);
  const address = labelAddress(location.origin + location.pathname, uid, invited.code);
  const until = words.moment(invited.expiresAt, Date.now());
  const copy = async () => {
    await navigator.clipboard.writeText(address);
    copied.value = true;
  };
  const share = () => {
    // Closing the system's own sheet is no failure.
    navigator.share({ title: words.invite.shareTitle(camera), url: address }).catch(() => {});
  };
  return (
    <div class="panel-form">
      <p class="lead">{transfer ? words.invite.transferReadyText(until) : words.invite.readyText(until)}</p>
      <QrCode text={address} />
      <input
        class="text-field link"
        readOnly
        value={address}
        aria-label={words.invite.ready}
        onFocus={(event) => event.currentTarget.select()}
      />
      {'share' in navigator && (
        <button type="button" class="button primary wide" onClick={share}>
          {words.invite.share}
        </button>
      )}
      <button
        type="button"
        class={'share' in navigator ? 'button wide' : 'button primary wide'}
        onClick={() => void copy()}
      >
        {copied.value ? words.invite.copied : words.invite.copy}
      </button>
      <button type="button" class="button wide" onClick={done}>
        {words.invite.done}
      </button>
    </div>
  );
}

/** Drawn by hand of the modules: the page's security policy is the same for everybody's markup. */
function QrCode({ text }: { readonly text: string }) {
  const { size, path } = useMemo(() => {
    const modules = encodeQR(text, 'raw', { border: 4 });
    const dark = modules.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : [])));
    return { size: modules.length, path: dark.join('') };
  }, [text]);
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={words.invite.qr}>
      <path d={path} />
    </svg>
  );
}
