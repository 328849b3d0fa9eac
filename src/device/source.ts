import { type Clock, systemClock } from '#lib/clock.ts';
import { AppError } from '#lib/error.ts';
import type { Logger } from '#lib/logger.ts';
import type { VideoSource } from '#media/video-source.ts';
import { CommandSource } from './command-source.ts';
import { FileSource } from './file-source.ts';
import { withoutPasswords } from './redact.ts';
import { createPatternSource } from './sim/pattern-source.ts';
import { V4l2Source } from './v4l2-source.ts';

/**
 * The source of a specification: `v4l2:/dev/video0?width=1280…`, `command:PROGRAM ARGS…`, `file:/path.h264?fps=30` or
 * `pattern`. Throws AppError `source.bad-spec`; whether the device or file is there shows at its start.
 * @param options.patternClip where the pattern's clip lies: beside the bundle, or in the source tree
 */
export function createSource(options: {
  readonly spec: string;
  readonly patternClip: string;
  readonly log: Logger;
  readonly clock?: Clock;
}): VideoSource {
  const { patternClip, log, clock = systemClock } = options;
  const spec = options.spec.trim();
  if (spec === 'pattern') return createPatternSource({ clip: patternClip, clock });
  if (spec.startsWith('v4l2:')) return new V4l2Source({ spec });
  if (spec.startsWith('command:')) return new CommandSource({ spec, clock, log });
  if (spec.startsWith('file:')) return new FileSource({ spec, ...parseFileSpec(spec), clock });
  throw new AppError(
    'source.bad-spec',
    `The source "${withoutPasswords(spec)}" is of no known kind. ` +
      'Known are v4l2:/dev/video0, command:PROGRAM ARGS, file:/path.h264 and pattern.',
  );
}

/** @returns path (absolute) and, from `?fps=`, frames per second */
function parseFileSpec(spec: string): { path: string; fps?: number } {
  const [, path = '', query] = /^file:(?:\/\/(?=\/))?([^?]*)(?:\?(.*))?$/s.exec(spec) ?? [];
  if (!path.startsWith('/')) throw badFileSpec(spec, 'the path must be absolute');
  const { fps, ...others } = Object.fromEntries(new URLSearchParams(query));
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) throw badFileSpec(spec, `the only option is fps, not ${unknown}`);
  if (fps === undefined) return { path };
  const rate = Number(fps);
  if (!/^\d+(\.\d+)?$/.test(fps) || rate < 0.5 || rate > 240) {
    throw badFileSpec(spec, `fps is "${fps}", but must be a number from 0.5 to 240`);
  }
  return { path, fps: rate };
}

function badFileSpec(spec: string, why: string): AppError {
  return new AppError(
    'source.bad-spec',
    `The source "${spec}" cannot be used: ${why}. Example: file:/var/lib/peercam/clip.h264?fps=30`,
  );
}
