// SPDX-License-Identifier: Apache-2.0
// The desktop page: nothing but the desktop, and a handle that slides a bar in.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { instance, instances, loaded, act, link } from '../lib/live.js';
import { href, go } from '../lib/route.js';
import { Icon } from '../ui/icon.jsx';
import { Button, Trouble } from '../ui/parts.jsx';
import { attempt, toast } from '../ui/dialog.jsx';
import { DeskSession, MODES, QUALITIES, touching } from './session.js';
import { syncClipboard, clipboardAccess, readOnce } from './clipboard.js';
import { COMBOS, KEY, sendCombo } from './keys.js';
import { SoftKeyboard, useVisibleHeight } from './touch.jsx';

export default function Desktop({ space, name }) {
  return <Desk key={`${space}/${name}`} space={space} name={name} />;
}

function Desk({ space, name }) {
  const screen = useRef(null);
  const still = useRef(null);
  const root = useRef(null);
  const field = useRef(null);
  const [bar, setBar] = useState(false);
  const [panel, setPanel] = useState(null);
  const session = useMemo(() => new DeskSession({ space, name }), []);
  const i = instance(space, name);
  const state = i?.state;

  useEffect(() => {
    session.attach(screen.current, still.current);
    const stopClipboard = syncClipboard(session);
    const onBack = () => document.hidden || (session.phase.value === 'retrying' && session.connect());
    document.addEventListener('visibilitychange', onBack);
    document.documentElement.classList.add('on-desktop');
    return () => {
      document.documentElement.classList.remove('on-desktop');
      document.removeEventListener('visibilitychange', onBack);
      stopClipboard();
      session.close();
      document.title = 'Portena';
    };
  }, []);
  // Whoever opens a hibernated desktop wants to work: it is woken. One that falls asleep under an open page is left to sleep.
  const awake = useRef(false);
  useEffect(() => {
    if (state === 'hibernated' && !awake.current) attempt(act(i, 'resume'));
    if (state) awake.current = true;
    if (state === 'running') session.wake();
    else if (state && state !== 'starting') session.sleep();
  }, [state]);
  useEffect(() => { document.title = session.title.value || name; }, [session.title.value]);
  useEffect(() => watchBarKeys(setBar), []);
  useVisibleHeight(root);
  useEffect(() => {
    if (!bar) {
      setPanel(null);
      if (!session.typing.value) session.rfb?.focus({ preventScroll: true });
      return undefined;
    }
    session.measure();
    const timer = setInterval(() => session.measure(), 5000);
    return () => clearInterval(timer);
  }, [bar]);

  return (
    <main class="desk" ref={root}>
      <h1 class="sr">Desktop of {name}</h1>
      <canvas class="desk-still" ref={still} hidden />
      <div class="desk-screen" ref={screen} role="application" aria-label={`Screen of ${name}`} onPointerDown={() => bar && setBar(false)} />
      <button type="button" class={`desk-handle ${bar ? 'open' : ''}`} aria-expanded={bar} aria-controls="desk-bar" title="Tools (Ctrl + Alt + Shift)" onClick={() => setBar(!bar)}>
        <span class="sr">Tools</span><Icon name="down" size={16} />
      </button>
      {touching() && <SoftKeyboard session={session} field={field} />}
      {bar && <Bar {...{ session, space, name, panel, setPanel, root, field, close: () => setBar(false) }} />}
      <Notice {...{ session, i, space, name }} />
    </main>
  );
}

// The desktop takes all keys, so the way to the bar is a combination that nothing else uses.
function watchBarKeys(setBar) {
  const onKey = (e) => {
    if (e.ctrlKey && e.altKey && e.shiftKey && ['Control', 'Alt', 'Shift'].includes(e.key)) setBar((b) => !b);
    else if (e.key === 'Escape' && document.activeElement?.closest('.desk-bar, .desk-panel')) {
      e.stopPropagation();
      setBar(false);
    }
  };
  addEventListener('keydown', onKey, true);
  return () => removeEventListener('keydown', onKey, true);
}

