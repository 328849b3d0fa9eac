const PATHS = {
  camera:
    'M4 8.5A2.5 2.5 0 0 1 6.5 6h11A2.5 2.5 0 0 1 20 8.5v7a2.5 2.5 0 0 1-2.5 2.5h-11A2.5 2.5 0 0 1 4 15.5zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
  scan: 'M4 8V6a2 2 0 0 1 2-2h2M16 4h2a2 2 0 0 1 2 2v2M20 16v2a2 2 0 0 1-2 2h-2M8 20H6a2 2 0 0 1-2-2v-2M8 9h3v3H8zM14 9h2M14 12v3M16 15h-1M8 15h3',
  arrow: 'M5 12h14M13 6l6 6-6 6',
  tick: 'M5 12.5l4.5 4.5L19 7.5',
  close: 'M6 6l12 12M18 6L6 18',
  expand: 'M9 4H4v5M15 4h5v5M20 15v5h-5M4 15v5h5',
  shrink: 'M4 9h5V4M20 9h-5V4M15 20v-5h5M9 20v-5H4',
  inset:
    'M3.5 6.5A1.5 1.5 0 0 1 5 5h14a1.5 1.5 0 0 1 1.5 1.5v11A1.5 1.5 0 0 1 19 19H5a1.5 1.5 0 0 1-1.5-1.5zM12 12h5.5v4H12z',
  details: 'M4 7h9M17 7h3M4 12h3M11 12h9M4 17h9M17 17h3M15 5v4M9 10v4M15 15v4',
  offline:
    'M3 3l18 18M8.6 16.4a4.8 4.8 0 0 1 6.8 0M5.2 13a9.6 9.6 0 0 1 5.2-2.7M18.8 13a9.6 9.6 0 0 0-2.6-1.8M2 9.4a14 14 0 0 1 4.3-2.8M22 9.4A14 14 0 0 0 10.7 5.5M12 20h.01',
  unknown: 'M9.2 9.2a2.8 2.8 0 1 1 4.1 2.5c-.9.5-1.3 1-1.3 2M12 17h.01M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z',
  warning:
    'M12 9v4M12 16.5h.01M10.6 4.4 3.1 17.2A1.6 1.6 0 0 0 4.5 19.6h15a1.6 1.6 0 0 0 1.4-2.4L13.4 4.4a1.6 1.6 0 0 0-2.8 0z',
  clock: 'M12 7.5V12l3 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z',
  hand: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM6.2 6.2l11.6 11.6',
  cloud: 'M7.5 18a4 4 0 0 1-.6-7.95A5.5 5.5 0 0 1 17.4 9.1 4.5 4.5 0 0 1 16.5 18zM10.5 12l3 3M13.5 12l-3 3',
  play: 'M8 5.5v13l10.5-6.5z',
} as const;

export type IconName = keyof typeof PATHS;

/** A line drawing of 24 by 24 units in the colour of the text; it says nothing to a screen reader. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
