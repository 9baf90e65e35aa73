// SPDX-License-Identifier: Apache-2.0
// The computer's files: look, fetch, bring, make a folder, delete. Works while it is off, too.
import { useEffect, useRef, useState } from 'preact/hooks';
import { del, get, instancePath, request, upload } from '../lib/api.js';
import { href, go } from '../lib/route.js';
import { bytes, dateTime, modeText } from '../lib/format.js';
import { Ago, Button, Empty, Field, Progress, Trouble } from '../ui/parts.jsx';
import { Icon } from '../ui/icon.jsx';
import { FormDialog, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { Table } from '../ui/table.jsx';

const join = (dir, name) => `${dir === '/' ? '' : dir}/${name}`;
const fileUrl = (i, path, more = '') => `${instancePath(i)}/files?path=${encodeURIComponent(path)}${more}`;

export function Files({ i, query }) {
  const path = (query.path || (i.desktop ? '/home/user' : '/root')).replace(/(.)\/+$/, '$1');
  const [items, setItems] = useState(null);
  const [owner, setOwner] = useState(''); // what is brought belongs to whom the folder belongs
  const [error, setError] = useState(null);
  const [sending, setSending] = useState([]);
  const [over, setOver] = useState(false);
  const [round, setRound] = useState(0);
  const picker = useRef(null);
  const read = () => setRound((n) => n + 1);
  useEffect(() => {
    const stop = new AbortController();
    get(fileUrl(i, path), { signal: stop.signal, raw: true }).then(async (res) => {
      if (res.headers.get('X-Portena-Type') === 'file') return go('computer', i.space, i.name, 'files', { path: path.replace(/\/[^/]*$/, '') || '/' });
      const [uid, gid] = ['Uid', 'Gid'].map((h) => res.headers.get(`X-Portena-${h}`));
      setOwner(uid == null ? '' : `&uid=${uid}&gid=${gid}`);
      setItems((await res.json()).items);
      return setError(null);
    }).catch((e) => {
      if (e.name === 'AbortError') return;
      setItems(null);
      setError(e);
    });
    return () => stop.abort();
  }, [path, i.id, round]);

  const send = async (files) => {
    for (const file of files) {
      const job = { name: file.name, done: 0, total: file.size, abort: new AbortController() };
      setSending((s) => [...s, job]);
      const progress = (done, total) => setSending((s) => s.map((j) => (j.name === job.name ? { ...j, done, total } : j)));
      try {
        await upload('PUT', fileUrl(i, join(path, file.name), `&mode=0644${owner}`), file, { onProgress: progress, signal: job.abort.signal });
        read();
      } catch (e) {
        if (e.name !== 'AbortError') toast(`${file.name}: ${e.message}`, { tone: 'bad', hint: e.hint });
      }
      setSending((s) => s.filter((j) => j.name !== job.name));
    }
  };
  const onDrop = (e) => {
    e.preventDefault();
    setOver(false);
    send([...e.dataTransfer.files]);
  };
  return (
    <div class={over ? 'drop' : ''} onDragOver={(e) => { e.preventDefault(); setOver(true); }} onDragLeave={(e) => e.currentTarget.contains(e.relatedTarget) || setOver(false)} onDrop={onDrop}>
      <div class="section-head">
        <Crumbs i={i} path={path} />
        <div class="actions">
          <Button icon="folder" onClick={() => openDialog((close) => <NewFolder i={i} path={path} owner={owner} close={close} done={read} />)}>New folder</Button>
          <Button kind="primary" icon="upload" onClick={() => picker.current.click()}>Upload</Button>
          <input ref={picker} type="file" multiple hidden onChange={(e) => { send([...e.currentTarget.files]); e.currentTarget.value = ''; }} />
        </div>
      </div>
      {sending.map((j) => <div class="op" key={j.name}><div class="op-head"><span>Uploading {j.name} · {bytes(j.done)} of {bytes(j.total)}</span><Button kind="small" onClick={() => j.abort.abort()}>Cancel</Button></div><Progress permille={j.total ? j.done / j.total * 1000 : 0} label={`Uploading ${j.name}`} /></div>)}
      <Trouble error={error}><p><a href={href('computer', i.space, i.name, 'files', { path: '/' })}>Go to the top folder</a></p></Trouble>
      {items && (items.length ? <List i={i} path={path} items={items} read={read} /> : <Empty icon="folder" title="This folder is empty"><p>Drop files here to bring them over.</p></Empty>)}
    </div>
  );
}

function Crumbs({ i, path }) {
  const parts = path.split('/').filter(Boolean);
  const to = (n) => href('computer', i.space, i.name, 'files', { path: `/${parts.slice(0, n).join('/')}` });
  return (
    <nav class="crumbs" aria-label="Folder">
      <a href={to(0)}>{i.name}</a>
      {parts.map((p, n) => <><span aria-hidden="true">/</span>{n === parts.length - 1 ? <b aria-current="page">{p}</b> : <a href={to(n + 1)}>{p}</a>}</>)}
    </nav>
  );
}

function List({ i, path, items, read }) {
  const sortName = (f) => `${f.type === 'directory' ? 0 : 1}${f.name.toLowerCase()}`;
  const open = (f) => go('computer', i.space, i.name, 'files', { path: join(path, f.name) });
  const remove = (f) => confirm({
    title: `Delete ${f.name}?`, lost: [f.type === 'directory' ? 'the folder and all that is in it' : `the file (${bytes(f.size)})`], submitText: 'Delete',
    act: async () => {
      await del(fileUrl(i, join(path, f.name), f.type === 'directory' ? '&recursive=true' : ''));
      read();
    },
  });
  const columns = [
    { id: 'name', text: 'Name', sort: sortName, cell: (f) => (f.type === 'directory' || (f.type === 'symlink' && !/\.\w+$/.test(f.target ?? ''))
      ? <button type="button" class="file-name" onClick={() => open(f)}><Icon name={f.type === 'symlink' ? 'link' : 'folder'} className="dir" />{f.name}{f.target && <span class="soft"> → {f.target}</span>}</button>
      : <a class="file-name" href={fileUrl(i, join(path, f.name))} download={f.name}><Icon name={f.type === 'symlink' ? 'link' : 'file'} />{f.name}{f.target && <span class="soft"> → {f.target}</span>}</a>) },
    { id: 'size', text: 'Size', num: true, sort: (f) => (f.type === 'directory' ? -1 : f.size), cell: (f) => (f.type === 'file' ? bytes(f.size) : '–') },
    { id: 'mtime', text: 'Changed', className: 'hide-narrow', sort: (f) => f.mtime, cell: (f) => <Ago time={f.mtime} /> },
    { id: 'mode', text: 'Rights', className: 'hide-narrow', cell: (f) => <span class="mono" title={`${f.mode}, owner ${f.uid}, group ${f.gid}, ${dateTime(f.mtime)}`}>{modeText(f.mode)}</span> },
    { id: 'acts', text: '', className: 'acts', cell: (f) => <>
      {f.type === 'file' && <a class="btn ghost" href={fileUrl(i, join(path, f.name))} download={f.name} aria-label={`Download ${f.name}`} title="Download"><Icon name="download" /></a>}
      <Button kind="ghost" icon="trash" aria-label={`Delete ${f.name}`} title="Delete" onClick={() => remove(f)} /></> },
  ];
  return <Table label={`Files in ${path}`} columns={columns} rows={items} keyOf={(f) => f.name} initial={{ id: 'name', down: false }} />;
}

function NewFolder({ i, path, owner, close, done }) {
  const [name, setName] = useState('');
  const submit = async () => {
    await request('PUT', fileUrl(i, join(path, name), `&type=directory&mode=0755${owner}`), { body: new Blob([]), raw: true });
    done();
  };
  return <FormDialog title="New folder" submit={submit} submitText="Make it" onClose={close} disabled={!name || name.includes('/')}>
    <Field label="Name" value={name} onInput={(e) => setName(e.currentTarget.value)} autoFocus spellcheck={false} hint={`In ${path}`} /></FormDialog>;
}

