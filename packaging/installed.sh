#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# installed.sh WEBDIR: ends an installation by Meson, which shows what it prints only where it fails. Into a DESTDIR it makes no
# user: there sysusers.d(5) says which is wanted.
set -eu
if [ ! -f "${DESTDIR:-}$1/index.html" ]; then
  echo "portena: $1: the web console is missing; make it with web/build.sh (or: make), then install again" >&2
  exit 1
fi
if [ -n "${DESTDIR:-}" ] || [ "$(id -u)" != 0 ]; then
  exit 0
fi
"$(dirname "$0")/user.sh"
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
