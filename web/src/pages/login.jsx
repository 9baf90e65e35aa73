// SPDX-License-Identifier: Apache-2.0
import { useEffect, useRef, useState } from 'preact/hooks';
import { choosePassword, givenPassword, login, server, me } from '../lib/live.js';
import { Button, Field, Trouble } from '../ui/parts.jsx';
import { Mark } from '../ui/icon.jsx';
import { logOut } from '../ui/shell.jsx';

function Frame({ title, sub, children }) {
  const main = useRef(null);
  useEffect(() => main.current.querySelector('input:not(.sr)')?.focus(), []); // autofocus works once a document, and pages follow each other
  return (
    <main class="login" ref={main}>
      <div class="login-card">
        <Mark size={44} />
        <h1>{title}</h1>
        <p class="soft">{sub}</p>
        {children}
      </div>
      <p class="login-foot">Portena {server.value?.version ?? ''}</p>
    </main>
  );
}

export function Login() {
  const [step, setStep] = useState('password');
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [form, setForm] = useState({ user: '', password: '', code: '' });
  const code = useRef(null);
  useEffect(() => {
    if (step === 'code') code.current?.querySelector('input')?.focus();
  }, [step]);
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await login({ user: form.user.trim(), password: form.password, ...(step === 'code' ? { code: form.code.replace(/\s/g, '') } : {}) });
    } catch (x) {
      setBusy(false);
      if (x.codeRequired && step === 'password') return setStep('code');
      if (x.status === 429) x.hint = `Too many tries. Wait ${x.retryAfter || 30} s, then try again.`;
      setError(x);
    }
    return undefined;
  };
  const name = server.value?.name;
  return (
    <Frame title={name ? `Sign in to ${name}` : 'Sign in'} sub={step === 'code' ? 'Enter the code that your authenticator app shows.' : 'Your computers are on this server.'}>
      <form onSubmit={submit}>
        {step === 'password' ? <>
          <Field label="User" value={form.user} onInput={set('user')} name="username" autoComplete="username" autoCapitalize="none" spellcheck={false} required />
          <Field label="Password" type="password" value={form.password} onInput={set('password')} name="password" autoComplete="current-password" required />
        </> : <div ref={code}>
          <Field label="Code" value={form.code} onInput={set('code')} inputMode="numeric" autoComplete="one-time-code" pattern="[0-9 ]{6,8}" required />
        </div>}
        <Trouble error={error} />
        <Button type="submit" kind="primary big" busy={busy}>{step === 'code' ? 'Continue' : 'Sign in'}</Button>
        {step === 'code' && <Button kind="ghost" onClick={() => { setStep('password'); setError(null); }}>Back</Button>}
      </form>
    </Frame>
  );
}

/** The pages came, but what is behind them does not answer. */
export const NoAnswer = () => <Frame title="The server is not ready" sub="It may be starting or being updated. This page goes on by itself; your computers are not touched by it." />;

/** The first login with a password somebody else chose. It is asked for again only where the page was loaded anew since. */
export function MustChange() {
  const known = givenPassword();
  const [form, setForm] = useState({ current: '', next: '', again: '' });
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const set = (k) => (e) => setForm({ ...form, [k]: e.currentTarget.value });
  const differs = form.again && !form.next.startsWith(form.again) ? 'The two are not the same.' : null;
  const submit = async (e) => {
    e.preventDefault();
    if (form.next !== form.again) return setError({ message: 'The two new passwords are not the same.', hint: 'Type the second one again.' });
    setBusy(true);
    setError(null);
    try {
      await choosePassword(form.next, known || form.current);
    } catch (x) {
      setError(x);
      setBusy(false);
    }
    return undefined;
  };
  return (
    <Frame title="Choose your password" sub={`Welcome, ${me.value.full_name || me.value.name}. The password you were given is for this first time only.`}>
      <form onSubmit={submit}>
        <input class="sr" type="text" name="username" autoComplete="username" value={me.value.name} readOnly tabIndex="-1" aria-hidden="true" />
        {!known && <Field label="The password you were given" type="password" name="current" value={form.current} onInput={set('current')} autoComplete="current-password" required />}
        <Field label="New password" type="password" name="new" value={form.next} onInput={set('next')} autoComplete="new-password" minLength={8} required hint="Eight characters or more. A short sentence is easy to keep in mind." />
        <Field label="New password again" type="password" name="again" value={form.again} onInput={set('again')} autoComplete="new-password" required error={differs} />
        <Trouble error={error} />
        <Button type="submit" kind="primary big" busy={busy} disabled={!!differs}>Save and go on</Button>
        <Button kind="ghost" onClick={logOut}>Sign out</Button>
      </form>
    </Frame>
  );
}
