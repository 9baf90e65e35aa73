#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# peer-image.sh lxc|incus ROOTFS.erofs: gives LXD or Incus the image portena-bench, of the same root file system as ours. Their daemon must run, and
# have a storage pool and a default profile with a root disk (and no network: nothing of a benchmark leaves the machine).
set -eu
tool=$1 erofs=$(readlink -f "$2")
work=$(mktemp -d /var/tmp/pt-peer-XXXXXX)
trap 'umount "$work/rootfs" 2>/dev/null || :; rm -rf --one-file-system "$work"' EXIT
mkdir "$work/rootfs"
mount -t erofs -o loop,ro "$erofs" "$work/rootfs"
cat >"$work/metadata.yaml" <<END
architecture: $(uname -m)
creation_date: $(date +%s)
properties: {description: the root file system of portena's debian, os: debian, release: bookworm}
END
tar -C "$work" --numeric-owner --xattrs -cf "$work.tar" metadata.yaml rootfs
umount "$work/rootfs"
"$tool" image delete portena-bench 2>/dev/null || :
"$tool" image import "$work.tar" --alias portena-bench
rm -f "$work.tar"
