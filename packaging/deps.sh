#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deps.sh [--check] KIND…: installs the packages of these kinds (build, run, test) that are missing; the file packages names
# them; and CRIU for `run` (criu.sh). Does nothing, and asks no network, where all are there. With --check, or without root, it only says what is missing.
set -eu
here=$(dirname "$0")
check=
if [ "${1:-}" = --check ]; then
  check=1
  shift
fi
[ $# -gt 0 ] || { echo "usage: $0 [--check] build|run|test…" >&2; exit 2; }
if ! command -v dpkg-query >/dev/null; then
  echo "portena: this is no Debian; $here/packages names what is needed: $*" >&2
  [ -z "$check" ] || exit 0
  exit 1
fi
kinds=$(printf '%s|' "$@")

# A name may hold alternatives, a|b: what other releases of Debian call the same; behind it the oldest version that will do may stand.
# Node.js may come from elsewhere than Debian, and has npm in it then.
recent_enough() { # NAME OLDEST
  [ -z "$2" ] || dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1")" ge "$2"
}
missing=$(
  installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | awk '$1 == "installed" { printf "%s ", $2 }')"
  awk -v kinds="^(${kinds%|})$" '$1 ~ kinds { print $2, $3 }' "$here/packages" | sort -u | while read -r names oldest; do
    rest=$names\|
    while [ -n "$rest" ]; do
      case $installed in *" ${rest%%|*} "*) ! recent_enough "${rest%%|*}" "$oldest" || continue 2 ;; esac
      rest=${rest#*|}
    done
    case $names in
      nodejs) ! command -v node >/dev/null || continue ;;
      npm) ! command -v npm >/dev/null || continue ;;
    esac
    echo "$names"
  done
)
# What no release has as a package that will do.
build_criu() {
  [ -z "$check" ] && [ "$(id -u)" = 0 ] || return 0
  case " $* " in *' run '*) "$here/criu.sh" 9>&- ;; esac
}
[ -n "$missing" ] || { build_criu "$@"; exit 0; }

if [ -n "$check" ] || [ "$(id -u)" != 0 ]; then
  echo "portena: these packages are missing: $(echo "$missing" | tr '\n' ' ')" >&2
  echo "  install them with:  sudo $0 $*" >&2
  exit 1
fi

# One at a time: it is one file that two would move aside.
exec 9</var/lib/dpkg
flock 9

# What is too old in the release itself comes from its backports: the same archives as are configured already, whatever they are, with
# the other suite, for this run alone.
add_backports() {
  parts=$(mktemp -d)
  trap cleanup EXIT
  trap 'exit 130' INT TERM HUP
  find /etc/apt -maxdepth 2 -path '/etc/apt/sources.list.d/*' -type f -exec cp {} "$parts" ';'
  # Either of the two places may be missing.
  find /etc/apt -maxdepth 2 '(' -path /etc/apt/sources.list -o -path '/etc/apt/sources.list.d/*.list' ')' -type f -exec sed -nE \
    "s/^(deb( +\[[^]]*\])? +[^ ]+) +$codename( .*)/\1 $codename-backports\3/p" {} + >"$parts/portena-backports.list"
  find /etc/apt -maxdepth 2 -path '/etc/apt/sources.list.d/*.sources' -type f -exec awk -v code="$codename" 'BEGIN { RS = ""; FS = "\n" }
    $0 ~ "(^|\n)Suites:([^\n]*[ \t])?" code "([ \t]|\n|$)" && $0 !~ /(^|\n)Enabled:[ \t]*no/ {
      for (i = 1; i <= NF; i++) print $i ~ /^Suites:/ ? "Suites: " code "-backports" : $i
      print ""
    }' {} + >"$parts/portena-backports.sources"
  apt-get -q -o DPkg::Lock::Timeout=600 -o Dir::Etc::sourceparts="$parts" update
}
parts=
cleanup() {
  [ -z "$parts" ] || rm -rf --one-file-system "$parts"
  [ -z "${new_nginx:-}" ] || restore
}

export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=600 update
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
packages= backports=
for names in $missing; do
  pick=
  for p in $(echo "$names" | tr '|' ' '); do
    # A name that is merely promised by another package has no candidate of its own.
    if [ -z "$pick" ] && LC_ALL=C apt-cache policy "$p" | grep -q '^  Candidate: [^(]'; then pick=$p; fi
  done
  oldest=$(awk -v names="$names" '$2 == names { print $3; exit }' "$here/packages")
  candidate=$(LC_ALL=C apt-cache policy "${pick:-${names%%|*}}" | awk '$1 == "Candidate:" { print $2 }')
  if [ -n "$oldest" ] && ! dpkg --compare-versions "${candidate:-0}" ge "$oldest"; then
    backports="$backports ${pick:-${names%%|*}}"
  else
    packages="$packages ${pick:-${names%%|*}}"
  fi
done
echo "Installing:$packages$backports"

# nginx is our gateway's child, never a service of the system: as it is installed it would take port 80. So nothing may start it
# meanwhile, and afterwards it is disabled, unless it was here before us: then it is the administrator's. A policy-rc.d that is
# here already is asked about all else, and comes back whatever ends us; $kept is what a killed run of this script left.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-portena
restore() {
  ! grep -qs '^# portena:' $policy || rm -f $policy
  if [ -e $kept ] || [ -L $kept ]; then mv -f $kept $policy; fi
}
restore
new_nginx=
case "$packages " in *' nginx '*) new_nginx=1 ;; esac
if [ -n "$new_nginx" ]; then
  trap cleanup EXIT
  trap 'exit 130' INT TERM HUP
  if [ -e $policy ] || [ -L $policy ]; then mv $policy $kept; fi
  cat >$policy <<END
#!/bin/sh
# portena: while its packages are installed
for word; do
  case \$word in nginx|nginx.service) exit 101 ;; esac
done
[ ! -x $kept ] || exec $kept "\$@"
END
  chmod 755 $policy
fi
# What a package starts must not hold the lock (9).
# shellcheck disable=SC2086
[ -z "$packages" ] || apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends $packages 9>&-
if [ -n "$backports" ]; then
  add_backports
  # shellcheck disable=SC2086
  apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dir::Etc::sourceparts="$parts" -t "$codename-backports" install --no-install-recommends \
    $backports 9>&-
fi
if [ -n "$new_nginx" ]; then
  if command -v systemctl >/dev/null; then
    systemctl -q disable nginx 2>/dev/null || echo 'portena: nginx could not be disabled; it may take port 80 at the next boot' >&2
  elif command -v update-rc.d >/dev/null; then
    update-rc.d nginx disable
  fi
fi
build_criu "$@"
