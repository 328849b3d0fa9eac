import { words } from '../words.ts';

/** The mark and the name. */
export function Brand() {
  return (
    <span class="brand">
      <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
        <rect class="mark-ground" width="32" height="32" rx="9" />
        <circle class="mark-lens" cx="16" cy="16" r="7.5" />
        <circle class="mark-live" cx="16" cy="16" r="3" />
      </svg>
      {words.product}
    </span>
  );
}
