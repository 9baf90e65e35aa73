// SPDX-License-Identifier: Apache-2.0
// Every setting says when it applies: what to expect beforehand, what the server said afterwards.
import { useState } from 'preact/hooks';
import { act, may, opEnd, putInstance, readSpaces } from '../lib/live.js';
import { instancePath, patch } from '../lib/api.js';
import { replace } from '../lib/route.js';
import { bytes, formatCommand, formatEnv, parseCommand, parseEnv, parseSize } from '../lib/format.js';
import { Button, Check, Note, Trouble } from '../ui/parts.jsx';
import { askDelete } from '../ui/acts.jsx';
import { attempt, toast } from '../ui/dialog.jsx';

const NOW = 'Applies at once.';
const NEXT = 'Applies at the next start.';
const GROUPS = [
  { title: 'Size', items: [
    { id: 'cpu', label: 'Processors', text: 'How many cpus it may use at most; 0 is all of them.', when: NOW, show: (v) => String(v ?? 0), read: number, mode: 'decimal' },
    { id: 'memory', label: 'Memory', text: 'Like 2 GiB or 512M; 0 is no limit.', when: NOW, show: sizeText, read: size },
    { id: 'disk', label: 'Disk', text: 'A disk can grow, not shrink.', when: 'Grows at once where it can, else at the next start.', show: sizeText, read: size },
    { id: 'priority', label: 'Priority', text: '1 to 1000, 100 is normal: its share when all want more than there is.', when: NOW, show: (v) => String(v ?? 100), read: number, mode: 'numeric' },
    { id: 'pids', label: 'Processes at most', text: 'Keeps a runaway program from filling the server.', when: NOW, show: (v) => String(v ?? 0), read: number, mode: 'numeric' },
  ] },
  { title: 'Start', items: [
    { id: 'autostart', label: 'Start with the server', text: 'After the server was off, this computer comes back by itself.', when: NOW, kind: 'check' },
    { id: 'restart', label: 'When it ends by itself', text: 'What to do when its first program ends.', when: NOW, kind: 'select', options: [['no', 'stay off'], ['on-failure', 'restart if it failed'], ['always', 'always restart']] },
    { id: 'command', label: 'Command', text: 'What runs first; empty is what the image says.', when: NEXT, show: formatCommand, read: command },
    { id: 'user', label: 'User', text: 'Who runs the command.', when: NEXT, show: (v) => v ?? '', read: (t) => t.trim() },
    { id: 'cwd', label: 'Folder', text: 'Where the command starts.', when: NEXT, show: (v) => v ?? '/', read: (t) => t.trim() || '/' },
    { id: 'env', label: 'Environment', text: 'One NAME=value a line.', when: NEXT, kind: 'area', show: formatEnv, read: environment },
  ] },
  { title: 'Name', items: [
    { id: 'name', label: 'Name', text: 'Others in the space reach it by this name.', when: 'Can change while it is off.', show: (v) => v, read: (t) => t.trim(), stopped: true },
    { id: 'description', label: 'Note', text: 'What it is for, in your words.', when: NOW, show: (v) => v ?? '', read: (t) => t },
  ] },
];
const ALL = GROUPS.flatMap((g) => g.items);

function sizeText(v) {
  return v ? bytes(v) : '0';
}
function number(t) {
  const n = Number(t.replace(',', '.'));
  if (!t.trim() || !Number.isFinite(n) || n < 0) throw new Error('Write a number, like 2.');
  return n;
}
function size(t, old) {
  if (t === sizeText(old)) return old; // "1.1 GiB" is rounded; untouched is untouched
  const n = parseSize(t);
  if (n == null) throw new Error('Write a size, like 2 GiB or 512M.');
  return n;
}
function command(t) {
  const words = parseCommand(t);
  if (!words) throw new Error('A quotation mark is not closed.');
  return words;
}
function environment(t) {
  const env = parseEnv(t);
  if (!env) throw new Error('Each line is NAME=value.');
  return env;
}

const EMPTY = { command: [], env: {}, description: '', user: '', cwd: '/' }; // what null of the API shows as

