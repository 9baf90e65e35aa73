// SPDX-License-Identifier: Apache-2.0
// How images come in: from a registry, or as a file; and what they are called.
import { useRef, useState } from 'preact/hooks';
import { opEnd, readImages, recipes, serverArch } from '../lib/live.js';
import { imagePath, patch, post, upload } from '../lib/api.js';
import { bytes } from '../lib/format.js';
import { ARCHS, FORMATS, archWord, guessUpload, isDisk, isForeign } from '../lib/kinds.js';
import { Field } from '../ui/parts.jsx';
import { FormDialog, attempt, toast } from '../ui/dialog.jsx';

export const follow = (answer, done) => attempt(opEnd(answer.operation).then(() => { toast(done); return readImages(); }));

export function Names({ m, close }) {
  const [text, setText] = useState((m.names ?? []).join('\n'));
  const submit = () => patch(imagePath(m.digest), { names: text.split(/\s+/).filter(Boolean) }).then(readImages);
  return <FormDialog title="Names of the image" submit={submit} submitText="Save" onClose={close}><Field label="Names" hint="One a line; the first is shown.">{(ids) => <textarea {...ids} rows="4" spellcheck={false} value={text} onInput={(e) => setText(e.currentTarget.value)} />}</Field></FormDialog>;
}

export function Import({ close }) {
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

/** A built-in image for other processors: it is built and run emulated, and lives beside the server's own. */
export function BuildFor({ close }) {
  const archs = ARCHS.filter((a) => isForeign(a, serverArch.value));
  const names = recipes.value.map((r) => r.name).filter((n) => !/^kernel/.test(n));
  const [form, setForm] = useState({ recipe: names.includes('debian') ? 'debian' : names[0], arch: archs[0] });
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async () => follow(await post('/v1/images', { source: `recipe:${form.recipe}`, arch: form.arch }), `${form.recipe}-${form.arch} is ready.`);
  return (
    <FormDialog title="Build for other processors" submit={submit} submitText="Build" onClose={close}>
      <Field label="Image">{(ids) => <select {...ids} value={form.recipe} onChange={set('recipe')}>{names.map((n) => <option key={n}>{n}</option>)}</select>}</Field>
      <Field label="Processors">{(ids) => <select {...ids} value={form.arch} onChange={set('arch')}>{archs.map((a) => <option key={a} value={a}>{archWord(a)}</option>)}</select>}</Field>
      <p class="hint">It will be called {form.recipe}-{form.arch}. Its programs are emulated here, also while it is built: that takes several times as long.</p>
    </FormDialog>
  );
}

const typeOf = (file) => (/\.t?gz$/i.test(file.name) ? 'application/gzip' : /\.tar$/i.test(file.name) ? 'application/x-tar' : 'application/octet-stream');
const ACCEPT = [...FORMATS.flatMap(([, , ends]) => ends.map((e) => `.${e.split('.').pop()}`)), '.gz'].join(',');
const hintOf = (format) => {
  if (format === 'iso') return 'Computers made from it start with an empty disk and this disc in the drive.';
  if (isDisk(format)) return 'A system with its own kernel. Computers made from it are machines; each gets a copy.';
  if (format === 'program') return 'Computers made from it run this one program, in a sandbox.';
  return 'Computers made from it can be containers or machines.';
};

/** The format is what is declared here: a file is never believed about itself. */
export function Upload({ close, setSending }) {
  const [form, setForm] = useState({ name: '', format: 'rootfs', main: '', size: 0, named: false, tar: false });
  const picker = useRef(null);
  const inTar = form.format === 'program' && form.tar;
  const chosen = (e) => {
    const f = e.currentTarget.files[0];
    if (!f) return;
    const guess = guessUpload(f.name);
    setForm({ ...form, format: guess.format, size: f.size, tar: /\.(tar(\.\w+)?|tgz)$/i.test(f.name), name: form.named && form.name ? form.name : guess.name });
  };
  // The dialog closes at once: an upload takes long, and its progress is on the page.
  const submit = async () => {
    const file = picker.current.files[0];
    const job = { name: form.name, done: 0, total: file.size, since: performance.now(), abort: new AbortController() };
    setSending(job);
    const query = new URLSearchParams({ name: form.name.trim(), format: form.format, ...(inTar && form.main.trim() ? { main: form.main.trim() } : {}) });
    attempt(upload('POST', `/v1/images?${query}`, file, { type: typeOf(file), signal: job.abort.signal, onProgress: (done, total) => setSending({ ...job, done, total }) })
      .then((a) => follow(a, `${form.name} is ready.`), (e) => { if (e.name !== 'AbortError') throw e; })
      .finally(() => setSending(null)));
  };
  return (
    <FormDialog title="Upload an image" submit={submit} submitText="Upload" onClose={close}>
      <Field label="File" hint={form.size ? bytes(form.size) : 'A disc (ISO), a disk (qcow2, vmdk, vdi, vhdx, raw, OVA), a root file system, or a program (.wasm, .jar).'}>{(ids) => <input {...ids} type="file" required ref={picker} accept={ACCEPT} onChange={chosen} />}</Field>
      <Field label="Name" required value={form.name} onInput={(e) => setForm({ ...form, name: e.currentTarget.value, named: true })} autoCapitalize="none" spellcheck={false} />
      <Field label="What it is" hint={hintOf(form.format)}>{(ids) => <select {...ids} value={form.format} onChange={(e) => setForm({ ...form, format: e.currentTarget.value })}>{FORMATS.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>}</Field>
      {inTar && <Field label="Which file of it is run" value={form.main} onInput={(e) => setForm({ ...form, main: e.currentTarget.value })} autoCapitalize="none" spellcheck={false} placeholder="bin/tool" />}
    </FormDialog>
  );
}
