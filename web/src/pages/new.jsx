// SPDX-License-Identifier: Apache-2.0
// From an image to a desktop in two clicks: a picture, a size, done. All else is under "More".
import { useEffect, useMemo, useState } from 'preact/hooks';
import { images, recipes, homeSpace, spaceNames, spaces, may, operations, loaded } from '../lib/live.js';
import { del } from '../lib/api.js';
import { go, replace } from '../lib/route.js';
import { bytes, cpus, parseCommand, parseEnv, parsePorts } from '../lib/format.js';
import { SIZES, PRESETS, overQuota } from '../lib/state.js';
import { choices, launch, launching, suggestName } from '../lib/launch.js';
import { Button, Check, Field, Note, PageHead, Progress, Trouble } from '../ui/parts.jsx';
import { ImagePicture } from '../ui/picture.jsx';
import { attempt } from '../ui/dialog.jsx';
import { Desktop } from './desktop.jsx';

const NAME = '[a-z]([a-z0-9\\-]{0,61}[a-z0-9])?';

export function NewComputer({ query }) {
  const list = useMemo(choices, [images.value, recipes.value]);
  const [space, setSpace] = useState(query.space ?? homeSpace.value);
  const [ref, setRef] = useState(query.image ?? null);
  const [size, setSize] = useState(2);
  const [name, setName] = useState(null); // null: not touched, follows the image
  const [more, setMore] = useState({ init: '', command: '', env: '', ports: '', autostart: true });
  const [error, setError] = useState(null);
  useEffect(() => {
    if (!space && homeSpace.value) setSpace(homeSpace.value);
  }, [homeSpace.value]);
  const choice = list.find((c) => c.ref === ref) ?? list[0];
  useEffect(() => {
    if (query.go && choice && space && !launching.value) {
      replace('new', { image: choice.ref });
      start();
    }
  }, [choice?.ref, space]);

  useEffect(() => {
    if (choice?.desktop) Desktop.ahead();
  }, [choice?.desktop]);

  if (!loaded.value) return null;
  if (launching.value) return <Launching />;
  const finalName = name ?? (choice ? suggestName(choice.name, space) : '');
  const over = space ? overQuota(SIZES[size], spaces.value.get(space)) : [];

  async function start() {
    setError(null);
    try {
      const spec = { name: name || suggestName(choice.name, space), ...specOf(SIZES[size], more) };
      const made = await launch(space, choice, spec);
      if (location.hash.startsWith('#/new')) {
        if (choice.desktop) go('desktop', made.space, made.name);
        else go('computer', made.space, made.name, (more.init || choice.init) === 'app' ? 'console' : 'terminal');
      }
    } catch (e) {
      setError(e);
    }
  }

  return (
    <>
      <PageHead title="New computer" sub="Choose what it starts from. You can change the rest later." />
      {!list.length && <Note icon="image">There is no image yet. {<a href="#/images">Build or import one</a>}, then come back.</Note>}
      <form class="new" onSubmit={(e) => { e.preventDefault(); start(); }}>
        <fieldset class="plain-set">
          <legend class="sr">Image</legend>
          <div class="choices">
            {list.map((c) => (
              <label class="choice" key={c.ref}>
                <input type="radio" name="image" value={c.ref} checked={choice === c} onChange={() => setRef(c.ref)} />
                <ImagePicture name={c.name} desktop={c.desktop} app={c.init === 'app'} />
                <span class="choice-text"><b>{c.name}</b><span>{c.description}</span>
                  {c.recipe && <small>Built on first use; takes a few minutes once.</small>}</span>
              </label>
            ))}
          </div>
        </fieldset>
        <SizePicker size={size} setSize={setSize} />
        {over.length > 0 && <Note tone="busy" icon="warn">{quotaText(over, space)}</Note>}
        <details class="more">
          <summary>More: name, kind, command, environment, ports</summary>
          <More {...{ space, setSpace, name: finalName, setName, more, setMore, choice }} />
        </details>
        <Trouble error={error} />
        <div class="new-foot">
          <p class="soft">It will be called <b>{finalName || '…'}</b>{spaceNames.value.length > 1 && <> in {space}</>}.</p>
          <Button type="submit" kind="primary big" icon="play" disabled={!choice || !space}>{choice?.desktop ? 'Start and open' : 'Start'}</Button>
        </div>
      </form>
    </>
  );
}

