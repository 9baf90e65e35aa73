// SPDX-License-Identifier: Apache-2.0
// What a computer that is off has written last: a program that has ended is looked at here, and why one did not start.
import { useEffect, useState } from 'preact/hooks';
import { instancePath, request } from '../lib/api.js';
import { act, may } from '../lib/live.js';
import { plainText } from '../lib/format.js';
import { Button, Empty } from '../ui/parts.jsx';
import { attempt } from '../ui/dialog.jsx';

export function LastWords({ i }) {
  const [text, setText] = useState(null);
  useEffect(() => {
    let gone = false;
    request('GET', `${instancePath(i)}/logs?bytes=65536`, { raw: true }).then((r) => r.text()).then((t) => gone || setText(plainText(t).trimEnd()), () => gone || setText(''));
    return () => { gone = true; };
  }, [i.id, i.state, i.stopped]);
  if (text == null) return null;
  if (!text)
    return <Empty icon="terminal" title={`${i.name} is off`}><p>The console is here when it runs.</p>
      {may(i.space, 'member') && <Button kind="primary" icon="play" onClick={() => attempt(act(i, 'start'))}>Start</Button>}</Empty>;
  const how = i.exit_signal > 0 ? `It was ended by signal ${i.exit_signal}.` : i.exit_code > 0 ? `It ended with exit code ${i.exit_code}.` : 'It has ended.';
  return (
    <>
      <p class="before-last">{how} This is what it wrote last.</p>
      <div class="term-box last" tabIndex="0" role="region" aria-label={`Last output of ${i.name}`}><pre class="console-text">{text}</pre></div>
    </>
  );
}
