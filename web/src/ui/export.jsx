// SPDX-License-Identifier: Apache-2.0
// A disk on its way out: the server makes the file (that takes a while and is watched), then the browser downloads it.
import { useState } from 'preact/hooks';
import { post } from '../lib/api.js';
import { operations, opEnd } from '../lib/live.js';
import { bytes } from '../lib/format.js';
import { exportFormats } from '../lib/kinds.js';
import { download } from '../lib/save.js';
import { Button, Field, Progress, Trouble } from './parts.jsx';
import { Dialog, openDialog, toast } from './dialog.jsx';

/** `path` has the exports; `disc` where it is one. */
export const askExport = (name, path, disc) => openDialog((close) => <Export {...{ name, path, disc, close }} />);

function Export({ name, path, disc, close }) {
  const formats = exportFormats(disc);
  const [format, setFormat] = useState(formats[0][0]);
  const [id, setId] = useState(null);
  const [error, setError] = useState(null);
  const [done, setDone] = useState(false);
  const op = operations.value.get(id);
  const begin = async (e) => {
    e.preventDefault();
    setError(null);
    try {
      const { operation } = await post(`${path}/exports`, { format });
      setId(operation.id);
      await opEnd(operation);
      setDone(true);
      download(`/v1/exports/${operation.id}`); // also where the dialog has been closed meanwhile: it was asked for
    } catch (x) {
      setId(null);
      if (!x.cancelled) setError(x);
    }
  };
  return (
    <Dialog title={`Export ${name}`} onClose={close}>
      <form onSubmit={begin}>
        <div class="dialog-body">
          {!id && <Field label="As" hint={formats.find(([v]) => v === format)[2]}>{(ids) => <select {...ids} value={format} onChange={(e) => setFormat(e.currentTarget.value)}>{formats.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>}</Field>}
          {id && !done && <><p role="status">{op?.step || 'Making the file'}{op?.total > 0 && op.unit === 'bytes' && <span class="soft num"> · {bytes(op.done)} of {bytes(op.total)}</span>}</p><Progress permille={op?.progress ?? -1} label={`Export of ${name}`} /><p class="hint">The download begins when the file is made. You can close this; it goes on.</p></>}
          {done && <p role="status">The download has begun. The file stays on the server for an hour: <button type="button" class="plain" onClick={() => download(`/v1/exports/${id}`)}>download it again</button></p>}
          <Trouble error={error} />
        </div>
        <footer>
          <Button onClick={() => { if (id && !done) toast(`${name} is being exported; its download begins by itself.`); close(); }}>{id ? 'Close' : 'Cancel'}</Button>
          {!id && <Button type="submit" kind="primary" icon="download">Export</Button>}
        </footer>
      </form>
    </Dialog>
  );
}
