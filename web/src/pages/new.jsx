// SPDX-License-Identifier: Apache-2.0
// From an image to a desktop in two clicks: a picture, a size, done. All else is under "More".
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { images, isAdmin, recipes, homeSpace, spaceNames, spaces, operations, loaded, serverArch } from '../lib/live.js';
import { del } from '../lib/api.js';
import { go, replace } from '../lib/route.js';
import { bytes, cpus } from '../lib/format.js';
import { foreignText, isForeign, isSealed, kindsOf, KINDS, lacksKernel } from '../lib/kinds.js';
import { FRESH, HARDWARE, sizeFor, specOf } from '../lib/spec.js';
import { SIZES, PRESETS, overQuota } from '../lib/state.js';
import { choices, launch, launching, suggestName } from '../lib/launch.js';
import { Badges, Button, Note, PageHead, Progress, Trouble } from '../ui/parts.jsx';
import { ImagePicture } from '../ui/picture.jsx';
import { attempt } from '../ui/dialog.jsx';
import { KindPicker, MachineMore, More } from './new_more.jsx';
import { Desktop } from './desktop.jsx';

export function NewComputer({ query }) {
  const list = useMemo(choices, [images.value, recipes.value]);
  const [space, setSpace] = useState(query.space ?? homeSpace.value);
  const [ref, setRef] = useState(query.image ?? null);
  const [size, setSize] = useState(2);
  const [name, setName] = useState(null); // null: not touched, follows the image
  const [kind, setKind] = useState(null); // null: the image's first
  const [more, setMore] = useState(FRESH);
  const [hw, setHw] = useState(HARDWARE);
  const [error, setError] = useState(null);
  const trouble = useRef(null);
  useEffect(() => {
    if (error) trouble.current?.scrollIntoView({ block: 'center' });
  }, [error]);
  useEffect(() => {
    if (!space && homeSpace.value) setSpace(homeSpace.value);
  }, [homeSpace.value]);
  const choice = list.find((c) => c.ref === ref) ?? list[0];
  const kinds = kindsOf(choice);
  const as = kinds.includes(kind) ? kind : kinds[0];
  useEffect(() => {
    if (query.go && choice && space && !launching.value) {
      replace('new', { image: choice.ref });
      start();
    }
  }, [choice?.ref, space]);

  useEffect(() => {
    if (choice?.screen) Desktop.ahead();
  }, [choice?.screen]);

  if (!loaded.value) return null;
  const finalName = name ?? (choice ? suggestName(choice.name, space) : '');
  const actual = sizeFor(SIZES[size], choice);
  const over = space ? overQuota(actual, spaces.value.get(space)) : [];

  async function start() {
    setError(null);
    try {
      const spec = { name: name || suggestName(choice.name, space), ...specOf({ choice, kind: as, size: SIZES[size], more, hw }) };
      const made = await launch(space, choice, spec);
      if (location.hash.startsWith('#/new')) {
        if (made.desktop) go('desktop', made.space, made.name);
        else go('computer', made.space, made.name, as === 'process' || (more.init || choice.init) === 'app' || isSealed(made) ? 'console' : 'terminal');
      }
    } catch (e) {
      setError(e);
    }
  }

  /* The form is there while it starts: refused, it is as it was, down to what is folded open. */
  return (
    <>
      {launching.value && <Launching />}
      <div hidden={!!launching.value}>
        <PageHead title="New computer" sub="Choose what it starts from. You can change the rest later." />
        {!list.length && <Note icon="image">There is no image yet. {<a href="#/images">Build or import one</a>}, then come back.</Note>}
        <form class="new" onSubmit={(e) => { e.preventDefault(); start(); }}>
          <fieldset class="plain-set">
            <legend class="sr">Image</legend>
            <div class="choices">
              {list.map((c) => (
                <label class="choice" key={c.ref}>
                  <input type="radio" name="image" value={c.ref} checked={choice === c} onChange={() => setRef(c.ref)} />
                  <ImagePicture name={c.name} desktop={c.desktop} app={c.init === 'app'} format={c.format} />
                  <span class="choice-text"><b>{c.name} <Badges of={{ arch: c.arch }} /></b><span>{c.description}</span>
                    {c.recipe && <small>Built on first use; takes a few minutes once.</small>}</span>
                </label>
              ))}
            </div>
          </fieldset>
          {choice && isForeign(choice.arch, serverArch.value) && <Note tone="busy" icon="chip">{foreignText(choice.arch, serverArch.value)}</Note>}
          {choice && <KindPicker {...{ choice, kinds, kind: as, setKind }} />}
          {choice && lacksKernel(images.value, choice, as) && <Note icon="chip">{isAdmin.value
            ? 'Machines start from a kernel of Portena’s own. It is built now, once, before this one starts; that takes a minute or two.'
            : 'Machines start from a kernel that is not on this server yet. Ask an administrator to build it, under Images.'}</Note>}
          <SizePicker size={size} setSize={setSize} actual={actual} />
          {over.length > 0 && <Note tone="busy" icon="warn">{quotaText(over, space)}</Note>}
          {as === 'machine' && choice && <MachineMore {...{ choice, hw, setHw, size: actual }} />}
          <details class="more">
            <summary>More: name, space, command, network</summary>
            <More {...{ space, setSpace, name: finalName, setName, more, setMore, choice, kind: as }} />
          </details>
          <div ref={trouble}><Trouble error={error} /></div>
          <div class="new-foot">
            <p class="soft">{KINDS[as].badge ? `A ${KINDS[as].badge}` : 'It will be'} called <b>{finalName || '…'}</b>{spaceNames.value.length > 1 && <> in {space}</>}.</p>
            <Button type="submit" kind="primary big" icon="play" disabled={!choice || !space}>{choice?.screen ? 'Start and open' : 'Start'}</Button>
          </div>
        </form>
      </div>
    </>
  );
}

