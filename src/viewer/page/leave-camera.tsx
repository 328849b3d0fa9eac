import { useSignal } from '@preact/signals';
import * as v from 'valibot';
import type { Uid } from '#protocol/uid.ts';
import type { Connection } from '../connection/connection.ts';
import { CameraError } from '../connection/control-client.ts';
import { START } from '../label.ts';
import type { Self } from '../memory/self.ts';
import { words } from '../words.ts';
import { Confirm } from './confirm.tsx';

const OUT_WITHIN_MS = 6000;

interface LeaveCameraProps {
  readonly uid: Uid;
  readonly name: string;
  readonly self: Self;
  readonly connection: Connection<MediaStream>;
}

/** Everybody may leave: the camera takes this browser off its list, and this browser forgets the camera. */
export function LeaveCamera({ uid, name, self, connection }: LeaveCameraProps) {
  const asking = useSignal(false);
  const problem = useSignal<string | undefined>(undefined);
  const leave = async () => {
    const out = isOut(connection);
    try {
      await connection.request('access.revoke', v.unknown(), { thumbprint: self.key.thumbprint });
    } catch (error) {
      // The camera ends the session at once, and its answer with it; the goodbye it sends says why.
      if (error instanceof CameraError || !(await out)) {
        problem.value = words.people.failed(error instanceof Error ? error.message : String(error));
        return;
      }
    }
    self.forget(uid);
    location.hash = START;
  };
  return (
    <p class="panel-links">
      {problem.value && (
        <span class="wrong" role="alert">
          {problem.value}
        </span>
      )}
      <button type="button" class="button wide" onClick={() => (asking.value = true)}>
        {words.forget.leave}
      </button>
      {asking.value && (
        <Confirm
          heading={words.forget.leaveHeading(name)}
          text={words.forget.leaveText}
          verb={words.forget.leave}
          run={() => void leave()}
          close={() => (asking.value = false)}
        />
      )}
    </p>
  );
}

/** Whether the camera says within a few seconds that this viewer is off its list. */
function isOut(connection: Connection<MediaStream>): Promise<boolean> {
  return new Promise((resolve) => {
    const limit = setTimeout(() => settle(false), OUT_WITHIN_MS);
    const unsubscribe = connection.view.subscribe(({ admission }) => {
      if (admission.state === 'out') settle(true);
    });
    const settle = (out: boolean) => {
      clearTimeout(limit);
      resolve(out);
      // Not from within its own first call.
      queueMicrotask(() => unsubscribe());
    };
  });
}
