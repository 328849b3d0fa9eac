import type { ConnectionView } from '../connection/connection.ts';
import { START } from '../label.ts';
import { words } from '../words.ts';
import { Icon, type IconName } from './icon.tsx';

interface ProblemWords {
  readonly icon: IconName;
  readonly heading: string;
  readonly text: string;
  /** The camera's or the program's own words, when they help. */
  readonly cause?: string | undefined;
}

/** What stands in the way of the picture, in words, or undefined while nothing does. */
export function problemOf(view: ConnectionView<unknown>, now: number, deviceOnline: boolean): ProblemWords | undefined {
  const { phase, status, refusal, source } = view;
  switch (phase) {
    case 'offline': {
      const since = status?.since === undefined ? undefined : words.moment(status.since, now);
      return { icon: 'offline', heading: words.problem.offline.heading(since), text: words.problem.offline.text };
    }
    case 'leaving': {
      const backBy = status?.backBy !== undefined && status.backBy > now ? words.moment(status.backBy, now) : undefined;
      const { heading, text } = words.problem.leaving;
      return { icon: 'clock', heading: heading(status?.reason), text: text(backBy) };
    }
    case 'unknown':
      return { icon: 'unknown', ...words.problem.unknown };
    case 'source-down':
      return { icon: 'warning', ...words.problem['source-down'], cause: source?.message };
    case 'refused': {
      const again = refusal?.retry ? words.problem.refused.again : '';
      return { icon: 'hand', heading: words.problem.refused.heading, text: again, cause: refusal?.message };
    }
    case 'server-unreachable':
      if (!deviceOnline) return { icon: 'cloud', ...words.problem['device-offline'] };
      return { icon: 'cloud', ...words.problem['server-unreachable'], cause: view.serverProblem };
    case 'unsupported':
      return { icon: 'warning', ...words.problem.unsupported };
    default:
      return undefined;
  }
}

/** A problem on the stage, and what a person can do about it. */
export function Problem({
  problem,
  retry,
}: {
  readonly problem: ProblemWords;
  readonly retry: (() => void) | undefined;
}) {
  return (
    <section class="problem">
      <span class="problem-icon">
        <Icon name={problem.icon} />
      </span>
      <h2>{problem.heading}</h2>
      {problem.cause && <p class="cause">{problem.cause}</p>}
      {problem.text && <p>{problem.text}</p>}
      <p class="actions">
        {retry && (
          <button type="button" class="button primary" onClick={retry}>
            {words.tryAgain}
          </button>
        )}
        <a class="button" href={START}>
          {words.otherCamera}
        </a>
      </p>
    </section>
  );
}
