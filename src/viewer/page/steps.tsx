import type { StepView } from '../connection/connection.ts';
import { words } from '../words.ts';
import { Icon } from './icon.tsx';

/** The steps of connecting, each with a tick, a spinner or an empty ring, and how long it took. */
export function Steps({ steps }: { readonly steps: readonly StepView[] }) {
  return (
    <ol class="steps" aria-label={words.stepsLabel}>
      {steps.map(({ name, state, ms }) => (
        <li key={name} class={state} aria-current={state === 'current' ? 'step' : undefined}>
          <span class="step-mark">{state === 'done' && <Icon name="tick" />}</span>
          <span>
            {words.steps[name][state]}
            <span class="unseen">, {words.stepState[state]}</span>
          </span>
          {ms !== undefined && <span class="step-time">{words.unit.wholeMs(ms)}</span>}
        </li>
      ))}
    </ol>
  );
}
