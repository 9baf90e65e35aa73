// SPDX-License-Identifier: Apache-2.0
// What computers start from: built in, from a registry, or one's own file.
import { useRef, useState } from 'preact/hooks';
import { images, recipes, isAdmin, operations, opEnd, putOp, readImages } from '../lib/live.js';
import { del, imagePath, patch, post, upload } from '../lib/api.js';
import { href } from '../lib/route.js';
import { bytes, count } from '../lib/format.js';
import { ended } from '../lib/state.js';
import { Ago, Button, Empty, Field, Menu, PageHead, Progress } from '../ui/parts.jsx';
import { FormDialog, attempt, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { ImagePicture } from '../ui/picture.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';

const aboutImages = (o) => /image/.test(o.kind ?? '') || /^images?\//.test(o.target ?? '');
const follow = (answer, done) => attempt(opEnd(answer.operation).then(() => { toast(done); return readImages(); }));

export default function Images() {
  const [find, setFind] = useState('');
  const [sending, setSending] = useState(null);
  if (!images.value) return null;
  const going = [...operations.value.values()].filter((o) => aboutImages(o) && !ended(o));
  const failed = [...operations.value.values()].filter((o) => aboutImages(o) && o.state === 'failed' && Date.now() - Date.parse(o.ended) < 600e3).slice(-2);
  const rows = images.value.filter((m) => `${m.names?.join(' ')} ${m.source} ${m.description} ${m.digest}`.toLowerCase().includes(find.toLowerCase()));
  const unbuilt = recipes.value.filter((r) => !r.image && !going.some((o) => nameOf(o) === r.name));
  const build = (r) => attempt(post('/v1/images', { source: `recipe:${r.name}` }).then((a) => follow(a, `${r.name} is ready.`)));
  return (
    <>
      <PageHead title="Images" sub={`What computers start from. ${count(images.value.length, 'image')}, ${bytes(images.value.reduce((n, m) => n + (m.size ?? 0), 0))}.`}>
        <label class="search"><Icon name="search" /><span class="sr">Search images</span><input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)} /><kbd aria-hidden="true">/</kbd></label>
        {isAdmin.value && <><Menu label="More" kind="" items={[{ text: 'Clean up unused…', icon: 'trash', act: prune }]} />
          <Button icon="upload" onClick={() => openDialog((close) => <Upload close={close} setSending={setSending} />)}>Upload</Button>
          <Button kind="primary" icon="download" onClick={() => openDialog((close) => <Import close={close} />)}>Import</Button></>}
      </PageHead>
      {(going.length > 0 || sending) && <section class="panel section" aria-label="Going on">
        {sending && <div class="op"><div class="op-head"><span>Uploading {sending.name} · {bytes(sending.done)} of {bytes(sending.total)}</span><Button kind="small" onClick={() => sending.abort.abort()}>Cancel</Button></div><Progress permille={sending.total ? sending.done / sending.total * 1000 : 0} label={`Uploading ${sending.name}`} /></div>}
        {going.map((o) => <Work key={o.id} o={o} />)}
      </section>}
      {failed.map((o) => <div class="stack" key={o.id}><div class="note bad"><Icon name="warn" /><div><p><b>{nameOf(o)}</b>: {o.error?.detail}</p>{o.error?.hint && <p class="soft">{o.error.hint}</p>}</div></div><span /></div>)}
      <div class="section"><ImageTable rows={rows} /></div>
      {isAdmin.value && unbuilt.length > 0 && <section class="section"><h2>Can be built here</h2><div class="choices">
        {unbuilt.map((r) => <div class="choice" key={r.name}><ImagePicture name={r.name} desktop={r.name === 'desktop'} /><div class="choice-text"><b>{r.name}</b><span>{r.description}</span><p><Button onClick={() => build(r)}>Build</Button></p></div></div>)}
      </div></section>}
    </>
  );
}