/** What of the form differs from the instance: { changes, faults }. A merge patch removes a key of env by null. */
function differences(i, form) {
  const changes = {};
  const faults = {};
  for (const s of ALL) {
    if (!(s.id in form)) continue;
    try {
      const v = s.read ? s.read(form[s.id], i[s.id]) : form[s.id];
      if (JSON.stringify(v) === JSON.stringify(i[s.id] ?? EMPTY[s.id])) continue;
      changes[s.id] = s.id === 'env' ? { ...Object.fromEntries(Object.keys(i.env ?? {}).filter((k) => !(k in v)).map((k) => [k, null])), ...v } : v;
    } catch (e) {
      faults[s.id] = e.message;
    }
  }
  return { changes, faults };
}

export function Settings({ i }) {
  const [form, setForm] = useState({});
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [applied, setApplied] = useState({});
  const owner = may(i.space, 'owner');
  const { changes, faults } = differences(i, form);
  const dirty = Object.keys(changes).length;
  const wrong = Object.keys(faults).length;
  const save = async (e) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const { applies, operation, ...view } = await patch(instancePath(i), changes, { headers: { 'If-Match': `"${i.revision}"` } });
      setApplied(applies ?? {});
      if (operation) attempt(opEnd(operation)); // a change that the node refuses is told
      setForm({});
      putInstance({ ...view, space: i.space });
      readSpaces().catch(() => {}); // the next event brings the quota's use
      toast('Saved.');
      if (changes.name) replace('computer', i.space, changes.name, 'settings');
    } catch (x) {
      if (x.code === 'stale') x.hint = 'Somebody else changed it meanwhile. Look at the values, then save again.';
      setError(x);
    }
    setBusy(false);
  };
  const later = Object.values(applied).some((w) => w !== 'now');
  return (
    <form onSubmit={save}>
      {!owner && <div class="stack"><Note icon="lock">You may look at these settings; an owner of the space may change them.</Note><span /></div>}
      {later && i.state === 'running' && <div class="stack"><Note tone="busy"><p>Some changes wait for the next start. <button type="button" class="plain" onClick={() => { setApplied({}); attempt(act(i, 'restart')); }}>Restart now</button></p></Note><span /></div>}
      {GROUPS.map((g) => (
        <section class="panel section" key={g.title}>
          <h2>{g.title}</h2>
          {g.items.map((s) => <Setting key={s.id} s={s} i={i} value={form[s.id]} fault={faults[s.id]} applied={applied[s.id]} disabled={!owner || (s.stopped && i.state !== 'stopped')} set={(v) => setForm({ ...form, [s.id]: v })} />)}
        </section>
      ))}
      <Trouble error={error} />
      {owner && (dirty > 0 || wrong > 0) && <div class="save-bar panel section"><span class="soft">{dirty === 1 ? 'One change' : `${dirty} changes`} not saved</span><Button onClick={() => { setForm({}); setError(null); }}>Undo</Button><Button type="submit" kind="primary" busy={busy} disabled={wrong > 0 || !dirty}>Save</Button></div>}
      {owner && <section class="panel danger-zone"><div><h2>Delete {i.name}</h2><p class="soft">Its disk and everything on it goes with it.</p></div><Button kind="danger" icon="trash" onClick={() => askDelete(i)}>Delete…</Button></section>}
    </form>
  );
}

function Setting({ s, i, value, fault, applied, disabled, set }) {
  const shown = value ?? (s.show ? s.show(i[s.id]) : i[s.id]);
  const input = (e) => set(e.currentTarget.value);
  const id = `set-${s.id}`;
  const ids = { id, 'aria-describedby': `${id}-t`, 'aria-invalid': fault ? 'true' : undefined, disabled };
  return (
    <div class="setting">
      <div>
        {s.kind === 'check' ? <h3>{s.label}</h3> : <label for={id}><h3>{s.label}</h3></label>}
        <p id={`${id}-t`}>{s.text}</p>
        <span class={`when ${applied ? 'done' : ''}`}>{applied ? (applied === 'now' ? '✓ Applied' : `✓ Saved; applies ${applied}`) : s.when}</span>
      </div>
      <div>
        {s.kind === 'check' ? <Check label={s.label} checked={!!shown} disabled={disabled} onChange={(e) => set(e.currentTarget.checked)} />
          : s.kind === 'select' ? <select {...ids} value={shown} onChange={input}>{s.options.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>
            : s.kind === 'area' ? <textarea {...ids} rows="4" spellcheck={false} value={shown} onInput={input} />
              : <input {...ids} value={shown} inputMode={s.mode} spellcheck={false} onInput={input} />}
        {fault && <p class="fault" role="alert">{fault}</p>}
      </div>
    </div>
  );
}

