// SPDX-License-Identifier: Apache-2.0
// The desktop page's script is a large one. Desktop.ahead() fetches it for somebody who is about to open one.
import { lazy } from '../ui/lazy.jsx';

export const Desktop = lazy(() => import('../desktop/desktop.jsx'));
