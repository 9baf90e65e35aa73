# SPDX-License-Identifier: Apache-2.0
"""A system installed from a disc, as on a new computer: an empty disk and the disc in the drive; the installer writes the disk and restarts the machine, which
then starts from its disk, though the disc is in the drive; until it is taken out, or asked for."""
import gzip

from daemon import wait_for
from disks import ESP, boot_sector, disc, fat, gpt_parts, installer
from pcdisk import DISK, ESP as ESP_MIB, MIB, build, run

INSTALL = """#!/bin/sh
mount -t devtmpfs dev /dev
exec > /dev/console 2>&1
modprobe virtio_pci
modprobe virtio_blk
while ! [ -b /dev/vda ]; do sleep 1; done
cat /disk > /dev/vda && sync && echo words of the disc && reboot -f
sleep 100000
"""
ON_DISC = """set timeout=0
linux /vmlinuz console=ttyS0 quiet no_timer_check tsc=unstable rdinit=/install
initrd /initrd /more
boot
"""
ON_DISK = """echo words of the disk
sleep 100000
"""


def said(d, name):
    return d.cli("logs", name).stdout


def waits_for(d, name, words, times=1):
    wait_for(lambda: said(d, name)[-2000:], lambda: said(d, name).count(words) >= times, 1200, 0.2)


def install(d, name, *options):
    """From the disc "setup" to the system on the disk; and that again without the disc."""
    d.cli("launch", "setup", name, "--memory", "512M", "--disk", "16M", "--accel", "tcg", *options)
    waits_for(d, name, "words of the disk")
    assert said(d, name).count("words of the disc") == 1
    assert "next start" in d.cli("set", name, "iso_name=").stdout
    d.cli("restart", name, "--force")
    waits_for(d, name, "words of the disk", 2)
    assert said(d, name).count("words of the disc") == 1 and "disc " not in d.cli("show", name).stdout


def test_by_bios(d, tmp_path):
    d.cli("image", "import", disc(tmp_path / "setup.iso", installer(b"words of the disc\r\n", boot_sector(b"words of the disk\r\n"))), "setup")
    install(d, "old")
    # A system on the disk is no hindrance where the disc is asked for, to repair it or to install another.
    d.cli("stop", "old", "--force")
    d.cli("set", "old", "iso_name=setup", "boot_iso=true")
    d.cli("start", "old")
    waits_for(d, "old", "words of the disc", 2)
    d.cli("delete", "old", "--force")
    d.cli("image", "delete", "setup")


def cpio(files):
    """An archive for a kernel's first file system, as its documentation of "newc" has it."""
    out = b""
    for i, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")]):
        out += b"070701" + b"".join(b"%08X" % f for f in (i, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def uefi_disc(tmp_path):
    """Debian's signed loaders, its kernel and initramfs, and behind that an installer and the disk that it writes: a system of loaders alone."""
    build()
    raw, part, whole = tmp_path / "esp", tmp_path / "part", tmp_path / "whole"
    run("qemu-img", "convert", "-O", "raw", "--image-opts", f"driver=raw,offset={MIB},size={ESP_MIB * MIB},file.driver=qcow2,file.file.filename={DISK}", raw)
    names = {name: tmp_path / name.split("/")[-1] for name in ("EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi", "vmlinuz", "initrd")}
    for name, file in names.items():
        run("mcopy", "-i", raw, f"::{name}", file)
    loaders = {name: file for name, file in names.items() if name.startswith("EFI")}
    (tmp_path / "disk.cfg").write_text(ON_DISK)
    fat(part, 10, {**loaders, "EFI/debian/grub.cfg": tmp_path / "disk.cfg"})
    with open(whole, "wb") as f:
        first, last = gpt_parts(12 * MIB, (ESP,), (1, 11))
        f.write(first.ljust(MIB, b"\0") + part.read_bytes() + last.rjust(MIB, b"\0"))
    tree = tmp_path / "tree"
    (tree / "EFI/debian").mkdir(parents=True)
    (tree / "EFI/debian/grub.cfg").write_text(ON_DISC)
    (tree / "more").write_bytes(gzip.compress(cpio([("install", 0o100755, INSTALL.encode()), ("disk", 0o100644, whole.read_bytes())]), 1))
    for name in ("vmlinuz", "initrd"):
        names[name].rename(tree / name)
    fat(tree / "efi.img", 10, loaders)
    run("xorriso", "-as", "mkisofs", "-quiet", "-r", "-e", "efi.img", "-no-emul-boot", "-o", tmp_path / "setup.iso", tree)
    return tmp_path / "setup.iso"


def test_by_uefi(d, tmp_path):
    """A Linux as the installer."""
    d.cli("image", "import", uefi_disc(tmp_path), "setup")
    assert d.api("GET", "/v1/images/setup").json["firmware"] == "uefi"
    install(d, "new", "--hardware", "virtio")
    d.cli("delete", "new", "--force")
    d.cli("image", "delete", "setup")
