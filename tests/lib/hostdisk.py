# SPDX-License-Identifier: Apache-2.0
"""A server as Portena's users have one: Debian with its own kernel, systemd, and the packages that packaging/packages names, but no Portena yet. Made once,
of the distribution's packages, and kept in BUILD/check/host as a disk, and its kernel and initramfs beside it."""
import hashlib
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from daemon import BUILD, TOP  # noqa: E402
from pcdisk import BEFORE, run, sources  # noqa: E402

PLACE = BUILD / "check" / "host"
DISK, KERNEL, INITRD = PLACE / "disk.qcow2", PLACE / "vmlinuz", PLACE / "initrd"
SIZE = 4096  # MiB
# Machines inside a machine whose instructions are emulated are of no use, nor are images made there.
WITHOUT = {"mmdebstrap", "ovmf", "qemu-system-x86", "qemu-utils", "skopeo", "swtpm", "umoci", "xorriso"}
MORE = ["systemd-sysv", "udev", "dbus", "iproute2", "procps", "initramfs-tools", "linux-image-cloud-amd64", "qemu-guest-agent", "curl", "busybox-static", "meson", "ninja-build"]
# In the tree $1, at the end.
AFTER = """set -e
cd "$1"
systemctl --root . enable qemu-guest-agent.service
systemctl --root . disable nginx.service
printf '/dev/vda / ext4 rw 0 1\\n' > etc/fstab
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
mkdir -p var/log/journal
: > etc/machine-id
printf 'server\\n' > etc/hostname
rm -rf var/lib/apt/lists/* var/cache/apt/*
"""


def packages():
    """Of alternatives, a|b, that which this release has: the second where it is Debian 12, and there are no more than two."""
    codename, _ = sources()
    names = [line.split()[1] for line in (TOP / "packaging/packages").read_text().splitlines() if line.startswith("run ")]
    return [n.split("|")[-1 if codename == "bookworm" else 0] for n in names if n not in WITHOUT] + MORE


def make(work):
    (work / "before").write_text(BEFORE)
    (work / "after").write_text(AFTER)
    codename, lines = sources()
    tree = work / "tree"
    run("mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", f"--essential-hook=sh {work}/before \"$1\"", f"--customize-hook=sh {work}/after \"$1\"",
        f"--include={','.join(packages())}", codename, tree, *lines, timeout=900)
    shutil.move(next(tree.glob("boot/vmlinuz-*")), work / "vmlinuz")
    shutil.move(next(tree.glob("boot/initrd.img-*")), work / "initrd")
    run("mkfs.ext4", "-q", "-L", "root", "-d", tree, work / "root", f"{SIZE}M")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", work / "root", work / "disk.qcow2")


def fingerprint():
    return hashlib.sha256(b"".join((TOP / p).read_bytes() for p in ("tests/lib/hostdisk.py", "tests/lib/pcdisk.py", "packaging/packages"))).hexdigest()


def build():
    mark = PLACE / "fingerprint"
    if DISK.exists() and mark.exists() and mark.read_text() == fingerprint():
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="pt-hostdisk-", dir="/var/tmp"))
    try:
        make(work)
        for made in (DISK, KERNEL, INITRD):
            shutil.move(work / made.name, made)
        mark.write_text(fingerprint())
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    build()
