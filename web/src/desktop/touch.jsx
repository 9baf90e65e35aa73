// SPDX-License-Identifier: Apache-2.0
// Typing without a keyboard: a text field out of sight brings the phone's own up, and what changes in it is typed on the
// desktop. It stays up while one taps on the desktop; a strip has the keys that a phone lacks. The desktop takes the room
// that is left.
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from '../ui/icon.jsx';
import { KEY, symOfChar, typedDiff } from './keys.js';
import { touching } from './session.js';

const STRIP = [['Escape', 'Esc'], ['Tab', 'Tab'], ['Left', '←', 'Left'], ['Up', '↑', 'Up'], ['Down', '↓', 'Down'], ['Right', '→', 'Right']];
const HOLD = [['Control', 'Ctrl'], ['Alt', 'Alt']];
const NAMED = { Tab: 'Tab', Escape: 'Escape', ArrowLeft: 'Left', ArrowRight: 'Right', ArrowUp: 'Up', ArrowDown: 'Down', Delete: 'Delete', Home: 'Home', End: 'End' };

/** `field`: a ref to the text field; focusing it in a tap's handler starts it all. */
export function SoftKeyboard({ session, field }) {
  const last = useRef('');
  const [held, setHeld] = useState([]);
  const press = (sym) => {
    for (const k of held) session.rfb?.sendKey(KEY[k], null, true);
    session.rfb?.sendKey(sym, null, true);
    session.rfb?.sendKey(sym, null, false);
    for (const k of held) session.rfb?.sendKey(KEY[k], null, false);
    if (held.length) setHeld([]); // Ctrl is for the next key, not for all
  };
  // A few characters to delete, since some keyboards send nothing when the field is empty.
  const reset = () => {
    field.current.value = '\u00a0'.repeat(20);
    last.current = field.current.value;
  };
  const onInput = (e) => {
    const { back, text } = typedDiff(last.current, e.currentTarget.value);
    for (let n = 0; n < back; n++) press(KEY.BackSpace);
    for (const c of text) {
      const sym = symOfChar(c);
      if (sym) press(sym);
    }
    last.current = e.currentTarget.value;
    if (!e.isComposing && (last.current.length > 200 || last.current.length < 5)) reset();
  };
  const onKeyDown = (e) => {
    if (!NAMED[e.key]) return;
    e.preventDefault();
    e.stopPropagation();
    press(KEY[NAMED[e.key]]);
  };
  const onFocus = () => {
    reset();
    session.type(true);
  };
  const keep = (e) => e.preventDefault(); // the field keeps the focus, and so the keyboard stays
  return (
    <>
      <textarea ref={field} class="desk-type" aria-label="Type on the desktop" tabIndex="-1" autoCapitalize="none" autoComplete="off" autocorrect="off" spellcheck={false}
        onInput={onInput} onKeyDown={onKeyDown} onFocus={onFocus} onBlur={() => session.type(false)} />
      {session.typing.value && (
        <div class="desk-strip" role="toolbar" aria-label="More keys" onPointerDown={keep} onMouseDown={keep}>
          {HOLD.map(([k, t]) => <button type="button" key={k} aria-pressed={held.includes(k)} onClick={() => setHeld(held.includes(k) ? held.filter((h) => h !== k) : [...held, k])}>{t}</button>)}
          {STRIP.map(([k, t, name]) => <button type="button" key={k} aria-label={name} onClick={() => press(KEY[k])}>{t}</button>)}
          <button type="button" aria-label="Put the keyboard away" onClick={() => field.current.blur()}><Icon name="down" size={18} /></button>
        </div>
      )}
    </>
  );
}

/** Keeps an element as high as what can be seen of the page, which a phone's keyboard covers from below. */
export function useVisibleHeight(box) {
  useEffect(() => {
    const view = globalThis.visualViewport;
    if (!view || !touching()) return undefined;
    const fit = () => {
      if (view.scale > 1.01) return; // zoomed in by fingers, not shrunk
      box.current.style.height = `${view.height}px`;
      box.current.style.top = `${view.offsetTop}px`;
    };
    view.addEventListener('resize', fit);
    view.addEventListener('scroll', fit);
    fit();
    return () => {
      view.removeEventListener('resize', fit);
      view.removeEventListener('scroll', fit);
    };
  }, []);
}
