#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# criu.sh: gets CRIU 4, with which containers are hibernated on disk: built from Debian 13's source package, with criu.patch beside this
# file, out of the archives that apt is configured with, checked by apt as any package, without a change to that configuration. It becomes
# /usr/lib/portena/criu, and is built once. Where that fails, a package new enough serves, with which whole systems that watch files
# cannot be saved. Where neither can be had, that form of hibernation is off, `portena doctor` says so, and this is no failure.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=/usr/lib/portena/criu
oldest=4
new_enough() { # PROGRAM
  command -v "$1" >/dev/null && dpkg --compare-versions "$("$1" --version 2>/dev/null | awk '/^Version:/ { print $2 }')" ge $oldest
}
made=$(cat "$here/criu.sh" "$here/criu.patch" | sha256sum)
if new_enough $target && [ "$(cat $target.made 2>/dev/null)" = "$made" ]; then exit 0; fi

export DEBIAN_FRONTEND=noninteractive
install_packages() { apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"; }
# What there is, or a package, has to do.
lack() {
  if new_enough $target || new_enough criu; then exit 0; fi
  candidate=$(LC_ALL=C apt-cache policy criu | awk '$1 == "Candidate:" { print $2 }')
  if dpkg --compare-versions "${candidate:-0}" ge $oldest && install_packages criu; then exit 0; fi
  echo "portena: no CRIU ($1): containers can be hibernated in memory, but not on disk" >&2
  exit 0
}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
case $codename in
  bookworm) next=trixie ;;
  trixie) next=trixie ;;
  *) lack "which release has its source is not known for $codename" ;;
esac

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP
mkdir "$work/parts" "$work/lists" "$work/cache" "$work/source"
find /etc/apt -maxdepth 2 '(' -path /etc/apt/sources.list -o -path '/etc/apt/sources.list.d/*.list' ')' -type f -exec sed -nE \
  "s/^deb(( +\[[^]]*\])? +[^ ]+) +$codename( .*)?/deb-src\1 $next main/p" {} + >"$work/parts/next.list"
find /etc/apt -maxdepth 2 -path '/etc/apt/sources.list.d/*.sources' -type f -exec awk -v code="$codename" -v next_one="$next" 'BEGIN { RS = ""; FS = "\n" }
  $0 ~ "(^|\n)Suites:([^\n]*[ \t])?" code "([ \t]|\n|$)" && $0 !~ /(^|\n)Enabled:[ \t]*no/ {
    print "Types: deb-src\nSuites: " next_one "\nComponents: main"
    for (i = 1; i <= NF; i++) if ($i !~ /^(Types|Suites|Components|#)/) print $i
    print ""
  }' {} + >"$work/parts/next.sources"
chmod 755 "$work"
chown -R _apt "$work/source" 2>/dev/null || true
from_next() {
  apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" \
    -o Dir::Cache="$work/cache" "$@"
}
echo "Building CRIU from the source package of $next (once)"
from_next update || lack "the archive has no $next"
(cd "$work/source" && from_next --tar-only --download-only source criu) || lack "$next has no source of it"
install_packages gcc libbsd-dev libc6-dev libcap-dev libnet1-dev libnl-3-dev libnl-route-3-dev libprotobuf-c-dev libprotobuf-dev make \
  patch pkg-config protobuf-c-compiler protobuf-compiler uuid-dev xz-utils || lack 'what it is built with was not installed'
mkdir "$work/tree"
tar -xf "$work"/source/criu_*.orig.tar.* -C "$work/tree" --strip-components=1 --no-same-owner
patch -s -p1 -d "$work/tree" <"$here/criu.patch" || lack 'criu.patch does not fit it'
if ! make -s -C "$work/tree" -j"$(nproc)" criu >"$work/log" 2>&1; then
  tail -20 "$work/log" >&2
  lack 'it did not build'
fi
mkdir -p "${target%/*}"
install -m 755 "$work/tree/criu/criu" "$target.new"
new_enough "$target.new" || lack 'what was built does not run'
mv -f "$target.new" "$target"
echo "$made" >"$target.made"
