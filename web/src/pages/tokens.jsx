// SPDX-License-Identifier: Apache-2.0
// API tokens and sessions of a user.
import { useEffect, useState } from 'preact/hooks';
import { spaceNames } from '../lib/live.js';
import { del, get, post, userPath } from '../lib/api.js';
import { Ago, Button, Copy, Field, Trouble } from '../ui/parts.jsx';
import { toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';

const scopeText = (s) => {
  const m = /^space:([^:]+)(:read)?$/.exec(s ?? '');
  if (m) return `${m[2] ? 'look at' : 'all in'} ${m[1]}`;
  return { full: 'everything I may', read: 'look only' }[s] ?? s ?? '–';
};

export function Tokens({ user }) {
  const [list, setList] = useState(null);
  const [error, setError] = useState(null);
  const [made, setMade] = useState(null);
  const [form, setForm] = useState(null);
  const path = `${userPath(user)}/tokens`;
  const read = () => get(path).then((r) => setList(r.items), setError);
  useEffect(() => { read(); }, [user]);
  const create = async () => {
    setError(null);
    try {
      setMade(await post(path, { name: form.name.trim(), expires_in: form.expires_in, scope: form.scope }));
      setForm(null);
      read();
    } catch (e) {
      setError(e);
    }
  };
  const revoke = (t) => del(`${path}/${encodeURIComponent(t.id)}`).then(() => { toast(`${t.name || 'It'} no longer works.`); return read(); }, setError);
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  return (
    <>
      {made && <div class="note"><div class="stack"><p><b>{made.name}</b> is ready. Copy it now: it is shown only this once.</p><Copy text={made.token} /></div></div>}
      {list && <Table label="Tokens" rows={list} keyOf={(t) => t.id} empty="No token. Make one for the command line, a script or another program." columns={[
        { id: 'name', text: 'Name', cell: (t) => t.name || (t.kind === 'session' ? 'Browser' : '–') },
        { id: 'scope', text: 'May', className: 'hide-narrow', cell: (t) => scopeText(t.scope) },
        { id: 'used', text: 'Last used', cell: (t) => <><Ago time={t.last_used} />{t.last_from && <div class="soft num">{t.last_from}</div>}</> },
        { id: 'expires', text: 'Ends', className: 'hide-narrow', cell: (t) => (t.expires ? <Ago time={t.expires} /> : 'never') },
        { id: 'acts', text: '', className: 'acts', cell: (t) => <Button kind="small danger" aria-label={`Revoke ${t.name || t.id}`} onClick={() => revoke(t)}>Revoke</Button> },
      ]} />}
      <Trouble error={error} />
      {form ? (
        <div class="stack">
          <div class="two">
            <Field label="Name" value={form.name} onInput={set('name')} placeholder="backup script" />
            <Field label="Works for">{(ids) => <select {...ids} value={form.expires_in} onChange={set('expires_in')}><option value="7d">7 days</option><option value="90d">90 days</option><option value="365d">a year</option></select>}</Field>
            <Field label="May">{(ids) => <select {...ids} value={form.scope} onChange={set('scope')}><option value="full">everything I may</option><option value="read">look only</option>
              {spaceNames.value.map((s) => <><option value={`space:${s}`}>all in {s}</option><option value={`space:${s}:read`}>look at {s}</option></>)}</select>}</Field>
          </div>
          <div class="actions"><Button kind="primary" onClick={create} disabled={!form.name.trim()}>Make the token</Button><Button onClick={() => setForm(null)}>Cancel</Button></div>
        </div>
      ) : <div class="actions"><Button icon="plus" onClick={() => setForm({ name: '', expires_in: '90d', scope: 'full' })}>New token</Button></div>}
    </>
  );
}
