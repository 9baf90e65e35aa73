#!/bin/sh
# Installs the packages of the given kinds (build, run, test) that are missing; packaging/packages names them. Does nothing, and
# asks no network, where all are there.
set -eu
here=$(dirname "$0")
kinds=$(printf '%s|' "$@")
wanted=$(awk -v kinds="^(${kinds%|})$" '$1 ~ kinds { print $2 }' "$here/packages" | sort -u)

missing=
for p in $wanted; do
  case $p in
    # Node.js may come from elsewhere than Debian, where npm is part of it.
    nodejs) command -v node >/dev/null && continue ;;
    npm) command -v npm >/dev/null && continue ;;
  esac
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "portena: these packages are missing:$missing" >&2
  echo "  install them with:  sudo apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "Installing:$missing"
# nginx is our gateway's child, never a service of the system: its package would else take port 80 as it is installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=600 update
# shellcheck disable=SC2086
apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends $missing
case " $missing " in
  *" nginx-light "*) [ ! -d /run/systemd/system ] || systemctl -q disable nginx || true ;;
esac
