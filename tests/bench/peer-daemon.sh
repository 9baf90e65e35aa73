#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peer-daemon.sh lxd|incus DIR: a daemon of LXD's or Incus's for the benchmark alone, with its state in DIR, a btrfs pool in a file there and a default
# profile without a network. To be run in a mount namespace of its own. Says "ready" when it is; ends the daemon when its standard input does.
set -eu
tool=$1 dir=$2
export LXD_DIR="$dir" INCUS_DIR="$dir"
mkdir -p "$dir"
case $tool in
  lxd) daemon=lxd client=lxc init="lxd init --preseed" ;;
  incus) daemon=$(command -v incusd || echo /usr/libexec/incus/incusd) client=incus init="incus admin init --preseed" ;;
esac
$daemon --logfile "$dir/daemon.log" >"$dir/daemon.out" 2>&1 </dev/null &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid || :; umount -l "$dir/storage-pools/default" 2>/dev/null || :' EXIT INT TERM
n=0
until $client query /1.0 >/dev/null 2>&1; do
  n=$((n + 1))
  [ $n -lt 150 ] && kill -0 $pid || { tail -5 "$dir/daemon.out" "$dir/daemon.log" >&2; exit 1; }
  sleep 0.2
done
$init >&2 <<END
storage_pools: [{name: default, driver: btrfs, config: {size: 20GiB}}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
END
echo ready
cat >/dev/null
