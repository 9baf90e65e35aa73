# SPDX-License-Identifier: Apache-2.0
"""Disk images for tests, made without any privilege: raw disks with a partition table, other formats by qemu-img, OVAs by hand."""
import hashlib
import io
import pathlib
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zlib

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
FORMATS = {"qcow2": ("qcow2", []), "raw": ("raw", []), "vmdk": ("vmdk", []), "vdi": ("vdi", []), "vhdx": ("vhdx", []), "vhd": ("vpc", ["-o", "force_size=on"])}


def gpt_parts(size, types, starts=None):
    """The first and the last sectors of a disk of `size` bytes with a partition for each of these types, each of 1 MiB, or from and up to the next of `starts`
    (MiB, one more than there are types)."""
    starts = starts or range(1, len(types) + 2)
    last = size // 512 - 1
    entries = b"".join(t.bytes_le + uuid.UUID(int=i + 1).bytes_le + struct.pack("<QQQ72x", 2048 * starts[i], 2048 * starts[i + 1] - 1, 0)
                       for i, t in enumerate(types)).ljust(128 * 128, b"\0")

    def head(here, other, at):
        h = struct.pack("<8s4sIIIQQQQ16sQIII", b"EFI PART", b"\0\0\1\0", 92, 0, 0, here, other, 34, last - 33, uuid.UUID(int=99).bytes_le, at, 128, 128,
                        zlib.crc32(entries))
        return (h[:16] + struct.pack("<I", zlib.crc32(h)) + h[20:]).ljust(512, b"\0")

    protective = bytes(446) + struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(last, 0xFFFFFFFF)) + bytes(48) + b"\x55\xaa"
    return protective + head(1, last, 2) + entries, entries + head(last, 1, last - 32)


def gpt(size, types):
    """The first sectors alone."""
    return gpt_parts(size, types)[0]


def raw_disk(path, size=64 << 20, types=(ESP, LINUX), seed=1, noise=3 << 20, times=1):
    """Partition table, noise and a lot of nothing."""
    with open(path, "wb") as f:
        f.truncate(size)
        f.write(gpt(size, types))
        f.seek(size // 3 // 4096 * 4096)
        f.write(random.Random(seed).randbytes(noise) * times)
        f.seek(size - 512)
        f.write(b"the end".ljust(512, b"\1"))
    return path


def convert(source, to, driver, options=()):
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, source, to], check=True)
    return to


