// SPDX-License-Identifier: Apache-2.0
// A component whose script is loaded when it is first shown, or by `ahead()` before.
import { useEffect, useState } from 'preact/hooks';
import { Trouble, Button } from './parts.jsx';

export function lazy(load) {
  let loaded = null;
  const get = () => load().then((m) => {
    loaded = m.default;
    return loaded;
  });
  function Lazy(props) {
    const [Component, setComponent] = useState(() => loaded);
    const [error, setError] = useState(null);
    useEffect(() => {
      if (loaded) return;
      get().then((c) => setComponent(() => c), () => setError({ message: 'This page could not be loaded.', hint: 'The server was updated or does not answer.' }));
    }, []);
    if (error) return <Trouble error={error}><Button onClick={() => location.reload()}>Load again</Button></Trouble>;
    return Component ? <Component {...props} /> : null;
  }
  Lazy.ahead = () => (loaded ? null : get().catch(() => {})); // what fails here is told when it is needed
  return Lazy;
}