function Bar({ session, space, name, panel, setPanel, root, field, close }) {
  const bar = useRef(null);
  const connected = session.phase.value === 'connected';
  useEffect(() => { bar.current.querySelector('a, button').focus(); }, []);
  const toggle = (p) => setPanel(panel === p ? null : p);
  const full = async () => {
    if (document.fullscreenElement) return document.exitFullscreen();
    try {
      await root.current.requestFullscreen();
      await navigator.keyboard?.lock?.().catch(() => {}); // Esc and Alt-Tab go to the desktop where the browser can
    } catch {
      toast('This browser does not allow full screen here.');
    }
    return close();
  };
  const item = (id, icon, text) => (
    <button type="button" class="desk-tool" aria-expanded={panel === id} onClick={() => toggle(id)} disabled={!connected && id !== 'scale' && id !== 'quality'}><Icon name={icon} size={20} /><span>{text}</span></button>
  );
  return (
    <>
      <div class="desk-bar" id="desk-bar" role="toolbar" aria-label={`Tools for ${name}`} ref={bar}>
        <a class="desk-tool" href="#/"><Icon name="left" size={20} /><span>Computers</span></a>
        <a class="desk-name" href={href('computer', space, name)} title="Details">{name}</a>
        <button type="button" class="desk-tool" onClick={full}><Icon name="expand" size={20} /><span>{document.fullscreenElement ? 'Leave full screen' : 'Full screen'}</span></button>
        {item('clipboard', 'clipboard', 'Clipboard')}
        {item('keys', 'key', 'Keys')}
        {touching() && <button type="button" class="desk-tool" disabled={!connected} onClick={() => { field.current.focus(); close(); }}><Icon name="keyboard" size={20} /><span>Keyboard</span></button>}
        <a class="desk-tool" href={href('computer', space, name, 'files')}><Icon name="files" size={20} /><span>Files</span></a>
        {item('scale', 'fit', 'Scale')}
        {item('quality', 'quality', 'Quality')}
        <Delay session={session} />
        <button type="button" class="desk-tool" onClick={() => { session.close(); go(); }}><Icon name="out" size={20} /><span>Disconnect</span></button>
      </div>
      {panel && (
        <div class="desk-panel" role="group" aria-label={panel}>
          {panel === 'clipboard' && <ClipboardPanel session={session} />}
          {panel === 'keys' && <KeysPanel session={session} close={close} />}
          {panel === 'scale' && <Choices title="Scale" list={MODES} value={session.mode.value} set={(id) => session.set('mode', id)} />}
          {panel === 'quality' && <Choices title="Quality" list={QUALITIES} value={session.quality.value} set={(id) => session.set('quality', id)} />}
        </div>
      )}
    </>
  );
}

function Delay({ session }) {
  const ms = session.delay.value;
  const tone = ms == null ? '' : ms > 150 ? 'bad' : ms > 60 ? 'busy' : 'good';
  return <span class={`desk-delay state ${tone}`} title="The way to the server and back"><i aria-hidden="true" /><span class="sr">Delay </span>{ms == null ? '–' : `${Math.max(1, Math.round(ms))} ms`}</span>;
}

function Choices({ title, list, value, set }) {
  return (
    <fieldset class="plain-set"><legend>{title}</legend>
      {list.map((c) => (
        <label class="pick" key={c.id}><input type="radio" name={title} checked={c.id === value} onChange={() => set(c.id)} /><span><b>{c.text}</b><small>{c.hint}</small></span></label>
      ))}
    </fieldset>
  );
}

function ClipboardPanel({ session }) {
  const theirs = session.remoteText.value;
  const [text, setText] = useState(theirs ?? '');
  const area = useRef(null);
  const shown = useRef(theirs); // what is newer replaces what stands there; what is not leaves alone what was typed meanwhile
  useEffect(() => {
    if (theirs != null && theirs !== shown.current) setText(theirs);
    shown.current = theirs;
  }, [theirs]);
  const take = async () => {
    const t = await readOnce();
    if (t == null) return toast('The browser keeps its clipboard closed. Paste the text into the box, then send it.');
    setText(t);
    return session.paste(t);
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied to this device.');
    } catch {
      area.current?.select();
      toast('Press Ctrl + C to copy the selected text.');
    }
  };
  return (
    <>
      <label class="desk-label" for="desk-clip">Clipboard of the desktop</label>
      <textarea id="desk-clip" ref={area} rows="5" value={text} spellcheck={false} placeholder="What you copy on the desktop shows here. Or write here and send it." onInput={(e) => setText(e.currentTarget.value)} />
      <div class="actions">
        <Button kind="primary" onClick={() => { session.paste(text); toast('Sent to the desktop: paste it there.'); }}>Send to the desktop</Button>
        <Button icon="copy" onClick={copy}>Copy to this device</Button>
        {clipboardAccess.value === 'ask' && <Button onClick={take}>Share the clipboard</Button>}
      </div>
      <p class="hint">{clipboardAccess.value === 'yes' ? 'The two clipboards follow each other by themselves.' : clipboardAccess.value === 'ask' ? 'Share the clipboard once, and the two follow each other by themselves.' : 'This browser lets a page use the clipboard by hand only.'}</p>
    </>
  );
}

