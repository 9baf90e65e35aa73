// SPDX-License-Identifier: Apache-2.0
// What computers start from: built in, from a registry, or one's own file.
import { useState } from 'preact/hooks';
import { images, recipes, isAdmin, operations, putOp, readImages, serverArch } from '../lib/live.js';
import { del, imagePath, post } from '../lib/api.js';
import { href } from '../lib/route.js';
import { bytes, count, duration, rate } from '../lib/format.js';
import { ended } from '../lib/state.js';
import { diskNote, imageWord, isForeign, isPart } from '../lib/kinds.js';
import { Ago, Badges, Button, Empty, Menu, PageHead, Progress } from '../ui/parts.jsx';
import { attempt, confirm, openDialog, toast } from '../ui/dialog.jsx';
import { askExport } from '../ui/export.jsx';
import { ImagePicture } from '../ui/picture.jsx';
import { Icon } from '../ui/icon.jsx';
import { Table } from '../ui/table.jsx';
import { BuildFor, Import, Names, Upload, follow } from './images_add.jsx';

const aboutImages = (o) => /image/.test(o.kind ?? '') || /^images?\//.test(o.target ?? '');

export default function Images() {
  const [find, setFind] = useState('');
  const [sending, setSending] = useState(null);
  if (!images.value) return null;
  const going = [...operations.value.values()].filter((o) => aboutImages(o) && !ended(o));
  const failed = [...operations.value.values()].filter((o) => aboutImages(o) && o.state === 'failed' && Date.now() - Date.parse(o.ended) < 600e3).slice(-2);
  const seen = images.value.filter((m) => isAdmin.value || !isPart(m));
  const rows = seen.filter((m) => `${imageWord(m)} ${m.arch} ${m.names?.join(' ')} ${m.source} ${m.description} ${m.digest}`.toLowerCase().includes(find.toLowerCase()));
  const unbuilt = recipes.value.filter((r) => !r.image && !going.some((o) => nameOf(o) === r.name));
  const build = (r) => attempt(post('/v1/images', { source: `recipe:${r.name}` }).then((a) => follow(a, `${r.name} is ready.`)));
  return (
    <>
      <PageHead title="Images" sub={`What computers start from. ${count(seen.length, 'image')}, ${bytes(seen.reduce((n, m) => n + (m.size ?? 0), 0))}.`}>
        <label class="search"><Icon name="search" /><span class="sr">Search images</span><input type="search" data-search placeholder="Search" value={find} onInput={(e) => setFind(e.currentTarget.value)} /><kbd aria-hidden="true">/</kbd></label>
        {isAdmin.value && <><Menu label="More" kind="" items={[recipes.value.length > 0 && serverArch.value && { text: 'Build for other processors…', icon: 'chip', act: () => openDialog((close) => <BuildFor close={close} />) },
          { text: 'Clean up unused…', icon: 'trash', act: prune }]} />
          <Button icon="upload" onClick={() => openDialog((close) => <Upload close={close} setSending={setSending} />)}>Upload</Button>
          <Button kind="primary" icon="download" onClick={() => openDialog((close) => <Import close={close} />)}>Import</Button></>}
      </PageHead>
      {(going.length > 0 || sending) && <section class="panel section" aria-label="Going on">
        {sending && <div class="op"><div class="op-head"><span><b>{sending.name}</b> <span class="soft num">uploading · {bytes(sending.done)} of {bytes(sending.total)}{speedOf(sending)}</span></span><Button kind="small" onClick={() => sending.abort.abort()}>Cancel</Button></div><Progress permille={sending.total ? sending.done / sending.total * 1000 : 0} label={`Uploading ${sending.name}`} /></div>}
        {going.map((o) => <Work key={o.id} o={o} />)}
      </section>}
      {failed.map((o) => <div class="stack" key={o.id}><div class="note bad"><Icon name="warn" /><div><p><b>{nameOf(o)}</b>: {o.error?.detail}</p>{o.error?.hint && <p class="soft">{o.error.hint}</p>}</div></div><span /></div>)}
      <div class="section"><ImageTable rows={rows} /></div>
      {isAdmin.value && unbuilt.length > 0 && <section class="section"><h2>Can be built here</h2><div class="choices">
        {unbuilt.map((r) => <div class="choice" key={r.name}><ImagePicture name={r.name} desktop={r.name === 'desktop'} format={r.name === 'kernel' ? 'kernel' : undefined} /><div class="choice-text"><b>{r.name}</b><span>{r.description}</span><p><Button onClick={() => build(r)}>Build</Button></p></div></div>)}
      </div></section>}
    </>
  );
}

