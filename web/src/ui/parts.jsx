// SPDX-License-Identifier: Apache-2.0
// The small parts pages are made of.
import { useEffect, useId, useLayoutEffect, useState, useRef } from 'preact/hooks';
import { Icon } from './icon.jsx';
import { ago, dateTime } from '../lib/format.js';
import { badges } from '../lib/kinds.js';
import { now, serverArch } from '../lib/live.js';
import { stateWords } from '../lib/state.js';

/** A button, or a link that looks like one where `href` is given. `busy` keeps its width and refuses clicks. */
export function Button({ kind = '', icon, busy, href, children, className = '', ...rest }) {
  const cls = `btn ${kind} ${className}`;
  const inner = <>{icon && <Icon name={icon} />}{children && <span>{children}</span>}</>;
  if (href) return <a class={cls} href={href} {...rest}>{inner}</a>;
  return <button type="button" {...rest} class={cls} aria-busy={busy || undefined} disabled={rest.disabled || busy}>{inner}</button>;
}

/** A problem in place: what is wrong, and the way out. Announced when it appears. */
export function Trouble({ error, children }) {
  if (!error) return null;
  return (
    <div class="note bad" role="alert">
      <Icon name="warn" />
      <div>
        <p>{error.message}</p>
        {error.hint && <p class="soft">{error.hint}</p>}
        {children}
      </div>
    </div>
  );
}

export const Note = ({ tone = '', icon = 'info', children }) => <div class={`note ${tone}`}><Icon name={icon} /><div>{children}</div></div>;

/** A labelled control. `children` is a function of the ids to put on it, or leave it out for a plain input. */
export function Field({ label, hint, error, children, ...input }) {
  const id = useId();
  const described = [hint && `${id}-h`, error && `${id}-e`].filter(Boolean).join(' ') || undefined;
  const ids = { id, 'aria-describedby': described, 'aria-invalid': error ? 'true' : undefined };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children ? children(ids) : <input {...ids} {...input} />}
      {hint && <p class="hint" id={`${id}-h`}>{hint}</p>}
      {error && <p class="fault" id={`${id}-e`} role="alert">{error}</p>}
    </div>
  );
}

export function Check({ label, hint, ...input }) {
  const id = useId();
  return (
    <div class="check">
      <input type="checkbox" id={id} aria-describedby={hint ? `${id}-h` : undefined} {...input} />
      <div>
        <label for={id}>{label}</label>
        {hint && <p class="hint" id={`${id}-h`}>{hint}</p>}
      </div>
    </div>
  );
}

export function State({ of }) {
  const { word, tone } = stateWords(of);
  return <span class={`state ${tone}`}><i aria-hidden="true" />{word}</span>;
}

/** What sets a computer apart from the usual container: its kind, an architecture that is not the server's. */
export const Badges = ({ of }) => badges(of, serverArch.value).map((b) => <span class="tag" key={b.text} title={b.title}>{b.text}</span>);

/** "2 min ago" with the exact time on hover. */
export const Ago = ({ time }) => (time ? <time dateTime={time} title={dateTime(time)}>{ago(time, now.value)}</time> : <span>never</span>);

/** Used of all, with words: colour alone says nothing. */
export function Meter({ label, value, max, text }) {
  const known = max > 0;
  const share = known ? Math.min(1, (value ?? 0) / max) : 0;
  const tone = share > 0.95 ? 'bad' : share > 0.8 ? 'busy' : '';
  return (
    <div class="meter">
      <div class="meter-text"><span>{label}</span><span class="num">{text}</span></div>
      <div class={`bar ${tone}`} role="meter" aria-label={label} aria-valuenow={Math.round(share * 100)} aria-valuemin="0" aria-valuemax="100" aria-valuetext={text}>
        <div style={{ width: known ? `${Math.max(share * 100, value > 0 ? 1 : 0)}%` : '0' }} />
      </div>
    </div>
  );
}

/** Progress of an operation; without a known share it moves calmly. */
export function Progress({ permille, label }) {
  const known = permille != null && permille >= 0;
  return (
    <div class={`bar progress ${known ? '' : 'unknown'}`} role="progressbar" aria-label={label} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow={known ? Math.round(permille / 10) : undefined}>
      <div style={{ width: known ? `${permille / 10}%` : '30%' }} />
    </div>
  );
}

export function Empty({ icon = 'info', title, children }) {
  return <div class="empty"><Icon name={icon} size={36} /><h2>{title}</h2><div>{children}</div></div>;
}

/** Head of a page: title, what is beside it, actions to the right. */
export function PageHead({ title, sub, back, children }) {
  return (
    <header class="page-head">
      <div>
        {back && <a class="back" href={back.href}><Icon name="left" size={16} />{back.text}</a>}
        <h1 tabIndex="-1">{title}</h1>
        {sub && <p class="soft">{sub}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  );
}

/** Tabs as links: each is a page of its own with an address. On a narrow screen they scroll, the current one in sight. */
export function Tabs({ label, items, current }) {
  const bar = useRef(null);
  useEffect(() => {
    const now = bar.current.querySelector('[aria-current]');
    if (now) bar.current.scrollLeft = now.offsetLeft - (bar.current.clientWidth - now.offsetWidth) / 2;
  }, [current]);
  return (
    <nav class="tabs" aria-label={label} ref={bar}>
      {items.map((t) => <a key={t.id} href={t.href} aria-current={t.id === current ? 'page' : undefined}>{t.text}</a>)}
    </nav>
  );
}

/** A button that opens a list of acts. Arrow keys move, Escape closes and gives the focus back. */
export function Menu({ label, items, icon = 'more', text, kind = 'ghost' }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  const button = useRef(null);
  const shown = items.filter(Boolean);
  const focusAt = (n) => {
    const all = [...box.current.querySelectorAll('[role=menuitem]')];
    all[(n + all.length) % all.length]?.focus();
  };
  // As it opens, before anybody can have closed it again.
  useLayoutEffect(() => {
    if (open && box.current) focusAt(0);
  }, [open]);
  if (!shown.length) return null;
  const close = (back) => {
    setOpen(false);
    if (back) button.current?.focus();
  };
  const onKey = (e) => {
    const all = [...(box.current?.querySelectorAll('[role=menuitem]') ?? [])];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[e.key];
    if (e.key === 'Escape') close(true);
    else if (to != null && open) focusAt(to);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const onBlur = (e) => {
    if (!e.currentTarget.contains(e.relatedTarget)) setOpen(false);
  };
  return (
    <div class="menu" onKeyDown={onKey} onFocusOut={onBlur}>
      <button type="button" ref={button} class={`btn ${kind}`} aria-haspopup="menu" aria-expanded={open} aria-label={text ? undefined : label} title={text ? undefined : label}
        onClick={() => setOpen(!open)}>
        <Icon name={icon} />{text && <span>{text}</span>}
      </button>
      {open && (
        <div class="menu-list" role="menu" aria-label={label} ref={box}>
          {shown.map((it) => (
            <button type="button" role="menuitem" tabIndex="-1" key={it.text} class={it.danger ? 'danger' : ''} disabled={it.disabled}
              onClick={() => { close(true); it.act(); }}>
              <Icon name={it.icon ?? 'right'} />{it.text}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Text with a button that copies it. */
export function Copy({ text, label = 'Copy' }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      setDone(false); // not allowed here: the text stays selectable
    }
  };
  return <div class="copy"><code tabIndex="0">{text}</code><Button icon={done ? 'check' : 'copy'} onClick={copy}>{done ? 'Copied' : label}</Button></div>;
}
