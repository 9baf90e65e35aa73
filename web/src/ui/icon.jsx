// SPDX-License-Identifier: Apache-2.0
// Line icons on a 24-unit grid. They decorate words and are hidden from screen readers.
const PATHS = {
  home: 'M4 11l8-7 8 7v9h-5v-6H9v6H4z',
  plus: 'M12 5v14M5 12h14',
  screen: 'M3 5h18v11H3zM9 20h6M12 16v4',
  terminal: 'M3 5h18v14H3zM7 10l3 2.5L7 15M12 15h5',
  image: 'M12 3l9 5-9 5-9-5zM3 12l9 5 9-5M3 16l9 5 9-5',
  users: 'M9 11a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM2.5 20c.5-4 3-6 6.5-6s6 2 6.5 6M16 4.500a3.5 3.5 0 010 6M18 14.500c2 .7 3.2 2.5 3.5 5.5',
  user: 'M12 11a4 4 0 100-8 4 4 0 000 8zM4.5 21c.6-4.5 3.5-7 7.5-7s6.9 2.5 7.5 7',
  space: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  activity: 'M3 12h4l3-8 4 16 3-8h4',
  server: 'M4 4h16v7H4zM4 13h16v7H4zM7.5 7.500h.01M7.5 16.500h.01',
  play: 'M7 4.500l12 7.5-12 7.500z',
  stop: 'M6 6h12v12H6z',
  pause: 'M8 5v14M16 5v14',
  restart: 'M4 12a8 8 0 108-8c-2.5 0-4.5 1-6 2.700L4 8.500M4 4v4.500h4.5',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  more: 'M5.5 12a.6.6 0 101.2 0 .6.6 0 10-1.2 0M11.4 12a.6.6 0 101.2 0 .6.6 0 10-1.2 0M17.3 12a.6.6 0 101.2 0 .6.6 0 10-1.2 0',
  search: 'M11 18a7 7 0 100-14 7 7 0 000 14zM16 16l5 5',
  gear: 'M12 15.500a3.5 3.5 0 100-7 3.5 3.5 0 000 7zM12 2.500v3M12 18.500v3M2.5 12h3M18.5 12h3M5.3 5.300l2.1 2.100M16.6 16.600l2.1 2.100M5.3 18.700l2.1-2.100M16.6 7.400l2.1-2.1',
  files: 'M3 6h7l2 2.500h9V19H3z',
  file: 'M6 3h8l4 4v14H6zM14 3v4h4',
  upload: 'M12 16V4M7 9l5-5 5 5M4 16v4h16v-4',
  download: 'M12 4v12M7 11l5 5 5-5M4 16v4h16v-4',
  clipboard: 'M8 5H5v16h14V5h-3M8 3h8v4H8z',
  keyboard: 'M2.5 6h19v12h-19zM6 10h.01M10 10h.01M14 10h.01M18 10h.01M7 14h10',
  expand: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  fit: 'M3 5h18v14H3zM8 9v6h8V9z',
  quality: 'M4 18V12M9.3 18V9M14.7 18V6M20 18V3',
  close: 'M5 5l14 14M19 5L5 19',
  check: 'M4 12.500l5.5 5.500L20 6.5',
  warn: 'M12 3.500L22 20.500H2zM12 10v5M12 17.700h.01',
  info: 'M12 21a9 9 0 100-18 9 9 0 000 18zM12 11v6M12 7.500h.01',
  lock: 'M5 11h14v10H5zM8 11V8a4 4 0 018 0v3',
  key: 'M8 16a4 4 0 110-8 4 4 0 010 8zM12 12h9v4M17 12v3',
  network: 'M9 3h6v5H9zM3 16h6v5H3zM15 16h6v5h-6zM12 8v4M6 16v-4h12v4',
  list: 'M4 6h16M4 12h16M4 18h16',
  chart: 'M4 20V4M4 20h16M8 15l4-5 3 3 5-7',
  clock: 'M12 21a9 9 0 100-18 9 9 0 000 18zM12 7v5l3.5 2',
  out: 'M10 4H4v16h6M9 12h12M17 8l4 4-4 4',
  left: 'M14.5 5l-7 7 7 7',
  right: 'M9.5 5l7 7-7 7',
  down: 'M5 9l7 7 7-7',
  copy: 'M8 8h12v12H8zM4 16V4h12',
  edit: 'M4 20l1-5L16 4l4 4L9 19zM13.5 6.500l4 4',
  folder: 'M3 6h7l2 2.500h9V19H3z',
  link: 'M10 14a4.5 4.5 0 006.5 0l3-3a4.5 4.5 0 00-6.4-6.400L12 5.700M14 10a4.5 4.5 0 00-6.5 0l-3 3a4.5 4.5 0 006.4 6.400l1.1-1.1',
  moon: 'M20 14.500A8.500 8.500 0 119.500 4 6.700 6.700 0 0020 14.500z',
  chip: 'M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4',
  disc: 'M12 21a9 9 0 100-18 9 9 0 000 18zM12 14.500a2.500 2.500 0 100-5 2.500 2.500 0 000 5z',
  disk: 'M4 6c0-4 16-4 16 0v12c0 4-16 4-16 0zM4 6c0 4 16 4 16 0M4 12c0 4 16 4 16 0',
};

export function Icon({ name, size = 18, className = '' }) {
  return (
    <svg class={`icon ${className}`} width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor"
      stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? PATHS.info} />
    </svg>
  );
}

/** The mark: a doorway in a frame, the way to a computer elsewhere. */
export function Mark({ size = 28 }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect x="1" y="1" width="30" height="30" rx="9" fill="var(--accent)" />
      <path d="M9.5 25V14.500a6.5 6.5 0 0113 0V25" fill="none" stroke="var(--on-accent)" stroke-width="3" stroke-linecap="round" />
      <circle cx="16" cy="17.5" r="2.4" fill="var(--on-accent)" />
    </svg>
  );
}
