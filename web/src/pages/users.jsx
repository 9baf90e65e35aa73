// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from 'preact/hooks';
import { me, usersRevision } from '../lib/live.js';
import { del, get, patch, post, userPath } from '../lib/api.js';
import { count } from '../lib/format.js';
import { Ago, Button, Check, Copy, Field, Menu, PageHead, Trouble } from '../ui/parts.jsx';
import { Dialog, FormDialog, attempt, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';
import { Tokens } from './tokens.jsx';

export default function Users() {
  const [list, setList] = useState(null);
  const [error, setError] = useState(null);
  const [find, setFind] = useState('');
  const [picked, setPicked] = useState([]);
  const read = () => get('/v1/users').then((r) => { setList(r.items); setError(null); }, setError);
  useEffect(() => { read(); }, [usersRevision.value]);
  const rows = (list ?? []).filter((u) => `${u.name} ${u.full_name}`.toLowerCase().includes(find.toLowerCase()));
  const chosen = picked.filter((n) => rows.some((u) => u.name === n) && n !== me.value.name);
  const all = async (fields) => {
    await Promise.all(chosen.map((n) => patch(userPath(n), fields)));
    setPicked([]);
    read();
  };
  return (
    <>
      <PageHead title="Users" sub={list ? count(list.length, 'user') : ''}>
        <label class="search"><Icon name="search" /><span class="sr">Search users</span><input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)} /><kbd aria-hidden="true">/</kbd></label>
        <Button kind="primary" icon="plus" onClick={() => openDialog((close) => <NewUser close={close} done={read} />)}>New user</Button>
      </PageHead>
      <Trouble error={error}><Button onClick={read}>Try again</Button></Trouble>
      {chosen.length > 0 && <div class="actions section-head" role="toolbar" aria-label="With those chosen"><span>{count(chosen.length, 'user')} chosen</span><span class="actions"><Button onClick={() => attempt(all({ disabled: true }))}>Lock</Button><Button onClick={() => attempt(all({ disabled: false }))}>Unlock</Button></span></div>}
      {list && <Table label="Users" rows={rows} keyOf={(u) => u.name} initial={{ id: 'name', down: false }} empty="Nobody matches." columns={[
        { id: 'pick', text: '', cell: (u) => <input type="checkbox" aria-label={`Choose ${u.name}`} disabled={u.name === me.value.name} checked={picked.includes(u.name)} onChange={(e) => setPicked(e.currentTarget.checked ? [...picked, u.name] : picked.filter((n) => n !== u.name))} /> },
        { id: 'name', text: 'Name', sort: (u) => u.name, cell: (u) => <><b>{u.name}</b>{u.full_name && <div class="soft">{u.full_name}</div>}</> },
        { id: 'role', text: 'Is', sort: (u) => Number(!u.admin), cell: (u) => <>{u.admin && <span class="tag">administrator</span>} {u.disabled && <span class="tag off">locked</span>} {u.must_change && <span class="tag off">first password</span>}{!u.admin && !u.disabled && !u.must_change && 'user'}</> },
        { id: 'totp', text: 'Second factor', className: 'hide-narrow', sort: (u) => Number(!u.totp), cell: (u) => (u.totp ? 'on' : <span class="soft">off</span>) },
        { id: 'last', text: 'Last here', className: 'hide-narrow', sort: (u) => u.last_login ?? '', cell: (u) => <Ago time={u.last_login} /> },
        { id: 'acts', text: '', className: 'acts', cell: (u) => <UserMenu u={u} read={read} /> },
      ]} />}
    </>
  );
}

