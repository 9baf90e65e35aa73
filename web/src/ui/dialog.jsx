// SPDX-License-Identifier: Apache-2.0
// Dialogs rest on the browser's own <dialog>: it keeps the focus inside, closes on Escape and gives the focus back.
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button, Trouble, Field } from './parts.jsx';
import { Icon } from './icon.jsx';

export function Dialog({ title, onClose, children, wide }) {
  const ref = useRef(null);
  useEffect(() => {
    const el = ref.current;
    el.showModal();
    return () => el.close();
  }, []);
  return (
    <dialog ref={ref} class={wide ? 'wide' : ''} aria-labelledby="dialog-title" onCancel={(e) => { e.preventDefault(); onClose(); }}>
      <header><h2 id="dialog-title">{title}</h2><button type="button" class="btn ghost" aria-label="Close" onClick={onClose}><Icon name="close" /></button></header>
      {children}
    </dialog>
  );
}

/** A form in a dialog: on a refusal it stays as it is and shows why. `submit` is an async function; false
 * means that something else takes the dialog's place. */
export function FormDialog({ title, submit, submitText, onClose, danger, disabled, children, wide }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const onSubmit = async (e) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      if ((await submit()) !== false) onClose();
    } catch (x) {
      setError(x);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={onSubmit}>
        <div class="dialog-body">{children}<Trouble error={error} /></div>
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={danger ? 'danger' : 'primary'} busy={busy} disabled={disabled}>{submitText}</Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** The dialog that is open over any page: a function of how to close it, or null. */
const current = signal(null);
export const openDialog = (render) => {
  current.value = render;
};
export function DialogHost() {
  const render = current.value;
  return render ? render(() => { current.value = null; }) : null;
}

/** Asks before something is lost. With `name`, it must be typed: used where data goes. With `password`, that of who asks is
 * wanted, and `act` gets it. */
export function confirm({ title, lost, text, name, password, submitText, act }) {
  openDialog((close) => <Confirm {...{ title, lost, text, name, password, submitText, act, close }} />);
}

function Confirm({ title, lost, text, name, password, submitText, act, close }) {
  const [typed, setTyped] = useState('');
  const [secret, setSecret] = useState('');
  return (
    <FormDialog title={title} submit={() => act(secret)} submitText={submitText} onClose={close} danger disabled={name && typed !== name}>
      {text && <p>{text}</p>}
      {lost && <><p>This is lost for good:</p><ul class="lost">{lost.map((l) => <li key={l}>{l}</li>)}</ul></>}
      {name && <Field label={<>Type <b>{name}</b> to go on</>} value={typed} autoComplete="off" spellcheck={false} autoFocus
        onInput={(e) => setTyped(e.currentTarget.value)} />}
      {password && <Field label="Your password" type="password" required autoComplete="current-password" autoFocus value={secret}
        onInput={(e) => setSecret(e.currentTarget.value)} />}
    </FormDialog>
  );
}

/** Short news at the edge of the page. Failures stay until they are closed. */
const toasts = signal([]);
let toastId = 0;
export function toast(text, { tone = '', hint = '' } = {}) {
  const id = ++toastId;
  toasts.value = [...toasts.value.slice(-3), { id, text, tone, hint }];
  if (tone !== 'bad') setTimeout(() => drop(id), 5000);
}
const drop = (id) => {
  toasts.value = toasts.value.filter((t) => t.id !== id);
};
/** Runs an act; a refusal becomes a toast that says why. */
export const attempt = (promise) => promise.catch((e) => e.cancelled || toast(e.message, { tone: 'bad', hint: e.hint }));

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((t) => (
        <div key={t.id} class={`toast ${t.tone}`}>
          <Icon name={t.tone === 'bad' ? 'warn' : 'check'} />
          <div><p>{t.text}</p>{t.hint && <p class="soft">{t.hint}</p>}</div>
          <button type="button" class="btn ghost" aria-label="Dismiss" onClick={() => drop(t.id)}><Icon name="close" size={16} /></button>
        </div>
      ))}
    </div>
  );
}
