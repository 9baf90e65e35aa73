// SPDX-License-Identifier: Apache-2.0
// Every setting says when it applies: what to expect beforehand, what the server said afterwards.
import { useState } from 'preact/hooks';
import { act, images, may, opEnd, putInstance, readSpaces } from '../lib/live.js';
import { instancePath, patch } from '../lib/api.js';
import { replace } from '../lib/route.js';
import { Button, Check, Note, Trouble } from '../ui/parts.jsx';
import { differences, groupsOf } from './fields.js';
import { askDelete } from '../ui/acts.jsx';
import { attempt, toast } from '../ui/dialog.jsx';

export function Settings({ i }) {
  const [form, setForm] = useState({});
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [applied, setApplied] = useState({});
  const owner = may(i.space, 'owner');
  const groups = groupsOf(i, images.value ?? []);
  const { changes, faults } = differences(i, form, groups);
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
      {groups.map((g) => (
        <section class="panel section" key={g.title}>
          <h2>{g.title}</h2>
          {g.items.map((s) => <Setting key={s.id} s={s} i={i} value={form[s.id]} fault={faults[s.id]} applied={applied[s.id]} disabled={!owner || (s.stopped && !['stopped', 'failed'].includes(i.state))} set={(v) => setForm({ ...form, [s.id]: v })} />)}
        </section>
      ))}
      <Trouble error={error} />
      {owner && (dirty > 0 || wrong > 0) && <div class="save-bar panel section"><span class="soft">{dirty === 1 ? 'One change' : `${dirty} changes`} not saved</span><Button onClick={() => { setForm({}); setError(null); }}>Undo</Button><Button type="submit" kind="primary" busy={busy} disabled={wrong > 0 || !dirty}>Save</Button></div>}
      {owner && <section class="panel danger-zone"><div><h2>Delete {i.name}</h2><p class="soft">Its own disk and everything on it goes with it.{i.disks?.length > 0 && ' Its data volumes are kept.'}</p></div><Button kind="danger" icon="trash" onClick={() => askDelete(i)}>Delete…</Button></section>}
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
        {s.kind === 'check' || s.kind === 'pick' ? <h3>{s.label}</h3> : <label for={id}><h3>{s.label}</h3></label>}
        <p id={`${id}-t`}>{s.text}</p>
        <span class={`when ${applied ? 'done' : ''}`}>{applied ? (applied === 'now' ? '✓ Applied' : `✓ Saved; applies ${applied}`) : s.when}</span>
      </div>
      <div>
        {s.kind === 'check' ? <Check label={s.label} checked={!!shown !== !!s.turned} disabled={disabled} onChange={(e) => set(e.currentTarget.checked !== !!s.turned)} />
          : s.kind === 'pick' ? <Pick s={s} now={i[s.id]} value={shown} set={set} disabled={disabled} />
          : s.kind === 'select' ? <select {...ids} value={shown} onChange={input}>{s.options.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>
            : s.kind === 'area' ? <textarea {...ids} rows="4" spellcheck={false} value={shown} onInput={input} />
              : <input {...ids} value={shown} inputMode={s.mode} spellcheck={false} onInput={input} />}
        {fault && <p class="fault" role="alert">{fault}</p>}
      </div>
    </div>
  );
}

/** One of a few, each with a sentence; what a change of it brings is said before it is saved. */
function Pick({ s, now, value, set, disabled }) {
  return (
    <fieldset class="plain-set" disabled={disabled}>
      <legend class="sr">{s.label}</legend>
      {s.options.map(([v, word, text]) => (
        <label class="pick-row" key={v}><input type="radio" name={`set-${s.id}`} checked={v === value} onChange={() => set(v)} /><span><b>{word}</b><small>{text}</small></span></label>
      ))}
      {value !== now && <div class="note" role="status"><div><p>When you save:</p><ul class="effects">{s.effects(value).map((t) => <li key={t}>{t}</li>)}</ul></div></div>}
    </fieldset>
  );
}