function UserMenu({ u, read }) {
  const self = u.name === me.value.name;
  const set = (fields, text) => () => attempt(patch(userPath(u.name), fields).then(() => { toast(text); return read(); }));
  return <Menu label={`More for ${u.name}`} items={[
    { text: 'Change…', icon: 'edit', act: () => openDialog((close) => <EditUser u={u} close={close} done={read} />) },
    !self && { text: 'New password…', icon: 'key', act: () => openDialog((close) => <NewPassword u={u} close={close} done={read} />) },
    { text: 'Tokens', icon: 'lock', act: () => openDialog((close) => <Dialog wide title={`Tokens of ${u.name}`} onClose={close}><div class="dialog-body"><Tokens user={u.name} /></div></Dialog>) },
    u.totp && !self && { text: 'Take the second factor off', icon: 'close', act: () => confirm({ title: `Take ${u.name}’s second factor off?`, text: `From then on the password alone is enough. Do it when ${u.name} has lost the phone, and you are sure who asks.`, password: true, submitText: 'Take it off', act: (password) => del(`${userPath(u.name)}/totp`, { body: { password } }).then(read) }) },
    !self && (u.disabled ? { text: 'Unlock', icon: 'check', act: set({ disabled: false }, `${u.name} can sign in again.`) } : { text: 'Lock', icon: 'lock', act: set({ disabled: true }, `${u.name} can no longer sign in.`) }),
    !self && { text: 'Delete…', icon: 'trash', danger: true, act: () => confirm({ title: `Delete user ${u.name}?`, lost: ['the account, its tokens and its place in spaces (computers and spaces stay)'], name: u.name, submitText: 'Delete', act: () => del(userPath(u.name)).then(read) }) },
  ]} />;
}

/** A first password to hand over: 20 letters and digits that cannot be mistaken for each other, from the browser's randomness. */
export function firstPassword() {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  const out = [];
  while (out.length < 20) for (const b of crypto.getRandomValues(new Uint8Array(32))) if (b < letters.length * 8 && out.length < 20) out.push(letters[b % letters.length]);
  return out.join('').replace(/(.{5})(?=.)/g, '$1-');
}

function NewUser({ close, done }) {
  const [form, setForm] = useState({ name: '', full_name: '', admin: false });
  const [made, setMade] = useState(null);
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async () => {
    const password = firstPassword();
    await post('/v1/users', { ...form, name: form.name.trim(), password, must_change: true });
    done();
    setMade(password);
    return false;
  };
  if (made) return <HandOver title={`${form.name} is added`} name={form.name} password={made} close={close} />;
  return (
    <FormDialog title="New user" submit={submit} submitText="Add" onClose={close}>
      <Field label="User name" required autoFocus value={form.name} onInput={set('name')} pattern="[a-z][a-z0-9._\-]{0,62}" title="small letters, digits, dots and dashes, beginning with a letter" autoCapitalize="none" spellcheck={false} autoComplete="off" />
      <Field label="Full name" value={form.full_name} onInput={set('full_name')} autoComplete="off" />
      <Check label="Administrator" hint="May do everything on this server." checked={form.admin} onChange={(e) => setForm({ ...form, admin: e.currentTarget.checked })} />
      <p class="hint">You get a first password to hand over; it is changed at the first sign-in.</p>
    </FormDialog>
  );
}

function HandOver({ title, name, password, close }) {
  return (
    <Dialog title={title} onClose={close}>
      <div class="dialog-body"><p>Hand this first password to {name}. It is shown only now.</p><Copy text={password} />
        <div class="actions"><Button kind="primary" onClick={close}>Done</Button></div></div>
    </Dialog>
  );
}

function NewPassword({ u, close, done }) {
  const [made, setMade] = useState(null);
  const submit = async () => {
    const password = firstPassword();
    await patch(userPath(u.name), { password, must_change: true });
    done();
    setMade(password);
    return false;
  };
  if (made) return <HandOver title={`New password for ${u.name}`} name={u.name} password={made} close={close} />;
  return <FormDialog title={`New password for ${u.name}?`} submit={submit} submitText="Make one" onClose={close}><p>The present one stops working, and {u.name} is signed out everywhere.</p></FormDialog>;
}

function EditUser({ u, close, done }) {
  const [form, setForm] = useState({ full_name: u.full_name ?? '', admin: u.admin });
  const submit = () => patch(userPath(u.name), form).then(done);
  return (
    <FormDialog title={`Change ${u.name}`} submit={submit} submitText="Save" onClose={close}>
      <Field label="Full name" value={form.full_name} onInput={(e) => setForm({ ...form, full_name: e.currentTarget.value })} autoFocus />
      <Check label="Administrator" hint="May do everything on this server." checked={form.admin} disabled={u.name === me.value.name} onChange={(e) => setForm({ ...form, admin: e.currentTarget.checked })} />
    </FormDialog>
  );
}