def boot_sector(text):
    """For a BIOS: says `text` on the first serial port, and halts. It runs from a disk or a disc."""
    code = bytearray.fromhex("fafc31c08ed8be0000baf803ac84c07403eeebf8f4ebfd")
    code[7:9] = (0x7C00 + len(code)).to_bytes(2, "little")
    return (bytes(code) + text + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def installer(text, system):
    """For a BIOS, on a disc: says `text` on the first serial port, writes the sector `system` to the start of the first disk, and resets the machine."""
    say, write = bytes.fromhex("be0000baf803ac84c07403eeebf8"), bytes.fromhex("be0000b80043b280cd137204b0fee664f4ebfd")
    start = bytes.fromhex("fafc31c08ed88ed0bc007cfb")
    packet = bytes.fromhex("10000100007e0000") + bytes(8)  # one sector at 0x7e00, to the disk's sector 0
    code = bytearray(start + say + write + packet + text + b"\0")
    at = 0x7C00 + len(start + say + write)
    code[len(start) + 1:len(start) + 3] = (at + len(packet)).to_bytes(2, "little")
    code[len(start + say) + 1:len(start + say) + 3] = at.to_bytes(2, "little")
    return bytes(code).ljust(512, b"\0") + system


def painter():
    """For a BIOS: paints the screen in bands of all colours (320 by 200, VGA's mode 13h), then says each key on the first serial port."""
    code = "fbfc31c08ed8b81300cd10b800a08ec031ff" "89f888e0aa81ff00fa75f5" "30e4cd16baf803eeebf6"
    return bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"


def counting_sector(text):
    """For a BIOS: says `text` and a number of four digits, one more than before, twice a second and for ever."""
    loop = bytes.fromhex("be0000baf803ac84c07403eeebf8") + bytes.fromhex("bf0000fe05803d3a7506c605304febf3") + bytes.fromhex("b90900f4e2fd")
    code = bytearray(bytes.fromhex("fafc31c08ed8fb") + loop + bytes([0xEB, 256 - len(loop) - 2]))
    at = 0x7C00 + len(code)
    code[8:10] = at.to_bytes(2, "little")
    code[22:24] = (at + len(text) + 3).to_bytes(2, "little")
    return (bytes(code) + text + b"0000\r\n\0").ljust(510, b"\0") + b"\x55\xaa"


def fat(path, mib, files, *options):
    """A file system as UEFI reads it: path in it → file."""
    with open(path, "wb") as f:
        f.truncate(mib << 20)
    subprocess.run(["mkfs.vfat", *options, path], check=True, capture_output=True)
    above = sorted({str(p) for name in files for p in pathlib.PurePath(name).parents if p.name})
    subprocess.run(["mmd", "-i", path, *(f"::{a}" for a in above)], check=True)
    for to, file in files.items():
        subprocess.run(["mcopy", "-i", path, file, f"::{to}"], check=True)
    return path


def disc(path, boot=None):
    """An ISO with a file or two; `boot` is what a BIOS starts of it."""
    tree = path.with_suffix(".tree")
    tree.mkdir()
    (tree / "setup").write_text("x")
    more = ["-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4"] if boot else []
    if boot:
        (tree / "boot.bin").write_bytes(boot.ljust(2048, b"\0"))
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", *more, "-o", path, tree], check=True, capture_output=True)
    return path


def ovf(disk="d.vmdk", size=None, extra="", system="", format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized", head="", files="",
        disks="", item="<Disk ovf:diskId='d1' ovf:fileRef='f1' ovf:capacity='64' ovf:capacityAllocationUnits='byte * 2^20' {}/>"):
    length = f"ovf:size='{size}'" if size is not None else ""
    return f"""<?xml version="1.0"?>{head}
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:vmw="http://www.vmware.com/schema/ovf"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vbox="urn:vbox">
 <References><File ovf:id="f1" ovf:href="{disk}" {length}/>{files}</References>
 <DiskSection><Info>x</Info>{item.format(f"ovf:format='{format}'")}{disks}</DiskSection>
 <VirtualSystem ovf:id="box"><Info>x</Info><Name>Box of  ours</Name>
  <OperatingSystemSection ovf:id="96"><Info>x</Info><Description>Debian (64-bit)</Description></OperatingSystemSection>
  <VirtualHardwareSection><Info>x</Info>
   <Item><rasd:Caption>2 cpus</rasd:Caption><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>768</rasd:VirtualQuantity></Item>
   {extra}</VirtualHardwareSection>{system}
 </VirtualSystem></Envelope>""".encode()


def member(name, data=b"", **changes):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def ova(path, *members, form=tarfile.USTAR_FORMAT):
    with tarfile.open(path, "w", format=form) as t:
        for info, data in members:
            t.addfile(info, io.BytesIO(data) if data else None)
    return path


def manifest(*members, kind="SHA256"):
    return "".join(f"{kind}({i.name})= {hashlib.new(kind.lower(), d).hexdigest()}\n" for i, d in members).encode()


def main():
    """disks.py FILE: an OVA of a machine that needs nothing but a BIOS, a screen and a keyboard."""
    with tempfile.TemporaryDirectory() as d:
        raw = pathlib.Path(d) / "d.raw"
        raw.write_bytes(painter().ljust(16 << 20, b"\0"))
        disk = convert(raw, raw.with_suffix(".vmdk"), "vmdk", ["-o", "subformat=streamOptimized"]).read_bytes()
        ova(sys.argv[1], member("box.ovf", ovf()), member("d.vmdk", disk))


if __name__ == "__main__":
    main()
