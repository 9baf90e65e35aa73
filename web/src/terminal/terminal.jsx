// SPDX-License-Identifier: Apache-2.0
// A terminal: a shell of its own ("exec"), or the computer's console with what it has shown so far ("console").
// A console that drops connects again by itself; a shell that is gone is gone, so that one is asked.
import { Terminal as XTerm } from '@xterm/xterm';
import { FitAddon } from '@xterm/addon-fit';
import { useEffect, useRef, useState } from 'preact/hooks';
import { streamUrl } from '../lib/api.js';
import { backoff, stateWords } from '../lib/state.js';
import { LastWords } from './last.jsx';
import { Button, Empty } from '../ui/parts.jsx';
import { attempt } from '../ui/dialog.jsx';
import { act } from '../lib/live.js';
import { adoptStyles, releaseStyles } from './style.js';

const THEME = { background: '#0d1312', foreground: '#dfe7e4', cursor: '#59cdbf', cursorAccent: '#0d1312', selectionBackground: '#2b5a54', black: '#1d2624', red: '#ff8a80', green: '#7ddc98', yellow: '#ecc66b', blue: '#7db7ff', magenta: '#d5a6ff', cyan: '#6fdccf', white: '#dfe7e4', brightBlack: '#7d8b86', brightRed: '#ffaba3', brightGreen: '#a3ebb6', brightYellow: '#f7dc96', brightBlue: '#a9d0ff', brightMagenta: '#e6c8ff', brightCyan: '#a0ede3', brightWhite: '#ffffff' };
const KEYS = [['Esc', '\x1b'], ['Tab', '\t'], ['Ctrl-C', '\x03'], ['Ctrl-D', '\x04'], ['Ctrl-Z', '\x1a'], ['↑', '\x1b[A'], ['↓', '\x1b[B'], ['←', '\x1b[D'], ['→', '\x1b[C']];

const endText = (who, code, signal) => (signal ? `${who} was ended by signal ${signal}.` : code ? `${who} ended with exit code ${code}.` : `${who} has ended.`);

/** Connects `term` to a stream; `onEnd(text, final)` once. Answers { send, close }. */
function connect(i, what, term, onOpen, onEnd) {
  const ws = new WebSocket(streamUrl(i, what, what === 'console' ? '?history=true' : ''), ['binary']);
  ws.binaryType = 'arraybuffer';
  let ended = null;
  let opened = false;
  const size = () => ws.readyState === 1 && ws.send(JSON.stringify({ resize: [term.cols, term.rows] }));
  ws.onopen = () => {
    opened = true;
    if (what === 'exec') ws.send(JSON.stringify({ shell: true, tty: true, cols: term.cols, rows: term.rows, env: { TERM: 'xterm-256color' } }));
    else size();
    onOpen();
  };
  ws.onmessage = (m) => {
    if (typeof m.data !== 'string') return term.write(new Uint8Array(m.data));
    const t = JSON.parse(m.data);
    if (t.error) ended = [[t.error.detail, t.error.hint].filter(Boolean).join(' '), true];
    else if ('exit' in t) ended = [endText(what === 'exec' ? 'The shell' : i.name, t.exit, t.signal), true];
    return undefined;
  };
  ws.onclose = () => onEnd(...(ended ?? [opened ? 'The connection was lost.' : 'It could not be connected.', false]));
  const encoder = new TextEncoder();
  const sent = term.onData((d) => ws.readyState === 1 && ws.send(encoder.encode(d)));
  const raw = term.onBinary((d) => ws.readyState === 1 && ws.send(Uint8Array.from(d, (c) => c.charCodeAt(0))));
  const sized = term.onResize(size);
  return () => {
    ws.onclose = null;
    ws.close();
    for (const d of [sent, raw, sized]) d.dispose();
  };
}