const nameOf = (o) => (o.target ?? '').replace(/^images?\//, '').replace(/^(recipe:|docker:\/\/)/, '') || o.kind;

/** " · 84 MiB/s, 2 min left", once that can be told. */
function speedOf({ done, total, since }) {
  const seconds = (performance.now() - since) / 1000;
  if (seconds < 2 || !done) return '';
  return ` · ${rate(done / seconds)}${total > done ? `, ${duration((total - done) / (done / seconds))} left` : ''}`;
}

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
    { id: 'name', text: 'Name', sort: (m) => m.names?.[0] ?? m.digest, cell: (m) => <div class="image-row"><ImagePicture name={m.names?.[0] ?? ''} desktop={m.desktop} app={m.init === 'app'} format={m.format} /><div><b title={m.digest}>{m.names?.join(', ') || m.digest.slice(7, 19)}</b> <Badges of={{ arch: m.arch }} /><div class="soft">{m.description || m.source}</div></div></div> },
    { id: 'kind', text: 'What it is', className: 'hide-narrow', sort: imageWord, cell: (m) => <span class={`tag ${isPart(m) ? 'off' : ''}`}>{imageWord(m)}{m.format === 'disk' && m.firmware ? `, ${m.firmware.toUpperCase()}` : ''}</span> },
    { id: 'size', text: 'Size', num: true, className: 'hide-narrow', sort: (m) => m.size, cell: (m) => <>{bytes(m.size)}{diskNote(m) && <div class="soft">{diskNote(m)}</div>}</> },
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
      {!isPart(m) && <Button kind="small" href={href('new', { image: ref })}>Use</Button>}
      {isAdmin.value && <Menu label={`More for ${name}`} items={[
        { text: 'Names…', icon: 'edit', act: () => openDialog((close) => <Names m={m} close={close} />) },
        /^(recipe|docker)/.test(m.source ?? '') && { text: m.source.startsWith('recipe') ? 'Build again' : 'Fetch again', icon: 'restart', act: () => attempt(post('/v1/images', { source: m.source, name, ...(isForeign(m.arch, serverArch.value) ? { arch: m.arch } : {}) }).then((a) => follow(a, `${name} is ready.`))) },
        ['disk', 'iso'].includes(m.format) && { text: 'Export…', icon: 'download', act: () => askExport(name, imagePath(ref), m.format === 'iso') },
        { text: 'Delete…', icon: 'trash', danger: true, act: () => confirm({
          title: `Delete image ${name}?`, text: m.used_by?.length ? `It is used by ${m.used_by.join(', ')}, so the server will refuse.` : null,
          lost: [`the image (${bytes(m.size)})${/^(recipe|docker)/.test(m.source ?? '') ? '; it can be made again' : ''}`], submitText: 'Delete', act: () => del(imagePath(m.digest)).then(readImages) }) },
      ]} />}
    </>
  );
}

function prune() {
  confirm({
    title: 'Clean up unused images?', lost: ['older builds of images: those that have lost their name to a newer one, and that no computer uses'], submitText: 'Clean up',
    act: async () => {
      const r = await post('/v1/images/prune');
      await readImages();
      toast(r.removed.length ? `${count(r.removed.length, 'image')} removed, ${bytes(r.freed)} freed.` : 'There was nothing to clean up.');
    },
  });
}