function specOf(size, more) {
  const spec = { ...size };
  if (more.init) spec.init = more.init;
  if (more.command.trim()) {
    spec.command = parseCommand(more.command);
    if (!spec.command) throw new Error('The command has a quotation mark that is not closed.');
  }
  if (more.env.trim()) {
    spec.env = parseEnv(more.env);
    if (!spec.env) throw new Error('Each line of the environment is NAME=value.');
  }
  if (more.ports.trim()) spec.ports = parsePorts(more.ports);
  if (!more.autostart) spec.autostart = false;
  return spec;
}

function quotaText(over, space) {
  const s = spaces.value.get(space);
  if (over[0] === 'instances') return `Space ${space} has all the computers it may have (${s.quota.instances}). Delete one first, or ask for a higher quota.`;
  const k = over[0];
  const left = Math.max(0, s.quota[k] - (s.used[k] ?? 0));
  return `This is more ${k} than is left in space ${space}: ${k === 'cpu' ? cpus(left) : bytes(left)}. Choose a smaller size, or ask for a higher quota.`;
}

function SizePicker({ size, setSize }) {
  const s = SIZES[size];
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
      <input type="range" min="0" max={SIZES.length - 1} step="1" value={size} aria-label="Size" aria-valuetext={sizeText(s)} onInput={(e) => setSize(Number(e.currentTarget.value))} />
      <p class="size-text num" aria-live="polite">{sizeText(s)}</p>
    </fieldset>
  );
}

const sizeText = (s) => `${cpus(s.cpu)} · ${bytes(s.memory)} memory · ${bytes(s.disk)} disk`;

function More({ space, setSpace, name, setName, more, setMore, choice }) {
  const set = (k) => (e) => setMore({ ...more, [k]: e.currentTarget.value });
  const init = more.init || choice?.init;
  return (
    <div class="more-body">
      <div class="two">
        <Field label="Name" value={name} pattern={NAME} title="small letters, digits and dashes, beginning with a letter" spellcheck={false} autoCapitalize="none"
          hint="Others in the space reach it by this name." onInput={(e) => setName(e.currentTarget.value)} />
        <Field label="Space">{(ids) => <select {...ids} value={space} onChange={(e) => setSpace(e.currentTarget.value)}>{spaceNames.value.filter((s) => may(s, 'owner')).map((s) => <option key={s}>{s}</option>)}</select>}</Field>
      </div>
      <fieldset class="plain-set"><legend>Kind</legend>
        <div class="presets two-wide">
          <button type="button" aria-pressed={init !== 'app'} onClick={() => setMore({ ...more, init: 'system' })}><b>Whole system</b><span>Its own services, users and desktop; feels like a computer.</span></button>
          <button type="button" aria-pressed={init === 'app'} onClick={() => setMore({ ...more, init: 'app' })}><b>One program</b><span>Starts one command and ends with it; smallest and quickest.</span></button>
        </div>
      </fieldset>
      <Field label="Command" value={more.command} placeholder={init === 'app' ? 'the image’s own' : 'the system’s own start'} spellcheck={false} autoCapitalize="none" onInput={set('command')} hint="What runs first. Leave it empty to use what the image says." />
      <div class="two">
        <Field label="Environment" hint="One NAME=value a line.">{(ids) => <textarea {...ids} rows="3" spellcheck={false} value={more.env} onInput={set('env')} />}</Field>
        <Field label="Published ports" hint="The server’s port : the computer’s port, one a line, like 8080:80.">{(ids) => <textarea {...ids} rows="3" spellcheck={false} value={more.ports} onInput={set('ports')} />}</Field>
      </div>
      <Check label="Start it when the server starts" checked={more.autostart} onChange={(e) => setMore({ ...more, autostart: e.currentTarget.checked })} />
    </div>
  );
}

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