export default function TerminalPage({ i, what }) {
  const box = useRef(null);
  const term = useRef(null);
  const [note, setNote] = useState(null);
  const [round, setRound] = useState(0);
  const tries = useRef(0);
  const running = i.state === 'running' || i.state === 'stopping' || (i.state === 'starting' && what === 'console');

  // Whoever opens it wants to work: a hibernated one is woken. One that falls asleep under an open page is left to sleep.
  useEffect(() => {
    if (i.state === 'hibernated') attempt(act(i, 'resume'));
  }, [i.id]);

  useEffect(() => {
    if (!running) return undefined;
    adoptStyles();
    const t = new XTerm({ theme: THEME, fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace', fontSize: 14, lineHeight: 1.15, cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches, scrollback: 10000, screenReaderMode: false, allowProposedApi: false });
    const fit = new FitAddon();
    t.loadAddon(fit);
    t.open(box.current);
    t.textarea.setAttribute('aria-label', what === 'exec' ? `Terminal of ${i.name}` : `Console of ${i.name}`);
    // Ctrl-Shift-C and -V as in other terminals; all other keys go to the computer.
    t.attachCustomKeyEventHandler((e) => {
      if (e.type === 'keydown' && e.ctrlKey && e.shiftKey && e.code === 'KeyC' && t.hasSelection()) {
        navigator.clipboard?.writeText(t.getSelection()).catch(() => {}); // not allowed: the selection stays
        e.preventDefault();
        return false;
      }
      if (e.type === 'keydown' && e.ctrlKey && e.altKey && e.shiftKey) {
        document.querySelector('.tabs [aria-current]')?.focus(); // the way out for who uses no mouse
        return false;
      }
      return true;
    });
    fit.fit();
    term.current = t;
    const sized = new ResizeObserver(() => fit.fit());
    sized.observe(box.current);
    return () => {
      sized.disconnect();
      t.dispose();
      term.current = null;
      releaseStyles();
    };
  }, [running, i.id]);

  useEffect(() => {
    const t = term.current;
    if (!t) return undefined;
    let timer = 0;
    const close = connect(i, what, t, () => {
      tries.current = 0;
      setNote(null);
      if (!matchMedia('(pointer: coarse)').matches) t.focus();
    }, (text, final) => {
      setNote({ text, final });
      if (final || what === 'exec') return;
      timer = setTimeout(() => {
        t.reset();
        setRound((n) => n + 1);
      }, backoff(tries.current++) * 1000);
    });
    return () => {
      clearTimeout(timer);
      close();
    };
  }, [running, i.id, round]);

  const halted = i.state === 'paused' || i.state === 'hibernated';
  if (!running && what === 'console' && !halted) return <LastWords i={i} />;
  if (!running)
    return <Empty icon="terminal" title={`${i.name} is ${stateWords(i).word}`}><p>The {what === 'exec' ? 'terminal' : 'console'} is here when it runs.</p>
      <Button kind="primary" icon="play" onClick={() => attempt(act(i, halted ? 'resume' : 'start'))}>{halted ? 'Resume' : 'Start'}</Button></Empty>;
  return (
    <>
      <div class="term-box">
        <div ref={box} class="term" />
        {note && <div class="term-note" role="status"><span>{note.text}{!note.final && what === 'console' && ' Connecting again…'}</span>
          {(note.final || what === 'exec') && <Button kind="primary small" onClick={() => { setNote(null); term.current.reset(); setRound(round + 1); }}>{what === 'exec' ? 'New shell' : 'Connect'}</Button>}</div>}
      </div>
      <div class="term-keys" role="toolbar" aria-label="Keys">{KEYS.map(([text, data]) => <Button key={text} onClick={() => { term.current?.input(data); term.current?.focus(); }}>{text}</Button>)}</div>
      <p class="hint">{what === 'exec' ? 'A shell of its own. Leaving this page ends it.' : 'What the computer writes as it starts, and its own login. It stays when you leave.'} Ctrl + Alt + Shift leaves the terminal by keyboard.</p>
    </>
  );
}