function quotaText(over, space) {
  const s = spaces.value.get(space);
  if (over[0] === 'instances') return `Space ${space} has all the computers it may have (${s.quota.instances}). Delete one first, or ask for a higher quota.`;
  const k = over[0];
  const left = Math.max(0, s.quota[k] - (s.used[k] ?? 0));
  return `This is more ${k} than is left in space ${space}: ${k === 'cpu' ? cpus(left) : bytes(left)}. Choose a smaller size, or ask for a higher quota.`;
}

function SizePicker({ size, setSize, actual }) {
  return (
    <fieldset class="size">
      <legend>Size</legend>
      <div class="presets">
        {PRESETS.map((p) => (
          <button type="button" key={p.name} aria-pressed={size === p.at} onClick={() => setSize(p.at)}>
            <b>{p.name}</b><span>{p.text}</span>
          </button>
        ))}
      </div>
      <input type="range" min="0" max={SIZES.length - 1} step="1" value={size} aria-label="Size" aria-valuetext={sizeText(actual)} onInput={(e) => setSize(Number(e.currentTarget.value))} />
      <p class="size-text num" aria-live="polite">{sizeText(actual)}</p>
    </fieldset>
  );
}

const sizeText = (s) => `${cpus(s.cpu)} · ${bytes(s.memory)} memory · ${bytes(s.disk)} disk`;

/** Progress in place: the two steps, what is being done, how far. */
function Launching() {
  const l = launching.value;
  const op = operations.value.get(l.op);
  const building = l.phase === 'image';
  const cancel = () => attempt(del(`/v1/operations/${l.op}`));
  return (
    <div class="launching">
      <div class="first-picture"><ImagePicture name={l.image} desktop={l.image === 'desktop'} /></div>
      <h1 tabIndex="-1">{building ? `Building the image ${l.image}` : `Starting ${l.name}`}</h1>
      <p class="soft" role="status">{op?.step || (building ? 'Preparing' : 'Creating the disk, network and processes')}{op?.total > 0 && op.unit === 'bytes' && <> · {bytes(op.done)} of {bytes(op.total)}</>}</p>
      <Progress permille={op?.progress ?? -1} label={building ? 'Building the image' : 'Starting'} />
      {building && <p class="soft">This happens once. You can leave this page; it goes on, and <b>{l.name}</b> starts when it is done.</p>}
      <div class="actions"><Button href="#/" kind="ghost">Go to my computers</Button>{building && l.op && <Button icon="close" onClick={cancel}>Cancel</Button>}</div>
    </div>
  );
}

