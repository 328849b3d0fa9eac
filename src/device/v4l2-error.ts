import type { DeviceError } from 'v4l2camera';
import { AppError, errorText } from '#lib/error.ts';

interface Wording {
  readonly code: string;
  readonly advice: string;
  readonly retry: boolean;
}

const wordings: Record<string, Wording> = {
  ENODEV: { code: 'source.unplugged', advice: 'The camera is gone; plug it in again.', retry: true },
  ENXIO: { code: 'source.unplugged', advice: 'The camera is gone; plug it in again.', retry: true },
  ENOENT: {
    code: 'source.device-missing',
    advice: 'There is no such device; plug the camera in, or set another source (`ls /dev/video*`).',
    retry: true,
  },
  EACCES: {
    code: 'source.no-permission',
    advice: 'This user may not open it; add the user to the group `video`.',
    retry: true,
  },
  EBUSY: {
    code: 'source.busy',
    advice: 'Another program uses the camera; end that program (`fuser -v /dev/video*`).',
    retry: true,
  },
  EIO: { code: 'source.io', advice: 'The driver reports a hardware error; it is started again.', retry: true },
  ESTALLED: {
    code: 'source.stalled',
    advice: 'The camera or its encoder is stuck; it is started again.',
    retry: true,
  },
  ENOTTY: { code: 'source.not-a-camera', advice: 'This is no Video4Linux2 device; set another source.', retry: false },
};

/** A V4L2 failure in words for people; an AppError stays as it is. */
export function v4l2Error(spec: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  const { code } = error as Partial<DeviceError>;
  // Says itself what to install.
  if (code === 'ADDON_MISSING') return new AppError('source.addon-missing', errorText(error), { cause: error });
  const wording = wordings[code ?? ''];
  const advice = wording?.advice ?? 'The driver refused; see the kernel log (`dmesg`).';
  return new AppError(wording?.code ?? 'source.failed', `${spec}: ${errorText(error)}. ${advice}`, {
    cause: error,
    retry: wording?.retry ?? true,
  });
}
