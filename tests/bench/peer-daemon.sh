#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peer-daemon.sh lxd|incus|libvirt DIR: a daemon of LXD's, Incus's or libvirt's for the benchmark alone, with its state in DIR and no network: LXD's and
# Incus's with a btrfs pool in a file there and a default profile without a network, libvirt's with its QEMU unconfined, which is its fastest.
# To be run in a mount namespace of its own. Says "ready" when it is; ends the daemon when its standard input does.
set -eu
tool=$1 dir=$2
export LXD_DIR="$dir" INCUS_DIR="$dir"
mkdir -p "$dir"
init=: libvirt=
case $tool in
  lxd) daemon="lxd --logfile $dir/daemon.log" ask="lxc query /1.0" init="lxd init --preseed" ;;
  incus)
    daemon="$(command -v incusd || echo /usr/libexec/incus/incusd) --logfile $dir/daemon.log" ask="incus query /1.0"
    init="incus admin init --preseed"
    ;;
  libvirt)
    daemon="$(command -v libvirtd || echo /usr/sbin/libvirtd) --config $dir/libvirtd.conf --pid-file $dir/pid" libvirt=1
    ask="virsh --quiet --connect qemu+unix:///system?socket=$dir/run/libvirt-sock domcapabilities --virttype qemu --machine q35"
    ;;
esac
if [ "$libvirt" ]; then
  mkdir -p "$dir/run"
  mount -t tmpfs tmpfs /run
  for place in /etc /var/lib /var/cache /var/log; do # its own places in them, wherever its package made some or not
    over="$dir/over$place"
    mkdir -p "$over/upper" "$over/work" "$dir$place"
    mount -t overlay overlay -o "lowerdir=$place,upperdir=$over/upper,workdir=$over/work" "$place"
    mkdir -p "$place/libvirt"
    mount --bind "$dir$place" "$place/libvirt"
  done
  # It asks for its usual user even where it is told another.
  for file in passwd group; do
    grep -q ^libvirt-qemu: /etc/$file || echo libvirt-qemu:x:64055:$([ $file = group ] || echo 64055::/nonexistent:/usr/sbin/nologin) >>/etc/$file
  done
  printf 'unix_sock_dir = "%s"\nauth_unix_rw = "none"\nlog_outputs = "3:stderr"\n' "$dir/run" >"$dir/libvirtd.conf"
  cat >"$dir/etc/qemu.conf" <<END
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
END
fi
$daemon >"$dir/daemon.out" 2>&1 </dev/null &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid || :; umount -l "$dir/storage-pools/default" 2>/dev/null || :' EXIT INT TERM
n=0
until $ask >/dev/null 2>&1; do
  n=$((n + 1))
  [ $n -lt 150 ] && kill -0 $pid || { tail -n 5 "$dir"/daemon.* >&2; exit 1; }
  sleep 0.2
done
$init >&2 <<END
storage_pools: [{name: default, driver: btrfs, config: {size: 20GiB}}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
END
echo ready
cat >/dev/null
