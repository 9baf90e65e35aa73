#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# uninstall.sh BUILD: removes what `meson install` put there, as its log says. What users made stays.
set -eu
units='portena-instances portena-gateway portenad'
if [ -z "${DESTDIR:-}" ] && [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then
  # In this order: the first stops the computers that run.
  for unit in $units; do
    systemctl -q disable --now "$unit" 2>/dev/null || true
  done
fi
[ -f "$1/meson-logs/install-log.txt" ] || { echo "portena: $1 has installed nothing" >&2; exit 1; }
ninja -C "$1" uninstall >"$1/meson-logs/uninstall.txt" || { cat "$1/meson-logs/uninstall.txt" >&2; exit 1; }
if [ -z "${DESTDIR:-}" ] && [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
grep '^Uninstall finished' -A 2 "$1/meson-logs/uninstall.txt" || true
echo 'What is yours stays: /var/lib/portena (spaces, images, volumes, the certificate), /etc/portena, CRIU in /usr/lib/portena, the user portena-gateway.'
echo 'To remove these, too:  rm -rf --one-file-system /var/lib/portena /etc/portena /usr/lib/portena; userdel portena-gateway'
