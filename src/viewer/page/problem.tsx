import type { SetupCode } from '#protocol/setup-code.ts';
import type { ConnectionView } from '../connection/connection.ts';
import { START } from '../label.ts';
import { words } from '../words.ts';
import { CodeForm } from './code-form.tsx';
import { Icon, type IconName } from './icon.tsx';
import { refusalText } from './spare-code.tsx';

interface ProblemWords {
  readonly icon: IconName;
  readonly heading: string;
  readonly text: string;
  /** The camera's or the program's own words, when they help. */
  readonly cause?: string | undefined;
  /** What it may be, and what to do about each. */
  readonly reasons?: readonly (readonly [string, string])[];
  /** Whether a code may help: first thing to do, or one of several. */
  readonly code?: 'first' | 'also';
  /** Nothing is wrong. */
  readonly calm?: boolean;
}

/** What stands in the way of the picture, in words, or undefined while nothing does. */
export function problemOf(view: ConnectionView<unknown>, now: number, deviceOnline: boolean): ProblemWords | undefined {
  const { phase, status, refusal, source, admission } = view;
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
    case 'code-needed':
      return { icon: 'key', ...words.problem['code-needed'], code: 'first', calm: true };
    case 'silent':
      return { icon: 'unknown', ...words.problem.silent, code: 'also' };
    case 'pairing-refused': {
      const { heading } = words.problem['pairing-refused'];
      const text = admission.state === 'refused' ? refusalText(admission.refusal) : '';
      return { icon: 'hand', heading, text, code: 'also' };
    }
    case 'no-access':
      return { icon: 'hand', ...words.problem['no-access'], code: 'also' };
    case 'forged':
      return { icon: 'warning', ...words.problem.forged };
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

interface ProblemProps {
  readonly problem: ProblemWords;
  readonly submitCode: (code: SetupCode) => void;
  readonly retry: (() => void) | undefined;
}

/** A problem on the stage, and what a person can do about it. */
export function Problem({ problem, submitCode, retry }: ProblemProps) {
  const { reasons, code } = problem;
  return (
    <section class="problem">
      <span class={problem.calm ? 'problem-icon calm' : 'problem-icon'}>
        <Icon name={problem.icon} />
      </span>
      <h2>{problem.heading}</h2>
      {problem.cause && <p class="cause">{problem.cause}</p>}
      {problem.text && <p>{problem.text}</p>}
      {reasons && (
        <ul class="reasons">
          {reasons.map(([what, remedy]) => (
            <li key={what}>
              <strong>{what}</strong> {remedy}
            </li>
          ))}
        </ul>
      )}
      {code === 'first' && <CodeForm submit={submitCode} />}
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
      {code === 'also' && (
        <details class="other-code">
          <summary>{words.code.other}</summary>
          <CodeForm submit={submitCode} />
        </details>
      )}
    </section>
  );
}
