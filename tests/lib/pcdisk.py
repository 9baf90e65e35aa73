# SPDX-License-Identifier: Apache-2.0
"""A disk as somebody would bring it along: Debian with its own kernel, initramfs, boot loader and systemd, started by UEFI (also with secure boot),
with qemu-guest-agent in it, and nothing of Portena. Made once, of the distribution's packages, and kept in BUILD/check/pc."""
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from daemon import BUILD  # noqa: E402
from disks import ESP as ESP_TYPE, LINUX, fat, gpt_parts  # noqa: E402

PLACE = BUILD / "check" / "pc"
DISK = PLACE / "disk.qcow2"
MIB = 1 << 20
ESP, ROOT = 64, 640  # MiB
# What cloud-init does with a NoCloud disc, as far as a test looks: the name, and the user's own script. (cloud-init itself takes longer to start than all else
# together where every instruction is emulated.)
SEED = """#!/bin/sh
set -e
udevadm settle
mkdir -p /run/seed
mount -o ro LABEL=CIDATA /run/seed
hostname="$(sed -n 's/.*"local-hostname": *"\\([^"]*\\)".*/\\1/p' /run/seed/meta-data)"
printf '%s\\n' "$hostname" > /etc/hostname
hostname "$hostname"
sed -n 's/^ *- name: *//p' /run/seed/user-data | while read -r user; do id "$user" >/dev/null 2>&1 || useradd -m -s /bin/bash "$user"; done
umount /run/seed
"""
UNIT = """[Unit]
DefaultDependencies=no
After=local-fs.target systemd-udev-trigger.service
Before=network-pre.target qemu-guest-agent.service sysinit.target
Wants=network-pre.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/seed
[Install]
WantedBy=sysinit.target
"""
# An emulated guest on a busy host measures its clocks wrongly, and gives up a timer that is late.
GRUB = """set timeout=0
linux /vmlinuz root=LABEL=root ro console=ttyS0 quiet no_timer_check tsc=unstable
initrd /initrd
boot
"""
# In the tree $1, before the kernel is installed: an initramfs of what this disk takes; and at the end.
BEFORE = """set -e
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\\nCOMPRESS=gzip\\n' > "$1/etc/initramfs-tools/conf.d/test"
printf 'virtio_pci\\nvirtio_blk\\n' > "$1/etc/initramfs-tools/modules"
"""
AFTER = """set -e
cd "$1"
cp "$SOURCE/seed" usr/local/sbin/seed
chmod 755 usr/local/sbin/seed
cp "$SOURCE/seed.service" etc/systemd/system/
systemctl --root . enable seed.service systemd-networkd.service qemu-guest-agent.service
printf '[Match]\\nType=ether\\n[Network]\\nDHCP=yes\\n' > etc/systemd/network/all.network
printf 'LABEL=root / ext4 rw 0 1\\n' > etc/fstab
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \\
  systemd-networkd-wait-online.service; do ln -sf /dev/null "etc/systemd/system/$unit"; done
: > etc/machine-id
printf 'localhost\\n' > etc/hostname
cd "$SOURCE"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -o APT::Sandbox::User=root download shim-signed grub-efi-amd64-signed
for deb in *.deb; do dpkg-deb -x "$deb" loader; done
cd "$1"
rm -rf var/lib/apt/lists/* var/cache/apt/*
"""


def sources():
    """This machine's own lines for the suites of its release."""
    codename = re.search(r"^VERSION_CODENAME=(\S+)", pathlib.Path("/etc/os-release").read_text(), re.M).group(1)
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
                             capture_output=True, text=True, check=True).stdout
    lines = []
    for uri, _, release, component in (line.split() for line in targets.splitlines() if len(line.split()) == 4):
        line = f"deb {uri} {release} main"
        if release in (codename, f"{codename}-updates", f"{codename}-security") and component == "main" and line not in lines:
            lines.append(line)
    return codename, lines


def run(*argv, **more):
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def tree_of(work):
    (work / "seed").write_text(SEED)
    (work / "seed.service").write_text(UNIT)
    (work / "before").write_text(BEFORE)
    (work / "after").write_text(f"SOURCE={work}\n{AFTER}")
    codename, lines = sources()
    run("mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase", "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", f"--essential-hook=sh {work}/before \"$1\"", f"--customize-hook=sh {work}/after \"$1\"",
        "--include=systemd-sysv,udev,dbus,iproute2,iputils-ping,procps,zstd,initramfs-tools,linux-image-cloud-amd64,qemu-guest-agent",
        codename, work / "tree", *lines, timeout=900)
    return work / "tree"


def esp_of(work, tree):
    """What the firmware looks into: Debian's signed loaders, its kernel and initramfs."""
    loader = work / "loader"
    (work / "grub.cfg").write_text(GRUB)
    files = {"EFI/BOOT/BOOTX64.EFI": loader / "usr/lib/shim/shimx64.efi.signed", "EFI/BOOT/grubx64.efi": loader / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
             "EFI/debian/grub.cfg": work / "grub.cfg", "vmlinuz": next(tree.glob("boot/vmlinuz-*")), "initrd": next(tree.glob("boot/initrd.img-*"))}
    return fat(work / "esp", ESP, files, "-n", "ESP")


def make(work):
    tree = tree_of(work)
    esp = esp_of(work, tree)
    for kept in tree.glob("boot/*"):
        kept.unlink()
    root, disk = work / "root", work / "disk.raw"
    run("mkfs.ext4", "-q", "-L", "root", "-d", tree, root, f"{ROOT}M")
    with open(disk, "wb") as f:
        f.truncate((ESP + ROOT + 2) * MIB)
    first, last = gpt_parts((ESP + ROOT + 2) * MIB, (ESP_TYPE, LINUX), (1, 1 + ESP, 1 + ESP + ROOT))
    with open(disk, "r+b") as f:
        f.write(first)
        f.seek(-len(last), 2)
        f.write(last)
    for part, at in ((esp, 1), (root, 1 + ESP)):
        run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={at}", "conv=notrunc,sparse")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, work / "disk.qcow2")


def build():
    mark, wanted = PLACE / "fingerprint", hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    if DISK.exists() and mark.exists() and mark.read_text() == wanted:
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="pt-pcdisk-", dir="/var/tmp"))
    try:
        make(work)
        shutil.move(work / "disk.qcow2", DISK)
        mark.write_text(wanted)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    build()
