// SPDX-License-Identifier: Apache-2.0
// Pictures: an image's drawing (chosen by its name, so that it is the same everywhere), and a desktop's thumbnail.
import { useEffect, useRef, useState } from 'preact/hooks';
import { instancePath } from '../lib/api.js';
import { onSample } from '../lib/live.js';
import { keyOf } from '../lib/state.js';

const HUES = [172, 205, 262, 24, 340, 48, 130, 190];
const hueOf = (name) => {
  let h = 0;
  for (const c of name) h = (h * 31 + c.charCodeAt(0)) >>> 0;
  return HUES[h % HUES.length];
};

/** A drawing for an image: a desktop scene, a terminal, a box for an app, a disc, a disk, a program; its hue from its name. */
export function ImagePicture({ name, desktop, app, format }) {
  const hue = desktop && !(format in SCENES) ? 172 : hueOf(name);
  const c = (s, l) => `hsl(${hue} ${s}% ${l}%)`;
  return (
    <svg class="picture" viewBox="0 0 160 100" preserveAspectRatio="xMidYMid slice" aria-hidden="true" focusable="false">
      <rect width="160" height="100" fill={c(38, 34)} />
      <circle cx="118" cy="34" r="46" fill={c(42, 42)} />
      <path d="M0 78c30-22 52-20 80-6s52 14 80-8v36H0z" fill={c(44, 25)} />
      {(SCENES[format] ?? (desktop ? DesktopScene : app ? AppScene : ShellScene))({ c })}
    </svg>
  );
}

const DesktopScene = ({ c }) => (
  <g>
    <rect x="0" y="0" width="160" height="7" fill={c(30, 14)} />
    <rect x="4" y="2" width="18" height="3" rx="1.5" fill={c(40, 70)} />
    <rect x="134" y="2" width="22" height="3" rx="1.5" fill={c(20, 55)} />
    <rect x="26" y="20" width="74" height="50" rx="4" fill={c(20, 97)} />
    <path d="M26 24a4 4 0 014-4h66a4 4 0 014 4v4H26z" fill={c(25, 82)} />
    <rect x="32" y="34" width="34" height="3.5" rx="1.7" fill={c(35, 60)} />
    <rect x="32" y="41" width="60" height="2.5" rx="1.2" fill={c(14, 80)} />
    <rect x="32" y="46" width="54" height="2.5" rx="1.2" fill={c(14, 80)} />
    <rect x="32" y="51" width="57" height="2.5" rx="1.2" fill={c(14, 80)} />
    <rect x="78" y="42" width="60" height="40" rx="4" fill={c(30, 13)} />
    <path d="M85 52l5 4-5 4M94 60h12" fill="none" stroke={c(60, 72)} stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />
  </g>
);

const ShellScene = ({ c }) => (
  <g>
    <rect x="28" y="20" width="104" height="62" rx="5" fill={c(30, 11)} />
    <path d="M28 25a5 5 0 015-5h94a5 5 0 015 5v4H28z" fill={c(20, 22)} />
    <path d="M38 40l6 5-6 5M50 50h16M38 62h44M38 70h30" fill="none" stroke={c(55, 72)} stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round" />
  </g>
);

const AppScene = ({ c }) => (
  <g fill="none" stroke={c(50, 86)} stroke-width="3" stroke-linejoin="round">
    <path d="M80 20l30 15v32L80 82 50 67V35z" fill={c(36, 22)} />
    <path d="M50 35l30 15 30-15M80 50v32" />
  </g>
);

const DiscScene = ({ c }) => (
  <g>
    <circle cx="80" cy="50" r="34" fill={c(24, 88)} />
    <path d="M80 50L56 26a34 34 0 0148 0zM80 50l24 24a34 34 0 01-48 0z" fill={c(40, 78)} />
    <circle cx="80" cy="50" r="12" fill={c(36, 52)} />
    <circle cx="80" cy="50" r="5" fill={c(30, 14)} />
  </g>
);

const DiskScene = ({ c }) => (
  <g>
    <rect x="44" y="16" width="72" height="68" rx="7" fill={c(18, 84)} />
    <rect x="44" y="62" width="72" height="22" rx="7" fill={c(22, 72)} />
    <circle cx="80" cy="40" r="17" fill="none" stroke={c(34, 46)} stroke-width="3" />
    <circle cx="80" cy="40" r="4" fill={c(34, 46)} />
    <path d="M80 40l12 14" stroke={c(34, 46)} stroke-width="3" stroke-linecap="round" />
    <circle cx="104" cy="73" r="3.500" fill={c(70, 40)} />
  </g>
);

const ProgramScene = ({ c }) => (
  <g>
    <rect x="40" y="20" width="80" height="60" rx="8" fill={c(32, 13)} />
    <path d="M66 36l-14 14 14 14M94 36l14 14-14 14M85 32l-10 36" fill="none" stroke={c(58, 74)} stroke-width="4" stroke-linecap="round" stroke-linejoin="round" />
  </g>
);

const PartScene = ({ c }) => (
  <g fill="none" stroke={c(40, 82)} stroke-width="3" stroke-linejoin="round" stroke-linecap="round">
    <rect x="56" y="26" width="48" height="48" rx="5" fill={c(34, 20)} />
    <rect x="68" y="38" width="24" height="24" rx="3" />
    <path d="M68 26V16M80 26V16M92 26V16M68 84V74M80 84V74M92 84V74M56 38H46M56 50H46M56 62H46M114 38h-10M114 50h-10M114 62h-10" />
  </g>
);

/** Of what is more than a root file system; those are told apart by what is in them. */
const SCENES = { iso: DiscScene, disk: DiskScene, program: ProgramScene, kernel: PartScene };

/**
 * The instance's desktop as it was a few seconds ago. Each sample event of a running instance (they come every few
 * seconds) asks for a new picture, while it is on the screen and the page is looked at; so there is no clock of our own.
 */
export function Thumbnail({ of: i }) {
  const [src, setSrc] = useState(null);
  const box = useRef(null);
  const key = keyOf(i);
  const live = i.desktop && i.state === 'running';
  useEffect(() => {
    if (!live) return undefined;
    let visible = true;
    let last = 0;
    let gone = false;
    let url = null;
    const read = async () => {
      if (gone || !visible || document.hidden || Date.now() - last < 4000) return;
      last = Date.now();
      const res = await fetch(`${instancePath(i)}/thumbnail`, { credentials: 'same-origin' }).catch(() => null);
      if (!res?.ok || gone) return; // 404: none has been taken yet
      const next = URL.createObjectURL(await res.blob());
      if (url) URL.revokeObjectURL(url);
      url = next;
      setSrc(next);
    };
    const seen = new IntersectionObserver((e) => {
      visible = e.at(-1).isIntersecting;
      read();
    });
    seen.observe(box.current);
    const stop = onSample(key, read);
    return () => {
      gone = true;
      stop();
      seen.disconnect();
      if (url) URL.revokeObjectURL(url);
      setSrc(null);
    };
  }, [key, live]);
  return (
    <div class={`thumb ${live ? '' : 'dim'}`} ref={box}>
      {live && src ? <img src={src} alt="" decoding="async" /> : <ImagePicture name={i.image_name ?? ''} desktop={i.desktop} app={i.init === 'app'} format={i.kind === 'process' ? 'program' : undefined} />}
    </div>
  );
}
