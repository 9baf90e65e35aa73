// SPDX-License-Identifier: Apache-2.0
// A computer's disks: the one it starts from, and volumes for data that come and go while it runs.
import { useEffect, useState } from 'preact/hooks';
import { may, opEnd, putInstance, readSpaces } from '../lib/live.js';
import { del, get, instancePath, patch, post, spacePath } from '../lib/api.js';
import { bytes } from '../lib/format.js';
import { isSealed } from '../lib/kinds.js';
import { Button, Check, Empty, Field, Note, Trouble } from '../ui/parts.jsx';
import { FormDialog, attempt, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';

const GiB = 1024 ** 3;
const volumesPath = (space) => `${spacePath(space)}/volumes`;

/** The volumes of a space, read again when `dep` changes or reread() is called. */
export function useVolumes(space, dep) {
  const [state, setState] = useState({ items: null, error: null });
  const [n, again] = useState(0);
  useEffect(() => {
    let here = true;
    get(volumesPath(space)).then((a) => here && setState({ items: a.items, error: null }), (error) => here && setState({ items: null, error }));
    return () => { here = false; };
  }, [space, dep, n]);
  return [state.items, state.error, () => again((x) => x + 1)];
}

/** The server's answer is shown at once; what could not be done is told, and the page then shows how it is. */
async function take(i, answer, text) {
  const { operation, ...view } = answer;
  putInstance({ ...view, space: i.space });
  try {
    await opEnd(operation);
    toast(text);
  } finally {
    putInstance(await get(instancePath(i)));
  }
}

export function Disks({ i }) {
  const owner = may(i.space, 'owner');
  const disks = i.disks ?? [];
  const still = ['paused', 'hibernated'].includes(i.state);
  const [volumes, error, reread] = useVolumes(i.space, `${i.revision}`);
  const of = (d) => volumes?.find((v) => v.id === d.id);
  const root = volumes?.find((v) => v.instance === i.name);
  const detach = async (d) => attempt((async () => {
    try {
      await take(i, await del(`${instancePath(i)}/disks/${encodeURIComponent(d.volume)}`), `${d.volume} is detached. What is on it is kept.`);
    } catch (x) {
      if (x.code !== 'conflict' || i.state !== 'running') throw x;
      askForce(i, d, x);
    }
  })());
  return (
    <>
      <section class="panel section">
        <div class="section-head"><h2>Its own disk</h2>{owner && root && !still && <Button icon="plus" onClick={() => openDialog((close) => <Grow v={root} what={i.name} close={close} then={reread} />)}>Make it larger</Button>}</div>
        <dl class="facts">
          <dt>Size</dt><dd class="num">{bytes(i.disk)}{root?.actual > 0 && root.actual < root.size && ` (${bytes(root.actual)} until the next start)`}</dd>
          <dt>In use</dt><dd class="num">{bytes(i.usage?.disk)}</dd>
        </dl>
        <p class="hint">{i.name} starts from it, and it goes with {i.name}.</p>
      </section>
      <section class="panel section">
        <div class="section-head"><h2>Data volumes</h2>{owner && !still && <Button icon="plus" disabled={!volumes} onClick={() => openDialog((close) => <Attach i={i} volumes={volumes} close={close} then={reread} />)}>Attach a volume</Button>}</div>
        {still && <Note icon="info">{i.name} stands still. Let it go on to attach or detach volumes.</Note>}
        <Trouble error={error} />
        {disks.length ? <Table label="Data volumes" rows={disks} keyOf={(d) => d.id} columns={[
          { id: 'volume', text: 'Volume', cell: (d) => <>{d.volume}{d.change !== 'none' && <span class="soft"> {d.change}ing…</span>}</> },
          { id: 'path', text: 'Seen at', cell: (d) => (d.path ? <span class="mono">{d.path}</span> : 'as a disk') },
          { id: 'read_only', text: 'Written to', className: 'hide-narrow', cell: (d) => (d.read_only ? 'no' : 'yes') },
          { id: 'size', text: 'Size', num: true, cell: (d) => bytes(of(d)?.size) },
          { id: 'used', text: 'In use', num: true, className: 'hide-narrow', cell: (d) => bytes(of(d)?.used) },
          { id: 'acts', text: '', className: 'acts', cell: (d) => owner && !still && <>
            <Button kind="ghost" icon="plus" aria-label={`Make ${d.volume} larger`} title="Make it larger" disabled={!of(d)} onClick={() => openDialog((close) => <Grow v={of(d)} what={d.volume} close={close} then={reread} />)} />
            <Button kind="ghost" icon="out" aria-label={`Detach ${d.volume}`} title="Detach" onClick={() => detach(d)} />
          </> },
        ]} /> : <Empty icon="disk" title="No volume for data"><p>A volume keeps data apart from {i.name}: it outlives it, and can go to another computer of the space.</p></Empty>}
      </section>
    </>
  );
}

const askForce = (i, d, why) => confirm({
  title: `Detach ${d.volume} all the same?`, text: `${why.message}. What it has not written yet is lost, and it meets errors. The volume itself is kept.`, submitText: 'Detach all the same',
  act: async () => take(i, await del(`${instancePath(i)}/disks/${encodeURIComponent(d.volume)}?force=true`), `${d.volume} is detached.`),
});

function Attach({ i, volumes, close, then }) {
  const free = volumes.filter((v) => !v.instance && !v.attached);
  const [form, setForm] = useState({ volume: free[0]?.name ?? '', name: 'data', size: '10', path: '', readOnly: false });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const fresh = !form.volume;
  const name = fresh ? form.name.trim() : form.volume;
  const [made, setMade] = useState(null); // it is there already, where only the second step was refused
  const submit = async () => {
    if (fresh && made !== name) await post(volumesPath(i.space), { name, size: Math.round(Number(form.size) * GiB) });
    if (fresh) setMade(name);
    const body = { volume: name, read_only: form.readOnly, ...(form.path.trim() && { path: form.path.trim() }) };
    try {
      await take(i, await post(`${instancePath(i)}/disks`, body), `${name} is attached.`);
    } finally {
      then();
      readSpaces().catch(() => {});
    }
  };
  return (
    <FormDialog title="Attach a volume" submit={submit} submitText="Attach" onClose={close}>
      <Field label="Volume">{(ids) => <select {...ids} value={form.volume} onChange={set('volume')}>
        {free.map((v) => <option key={v.id} value={v.name}>{v.name}, {bytes(v.size)}</option>)}
        <option value="">A new one</option>
      </select>}</Field>
      {fresh && <div class="two">
        <Field label="Name" required pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={form.name} onInput={set('name')} />
        <Field label="Size in GiB" inputMode="decimal" required pattern="[0-9]+([.][0-9]+)?" value={form.size} onInput={set('size')} />
      </div>}
      {!isSealed(i) && <Field label="Seen at" placeholder={`${i.kind === 'process' ? '/data' : '/mnt'}/${name}`} value={form.path} onInput={set('path')} hint="A directory in the computer; it is made if it is not there." />}
      <Check label="Read only" hint="Nothing in the computer can change what is on it." checked={form.readOnly} onChange={(e) => setForm({ ...form, readOnly: e.currentTarget.checked })} />
      <p class="hint">{i.state === 'running' ? 'At once, and at each start from then on.' : 'When it starts, and at each start from then on.'}{isSealed(i) && ' It is a disk there, and its own system decides what to do with it.'}</p>
    </FormDialog>
  );
}

export function Grow({ v, what, close, then }) {
  const [size, setSize] = useState(String(Math.ceil(v.size / GiB) * 2));
  const submit = async () => {
    const now = await patch(`${volumesPath(v.space)}/${encodeURIComponent(v.id)}`, { size: Math.round(Number(size) * GiB) });
    toast(now.actual > 0 && now.actual < now.size ? `${what} has ${bytes(now.size)} from the next start on.` : `${what} has ${bytes(now.size)} now.`);
    then();
    readSpaces().catch(() => {});
  };
  return (
    <FormDialog title={`Make ${what} larger`} submit={submit} submitText="Make it larger" onClose={close}>
      <Field label="Size in GiB" inputMode="decimal" required autoFocus pattern="[0-9]+([.][0-9]+)?" value={size} onInput={(e) => setSize(e.currentTarget.value)} hint={`It has ${bytes(v.size)}. It only grows: to shrink it, make a smaller one and copy.`} />
    </FormDialog>
  );
}

/** Makes a volume that no computer has yet. */
export function NewVolume({ space, close, then }) {
  const [form, setForm] = useState({ name: '', size: '10' });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async () => {
    await post(volumesPath(space), { name: form.name.trim(), size: Math.round(Number(form.size) * GiB) });
    toast(`${form.name.trim()} is there. Attach it on the page of a computer.`);
    then();
    readSpaces().catch(() => {});
  };
  return (
    <FormDialog title="New volume" submit={submit} submitText="Make it" onClose={close}>
      <Field label="Name" required autoFocus pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={form.name} onInput={set('name')} />
      <Field label="Size in GiB" inputMode="decimal" required pattern="[0-9]+([.][0-9]+)?" value={form.size} onInput={set('size')} hint="It takes room on the server as it is filled, and counts whole in the space’s quota." />
    </FormDialog>
  );
}

export const askDeleteVolume = (v, then) => confirm({
  title: `Delete ${v.name}?`, lost: [`everything on it (${bytes(v.used)})`], name: v.name, submitText: 'Delete',
  act: async () => {
    await del(`${volumesPath(v.space)}/${encodeURIComponent(v.id)}`);
    toast(`${v.name} is deleted.`);
    then();
    readSpaces().catch(() => {});
  },
});
