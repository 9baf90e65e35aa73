// SPDX-License-Identifier: Apache-2.0
// My account: password, second factor, tokens.
import { useMemo, useState } from 'preact/hooks';
import qrcode from 'qrcode-generator';
import { me, session } from '../lib/live.js';
import { del, get, patch, post, put, userPath } from '../lib/api.js';
import { Ago, Button, Copy, Field, PageHead, Trouble } from '../ui/parts.jsx';
import { confirm, toast } from '../ui/dialog.jsx';
import { logOut } from '../ui/shell.jsx';
import { Tokens } from './tokens.jsx';

const refresh = async () => {
  session.value = await get('/v1/session');
};

export default function Account() {
  const u = me.value;
  return (
    <>
      <PageHead title={u.full_name || u.name} sub={<>{u.name}{u.admin && ', administrator'} · last sign-in <Ago time={u.last_login} /></>}><Button icon="out" onClick={logOut}>Sign out</Button></PageHead>
      <div class="panels">
        <Password u={u} />
        <SecondFactor u={u} />
      </div>
      <section class="panel section stack"><h2>Tokens and sessions</h2><Tokens user={u.name} /></section>
    </>
  );
}

function Password({ u }) {
  const blank = { current: '', next: '', again: '' };
  const [form, setForm] = useState(blank);
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
      await patch(userPath(u.name), { password: form.next, current_password: form.current });
      setForm(blank);
      toast('Your password is changed.');
    } catch (x) {
      setError(x);
    }
    setBusy(false);
    return undefined;
  };
  return (
    <section class="panel"><h2>Password</h2>
      <form class="stack" onSubmit={submit}>
        <input class="sr" type="text" name="username" autoComplete="username" value={u.name} readOnly tabIndex="-1" aria-hidden="true" />
        <Field label="Present password" type="password" required autoComplete="current-password" value={form.current} onInput={set('current')} />
        <Field label="New password" type="password" required minLength={8} autoComplete="new-password" value={form.next} onInput={set('next')} hint="Eight characters or more." />
        <Field label="New password again" type="password" required autoComplete="new-password" value={form.again} onInput={set('again')} error={differs} />
        <Trouble error={error} />
        <div class="actions"><Button type="submit" kind="primary" busy={busy} disabled={!!differs}>Change the password</Button></div>
      </form>
    </section>
  );
}

function SecondFactor({ u }) {
  const [setup, setSetup] = useState(null);
  const [code, setCode] = useState('');
  const [error, setError] = useState(null);
  const path = `${userPath(u.name)}/totp`;
  const begin = () => post(path).then((s) => { setSetup(s); setError(null); }, setError);
  const prove = async (e) => {
    e.preventDefault();
    try {
      await put(path, { code: code.replace(/\s/g, '') });
      setSetup(null);
      setCode('');
      setError(null);
      await refresh();
      toast('From now on, signing in needs a code.');
    } catch (x) {
      setError(x);
    }
  };
  const off = () => confirm({ title: 'Take the second factor off?', text: 'From then on your password alone is enough to sign in.', password: true, submitText: 'Take it off', act: (password) => del(path, { body: { password } }).then(refresh) });
  return (
    <section class="panel stack"><h2>Second factor</h2>
      {u.totp ? <><p>On: signing in asks for a code from your authenticator app.</p><Trouble error={error} /><div class="actions"><Button kind="danger" onClick={off}>Take it off</Button></div></>
        : !setup ? <><p>A code from an app on your phone, asked for after the password. Who learns your password still cannot sign in.</p><Trouble error={error} /><div class="actions"><Button kind="primary" onClick={begin}>Set it up</Button></div></>
          : <form class="stack" onSubmit={prove}>
            <p>1. Scan this with your authenticator app, or type the key into it.</p>
            <Qr text={setup.uri} />
            <Copy text={setup.secret} />
            <p>2. Type the code that the app shows.</p>
            <Field label="Code" value={code} onInput={(e) => setCode(e.currentTarget.value)} inputMode="numeric" autoComplete="one-time-code" pattern="[0-9 ]{6,8}" required />
            <Trouble error={error} />
            <div class="actions"><Button type="submit" kind="primary">Turn it on</Button><Button onClick={() => setSetup(null)}>Cancel</Button></div>
          </form>}
    </section>
  );
}

function Qr({ text }) {
  const { n, path } = useMemo(() => {
    const qr = qrcode(0, 'M');
    qr.addData(text);
    qr.make();
    const size = qr.getModuleCount();
    let d = '';
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) if (qr.isDark(y, x)) d += `M${x} ${y}h1v1h-1z`;
    return { n: size, path: d };
  }, [text]);
  return <div class="qr"><svg viewBox={`0 0 ${n} ${n}`} role="img" aria-label="QR code of the key" shape-rendering="crispEdges"><path d={path} fill="#000" /></svg></div>;
}