const nameOf = (o) => (o.target ?? '').replace(/^images?\//, '').replace(/^(recipe:|docker:\/\/)/, '') || o.kind;

function Work({ o }) {
  const amount = o.total > 0 && o.unit === 'bytes' ? ` · ${bytes(o.done)} of ${bytes(o.total)}` : '';
  return (
    <div class="op">
      <div class="op-head"><span><b>{nameOf(o)}</b> <span class="soft num">{o.step || 'waiting'}{amount}</span></span><Button kind="small" onClick={() => attempt(del(`/v1/operations/${o.id}`).then((x) => x?.id && putOp(x)))}>Cancel</Button></div>
      <Progress permille={o.progress} label={`Progress of ${nameOf(o)}`} />
    </div>
  );
}

function ImageTable({ rows }) {
  if (!rows.length) return <Empty icon="image" title="No image here"><p>Build one below, or import one from a registry.</p></Empty>;
  return <Table label="Images" rows={rows} keyOf={(m) => m.digest} initial={{ id: 'name', down: false }} columns={[
    { id: 'name', text: 'Name', sort: (m) => m.names?.[0] ?? m.digest, cell: (m) => <div class="image-row"><ImagePicture name={m.names?.[0] ?? ''} desktop={m.desktop} app={m.init === 'app'} /><div><b title={m.digest}>{m.names?.join(', ') || m.digest.slice(7, 19)}</b><div class="soft">{m.description || m.source}</div></div></div> },
    { id: 'kind', text: 'Kind', className: 'hide-narrow', cell: (m) => <span class="tag">{m.desktop ? 'desktop' : m.init === 'app' ? 'one program' : 'system'}</span> },
    { id: 'size', text: 'Size', num: true, className: 'hide-narrow', sort: (m) => m.size, cell: (m) => bytes(m.size) },
    { id: 'created', text: 'Made', className: 'hide-narrow', sort: (m) => m.created, cell: (m) => <Ago time={m.created} /> },
    { id: 'used', text: 'Used by', num: true, className: 'hide-narrow', sort: (m) => m.used_by?.length ?? 0, cell: (m) => <span title={(m.used_by ?? []).join(', ')}>{m.used_by?.length ?? '–'}</span> },
    { id: 'acts', text: '', className: 'acts', cell: (m) => <ImageActs m={m} /> },
  ]} />;
}

function ImageActs({ m }) {
  const name = m.names?.[0] ?? m.digest.slice(7, 19);
  const ref = m.names?.[0] ?? m.digest;
  return (
    <>
      <Button kind="small" href={href('new', { image: ref })}>Use</Button>
      {isAdmin.value && <Menu label={`More for ${name}`} items={[
        { text: 'Names…', icon: 'edit', act: () => openDialog((close) => <Names m={m} close={close} />) },
        /^(recipe|docker)/.test(m.source ?? '') && { text: m.source.startsWith('recipe') ? 'Build again' : 'Fetch again', icon: 'restart', act: () => attempt(post('/v1/images', { source: m.source, name }).then((a) => follow(a, `${name} is ready.`))) },
        { text: 'Delete…', icon: 'trash', danger: true, act: () => confirm({
          title: `Delete image ${name}?`, text: m.used_by?.length ? `It is used by ${m.used_by.join(', ')}, so the server will refuse.` : null,
          lost: [`the image (${bytes(m.size)})${/^(recipe|docker)/.test(m.source ?? '') ? '; it can be made again' : ''}`], submitText: 'Delete', act: () => del(imagePath(m.digest)).then(readImages) }) },
      ]} />}
    </>
  );
}

function Names({ m, close }) {
  const [text, setText] = useState((m.names ?? []).join('\n'));
  const submit = () => patch(imagePath(m.digest), { names: text.split(/\s+/).filter(Boolean) }).then(readImages);
  return <FormDialog title="Names of the image" submit={submit} submitText="Save" onClose={close}><Field label="Names" hint="One a line; the first is shown.">{(ids) => <textarea {...ids} rows="4" spellcheck={false} value={text} onInput={(e) => setText(e.currentTarget.value)} />}</Field></FormDialog>;
}

function Import({ close }) {
  const [form, setForm] = useState({ source: '', name: '' });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async () => {
    const t = form.source.trim();
    const source = /^\w+:/.test(t) && !/^[\w.-]+:\d/.test(t) ? t : `docker://${t}`;
    const answer = await post('/v1/images', { source, ...(form.name.trim() ? { name: form.name.trim() } : {}) });
    follow(answer, `${form.name.trim() || t} is ready.`);
  };
  return (
    <FormDialog title="Import an image" submit={submit} submitText="Import" onClose={close}>
      <Field label="From" required autoFocus value={form.source} onInput={set('source')} placeholder="nginx:1.27" autoCapitalize="none" spellcheck={false} hint="A name in a container registry, like nginx:1.27 or registry.example/team/app:2; or oci:/var/lib/portena/import/FOLDER on the server." />
      <Field label="Name here" value={form.name} onInput={set('name')} autoCapitalize="none" spellcheck={false} placeholder="the same" />
    </FormDialog>
  );
}

const FORMATS = [['rootfs', 'Root file system (tar, tar.gz)'], ['docker-archive', 'docker save'], ['oci-archive', 'OCI archive']];
const typeOf = (file) => (/\.t?gz$/.test(file.name) ? 'application/gzip' : /\.tar$/.test(file.name) ? 'application/x-tar' : 'application/octet-stream');

function Upload({ close, setSending }) {
  const [form, setForm] = useState({ name: '', format: 'rootfs' });
  const picker = useRef(null);
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  // The dialog closes at once: an upload takes long, and its progress is on the page.
  const submit = async () => {
    const file = picker.current.files[0];
    const job = { name: form.name, done: 0, total: file.size, abort: new AbortController() };
    setSending(job);
    const query = new URLSearchParams({ name: form.name.trim(), format: form.format });
    attempt(upload('POST', `/v1/images?${query}`, file, { type: typeOf(file), signal: job.abort.signal, onProgress: (done, total) => setSending({ ...job, done, total }) })
      .then((a) => follow(a, `${form.name} is ready.`), (e) => { if (e.name !== 'AbortError') throw e; })
      .finally(() => setSending(null)));
  };
  return (
    <FormDialog title="Upload an image" submit={submit} submitText="Upload" onClose={close}>
      <Field label="File">{(ids) => <input {...ids} type="file" required ref={picker} accept=".tar,.gz,.tgz,.oci" onChange={(e) => { const f = e.currentTarget.files[0]; if (f && !form.name) setForm({ ...form, name: f.name.replace(/\.(tar|tgz|gz|oci|tar\.gz)+$/, '').toLowerCase() }); }} />}</Field>
      <Field label="Name" required value={form.name} onInput={set('name')} autoCapitalize="none" spellcheck={false} />
      <Field label="What it is">{(ids) => <select {...ids} value={form.format} onChange={set('format')}>{FORMATS.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>}</Field>
    </FormDialog>
  );
}

function prune() {
  confirm({
    title: 'Clean up unused images?', lost: ['images that no computer uses and that are not built in'], submitText: 'Clean up',
    act: async () => {
      const r = await post('/v1/images/prune');
      await readImages();
      toast(r.removed.length ? `${count(r.removed.length, 'image')} removed, ${bytes(r.freed)} freed.` : 'There was nothing to clean up.');
    },
  });
}

