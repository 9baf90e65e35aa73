// SPDX-License-Identifier: Apache-2.0
// The clipboard both ways by itself where the browser allows it (a secure page, and a yes of the person). Where it
// does not, the panel of the desktop page is the way.
import { signal } from '@preact/signals';

/** 'yes', 'ask' or 'no': may this page read the clipboard by itself? */
export const clipboardAccess = signal('no');

async function access() {
  if (!navigator.clipboard?.readText) return 'no';
  try {
    const p = await navigator.permissions.query({ name: 'clipboard-read' });
    p.onchange = () => { clipboardAccess.value = word(p.state); };
    return word(p.state);
  } catch {
    return 'no'; // Firefox and Safari do not know the permission: only by hand
  }
}
const word = (state) => ({ granted: 'yes', prompt: 'ask' }[state] ?? 'no');

/** Keeps a session's clipboard and ours the same; returns how to stop. */
export function syncClipboard(session) {
  let last = null;
  access().then((a) => { clipboardAccess.value = a; });
  session.onText = async (text) => {
    last = text;
    if (!navigator.clipboard?.writeText || !document.hasFocus()) return;
    await navigator.clipboard.writeText(text).catch(() => {}); // not allowed: it is in the panel
  };
  const onFocus = async () => {
    if (clipboardAccess.value !== 'yes') return;
    const text = await navigator.clipboard.readText().catch(() => null);
    if (text && text !== last) {
      last = text;
      session.paste(text);
    }
  };
  addEventListener('focus', onFocus);
  const stop = session.phase.subscribe((p) => { if (p === 'connected') onFocus(); });
  return () => {
    removeEventListener('focus', onFocus);
    stop();
  };
}

/** Asks for the permission by reading once, from a click. Resolves to the text, or null. */
export async function readOnce() {
  try {
    const text = await navigator.clipboard.readText();
    clipboardAccess.value = await access();
    return text;
  } catch {
    clipboardAccess.value = await access();
    return null;
  }
}
