// SPDX-License-Identifier: Apache-2.0
// A pretended shell and console for the terminal pages.
export function serveShell(ws, instance) {
  let line = '';
  let open = false;
  let size = [80, 24];
  const prompt = () => ws.binary(Buffer.from(`\x1b[1;32muser@${instance.name}\x1b[0m:\x1b[1;34m~\x1b[0m$ `));
  const run = (cmd) => {
    const [word, ...rest] = cmd.trim().split(/\s+/);
    if (word === 'exit') {
      ws.text(JSON.stringify({ exit: Number(rest[0] ?? 0), signal: 0 }));
      ws.close();
      return false;
    }
    const out = { echo: rest.join(' '), size: `${size[0]}x${size[1]}`, ls: '\x1b[1;34mDocuments\x1b[0m  notes.md  \x1b[1;34mPictures\x1b[0m  \x1b[1;32mrun.sh\x1b[0m', hostname: instance.name }[word];
    if (out != null) ws.binary(Buffer.from(`${out}\r\n`));
    else if (word) ws.binary(Buffer.from(`${word}: command not found\r\n`));
    return true;
  };
  ws.on('text', (t) => {
    const m = JSON.parse(t);
    if (m.resize) size = m.resize;
    else if (!open) {
      open = true;
      if (m.cols) size = [m.cols, m.rows];
      ws.binary(Buffer.from(`Debian GNU/Linux 12 on ${instance.name}\r\n`));
      prompt();
    }
  });
  ws.on('binary', (d) => {
    for (const c of d.toString()) {
      if (c === '\r') {
        ws.binary(Buffer.from('\r\n'));
        if (!run(line)) return;
        line = '';
        prompt();
      } else if (c === '\x7f') {
        if (line) ws.binary(Buffer.from('\b \b'));
        line = line.slice(0, -1);
      } else {
        line += c;
        ws.binary(Buffer.from(c));
      }
    }
  });
}

export function serveConsole(ws, instance) {
  const boot = ['Welcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!', '', ...['Journal Service', 'Network Configuration', 'D-Bus System Message Bus', 'Login Service', 'Portena desktop'].map((s) => `[\x1b[0;32m  OK  \x1b[0m] Started ${s}.`), '', `${instance.name} login: `];
  ws.binary(Buffer.from(boot.join('\r\n')));
  ws.on('binary', (d) => ws.binary(d));
}
