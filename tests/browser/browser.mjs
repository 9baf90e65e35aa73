// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium, quiet: nothing of it talks to the outside.
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