function KeysPanel({ session, close }) {
  const [held, setHeld] = useState([]);
  const hold = (k) => {
    const down = !held.includes(k);
    session.rfb?.sendKey(KEY[k], null, down);
    setHeld(down ? [...held, k] : held.filter((x) => x !== k));
  };
  useEffect(() => () => { for (const k of ['Control', 'Alt', 'Super', 'Shift']) session.rfb?.sendKey(KEY[k], null, false); }, []);
  return (
    <>
      <p class="desk-label">Send</p>
      <div class="combos">{COMBOS.map((c) => <Button key={c.text} onClick={() => { sendCombo(session.rfb, c.keys); close(); }}>{c.text}</Button>)}</div>
      <p class="desk-label">Hold while this is open</p>
      <div class="combos">{[['Control', 'Ctrl'], ['Alt', 'Alt'], ['Shift', 'Shift'], ['Super', 'Super']].map(([k, t]) => <Button key={k} aria-pressed={held.includes(k)} kind={held.includes(k) ? 'primary' : ''} onClick={() => hold(k)}>{t}</Button>)}</div>
    </>
  );
}

/** What stands between one and the desktop: said calmly, with what can be done. */
function Notice({ session, i, space, name }) {
  const phase = session.phase.value;
  const blank = session.blank.value;
  const [slow, setSlow] = useState(false);
  // Nothing is said about what takes a blink.
  useEffect(() => {
    setSlow(false);
    const t = setTimeout(() => setSlow(true), 400);
    return () => clearTimeout(t);
  }, [phase, i?.state]);
  if (phase === 'connected' && !blank) return null;
  const box = (title, text, buttons) => <div class="desk-notice" role="status"><h2>{title}</h2>{text && <p>{text}</p>}{buttons && <div class="actions">{buttons}</div>}</div>;
  const leave = <Button href="#/">My computers</Button>;
  if (!i) return loaded.value && instances.value ? box(`There is no ${name} here`, `Space ${space} has no computer of that name, or you may not see it.`, leave) : null;
  if (i.state === 'stopped') return box(`${name} is off`, 'Its files are safe. Start it to go on.', <><Button kind="primary" icon="play" onClick={() => attempt(act(i, 'start'))}>Start</Button>{leave}</>);
  if (i.state === 'paused') return box(`${name} is paused`, 'It stands still just as you left it.', <><Button kind="primary" icon="play" onClick={() => attempt(act(i, 'resume'))}>Resume</Button>{leave}</>);
  if (i.state === 'hibernated') return box(`${name} is hibernated`, 'What was open is kept, and takes no memory on the server.', <><Button kind="primary" icon="play" onClick={() => attempt(act(i, 'resume'))}>Wake it</Button>{leave}</>);
  if (i.state === 'failed') return box(`${name} could not run`, null, <><Trouble error={{ message: (i.error ?? 'The reason is not known.').split('\n')[0], hint: (i.error ?? '').split('\n')[1] }} /><Button kind="primary" icon="restart" onClick={() => attempt(act(i, 'start'))}>Try again</Button><Button href={href('computer', space, name)}>Details</Button></>);
  if (i.desktop === false) return box(`${name} has no desktop`, 'Use its terminal instead.', <Button kind="primary" href={href('computer', space, name, 'terminal')}>Open the terminal</Button>);
  if (!slow) return null;
  if (i.state === 'stopping') return box(`${name} is shutting down`, 'A moment.');
  if (i.state === 'starting') return i.step === 'waking' ? box(`${name} is waking`, 'What was open is there in a moment.') : box(`${name} is starting`, i.step || 'A moment.');
  if (link.value === 'lost') return box('The connection is lost', 'Nothing is lost on your computer: it goes on. This page connects again by itself.', leave);
  if (phase === 'connected') return box(`${name} is starting`, 'Its desktop comes in a moment.');
  if (i.state === 'running' && i.ready === false) return box(`${name} is starting up`, i.kind === 'machine' ? 'Its own kernel boots, then its desktop comes. Where the server emulates it, that takes half a minute or more.' : 'Its desktop comes in a moment.');
  if (phase === 'retrying') return box('Connecting again', 'The desktop goes on as you left it.', leave);
  return box(`Connecting to ${name}`, null);
}
