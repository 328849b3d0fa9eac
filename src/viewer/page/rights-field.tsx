import type { Signal } from '@preact/signals';
import { RIGHTS, type Right } from '#protocol/rights.ts';
import { words } from '../words.ts';

interface RightsFieldProps {
  readonly legend: string;
  readonly rights: Signal<readonly Right[]>;
}

/** What somebody may, each with its meaning. To watch is part of everything; an owner may all of it. */
export function RightsField({ legend, rights }: RightsFieldProps) {
  const owner = rights.value.includes('owner');
  const toggle = (right: Right) => {
    const chosen = new Set(rights.value);
    if (!chosen.delete(right)) chosen.add(right);
    rights.value = RIGHTS.filter((one) => one === 'view' || chosen.has(one));
  };
  return (
    <fieldset class="rights">
      <legend>{legend}</legend>
      {RIGHTS.map((right) => (
        <label key={right}>
          <input
            type="checkbox"
            checked={owner || rights.value.includes(right)}
            disabled={right === 'view' || (owner && right !== 'owner')}
            onChange={() => toggle(right)}
          />
          <span>
            {words.right[right]}
            <small>{words.rightMeaning[right]}</small>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
