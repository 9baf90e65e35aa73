# SPDX-License-Identifier: Apache-2.0
"""Disks of unmodified systems: in by every format, out by every format and in again, and hostile ones refused with nothing left behind. By image-make
(image_make.c), and through the daemon as a user would."""
import filecmp
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from daemon import Daemon, wait_for  # noqa: E402
from disks import FORMATS, LINUX, boot_sector, convert, disc, manifest, member, ova, ovf, raw_disk  # noqa: E402
from test_image import driver  # noqa: E402,F401

MIB = 1 << 20


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return raw_disk(tmp_path_factory.mktemp("disk") / "d.raw")


@pytest.fixture(scope="module")
def stream(disk):
    return convert(disk, disk.with_name("stream.vmdk"), "vmdk", ["-o", "subformat=streamOptimized"]).read_bytes()


def file_of(driver, image):
    return driver.state / "images" / image["digest"][7:] / "disk.raw"


def test_every_format(driver, disk, stream, tmp_path):
    """One disk, whatever it is carried in, is one image, byte for byte and with its holes."""
    made = [driver.make(f"{name}:{convert(disk, tmp_path / f'd.{name}', qemu, options)}") for name, (qemu, options) in FORMATS.items()]
    (tmp_path / "s.vmdk").write_bytes(stream)
    made.append(driver.make(f"vmdk:{tmp_path}/s.vmdk"))
    made.append(driver.make(f"vhd:{convert(disk, tmp_path / 'fixed.vhd', 'vpc', ['-o', 'force_size=on,subformat=fixed'])}"))
    assert len({i["digest"] for i in made}) == 1 and len(driver.images()) == 1
    assert made[0]["format"] == "disk" and made[0]["disk"] == 64 * MIB and made[0]["kinds"] == ["machine"] and made[0]["firmware"] == "uefi"
    assert filecmp.cmp(file_of(driver, made[0]), disk, shallow=False)
    st = file_of(driver, made[0]).stat()
    assert st.st_blocks * 512 < 8 * MIB and st.st_mode & 0o777 == 0o444 and st.st_uid == 0
    plain = driver.make(f"raw:{raw_disk(tmp_path / 'bios.raw', types=(LINUX,))}")
    assert plain["firmware"] == "bios" and plain["digest"] != made[0]["digest"]


def test_iso(driver, tmp_path):
    disc(tmp_path / "d.iso")
    image = driver.make(f"iso:{tmp_path}/d.iso")
    assert image["format"] == "iso" and filecmp.cmp(file_of(driver, image), tmp_path / "d.iso", shallow=False)
    driver.make(f"raw:{tmp_path}/d.iso")
    assert len(driver.images()) == 2, "a disk is no disc, though their bytes are the same"


def test_ova(driver, stream, disk, tmp_path):
    vmware = ovf(size=len(stream), extra="<vmw:Config ovf:required='false' vmw:key='firmware' vmw:value='efi'/>",
                 system="<AnnotationSection><Info/><Annotation>Mail &amp; news\n of the house</Annotation></AnnotationSection>")
    parts = [member("box.ovf", vmware), member("d.vmdk", stream)]
    image = driver.make(f"ova:{ova(tmp_path / 'w.ova', parts[0], member('box.mf', manifest(*parts)), parts[1])}")
    assert filecmp.cmp(file_of(driver, image), disk, shallow=False)
    assert image["cpu"] == 2 and image["memory"] == 768 * MIB and image["os"] == "Debian (64-bit)"
    assert image["description"] == "Mail & news of the house" and image["firmware"] == "uefi"
    driver.call("remove", image["digest"])
    box = ovf(disk="box-disk001.vmdk", system="<vbox:Machine><Hardware><Firmware type='BIOS'/></Hardware></vbox:Machine>",
              files="<File ovf:id='cd' ovf:href='tools.iso'/>")
    parts = [member("Box.ovf", box), member("box-disk001.vmdk", stream)]
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        image = driver.make(f"ova:{ova(tmp_path / 'b.ova', *parts, member('Box.mf', manifest(*parts, kind='SHA1')), member('._Box.ovf', b'x'), form=form)}")
        assert image["firmware"] == "bios" and image["description"] == "Box of ours"
        driver.call("remove", image["digest"])
    hyper = convert(disk, tmp_path / "d.vhd", "vpc", ["-o", "force_size=on"]).read_bytes()
    image = driver.make(f"ova:{ova(tmp_path / 'x.ova', member('x.ovf', ovf(disk='d.vhd', format='')), member('d.vhd', hyper))}")
    assert filecmp.cmp(file_of(driver, image), disk, shallow=False)


def test_there_and_back(driver, disk, tmp_path):
    """Out in every format and in again: the same image."""
    first = driver.make(f"raw:{disk}")
    for name in [*FORMATS, "ova"]:
        rc, out, err = driver.call("export", file_of(driver, first), name, tmp_path / f"out.{name}")
        assert rc == 0, err
        rc, again, err = driver.call("make", f"{name}:{tmp_path}/out.{name}")
        assert rc == 0 and json.loads(again.splitlines()[-1])["digest"] == first["digest"], f"{name}: {err}"
    names = [m.name for m in tarfile.open(tmp_path / "out.ova")]
    assert [n.rpartition(".")[2] for n in names] == ["ovf", "mf", "vmdk"], names
    text = tarfile.open(tmp_path / "out.ova").extractfile(names[0]).read().decode()
    assert "Test &amp; OS" in text and ">768<" in text and 'vmw:value="efi"' in text
    driver.call("remove", first["digest"])
    back = driver.make(f"ova:{tmp_path}/out.ova")
    assert filecmp.cmp(file_of(driver, back), disk, shallow=False)
    assert driver.call("export", disk, "floppy", tmp_path / "x")[2].startswith("invalid:") and not (tmp_path / "x").exists()
    driver.clean()


# ---- hostile ones ----

def patched(data, *changes):
    data = bytearray(data)
    for offset, value in changes:
        data[offset:offset + len(value)] = value
    return bytes(data)


def hostile_disks(disk, stream, tmp):
    """name → (source's scheme, bytes, what the refusal has to say)"""
    q = convert(disk, tmp / "q.qcow2", "qcow2").read_bytes()
    vdi = convert(disk, tmp / "q.vdi", "vdi").read_bytes()
    vhdx = convert(disk, tmp / "q.vhdx", "vhdx").read_bytes()
    vhd = convert(disk, tmp / "q.vhd", "vpc").read_bytes()
    flat = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"/etc/shadow\" 0\n"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", tmp / "back.qcow2", "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp}/data.raw", tmp / "ext.qcow2", "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp / "bomb.qcow2", "16T"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "--object",
                    "secret,id=s,data=x", tmp / "luks.qcow2", "1M"], check=True, capture_output=True)
    refcounts = struct.unpack(">Q", q[48:56])[0]
    return {
        "backing file": ("qcow2", (tmp / "back.qcow2").read_bytes(), "backing file"),
        "data file": ("qcow2", (tmp / "ext.qcow2").read_bytes(), "data file"),
        "encrypted": ("qcow2", (tmp / "luks.qcow2").read_bytes(), "encrypted"),
        "16 TiB of nothing": ("qcow2", (tmp / "bomb.qcow2").read_bytes(), "16 TiB"),
        "impossible size": ("qcow2", patched(q, (24, b"\x7f" + b"\xff" * 7)), ""),
        "huge L1 table": ("qcow2", patched(q, (36, b"\x7f\xff\xff\xff")), ""),
        "L1 table nowhere": ("qcow2", patched(q, (40, b"\x7f\xff\xff\xff\xff\xff\x00\x00")), ""),
        "refcount table of noise": ("qcow2", patched(q, (refcounts, os.urandom(64))), ""),
        "refcounts of noise": ("qcow2", patched(q, (struct.unpack(">Q", q[refcounts:refcounts + 8])[0], os.urandom(4096))), "tables"),
        "cluster size of 2^63": ("qcow2", patched(q, (20, b"\0\0\0\x3f")), ""),
        "version 9": ("qcow2", patched(q, (4, b"\0\0\0\x09")), "version"),
        "qcow2, cut off": ("qcow2", q[:len(q) // 2], ""),
        "qcow2's first bytes": ("qcow2", q[:80], "cut off"),
        "a qcow2 called raw's brother": ("vdi", q, "no VDI"),
        "text descriptor": ("vmdk", flat, "other files"),
        "COWD": ("vmdk", b"COWD" + bytes(2048), "part of a disk"),
        "embedded descriptor with extents": ("vmdk", patched(stream, (12, bytes(8)), (512, flat)), "other files"),
        "parent": ("vmdk", patched(stream, (512, b'parentFileNameHint="/etc/passwd"\n')), "parent"),
        "vmdk, cut off": ("vmdk", stream[:len(stream) // 2], ""),
        "vdi, cut off": ("vdi", vdi[:len(vdi) // 2], "cut off"),
        "vdi, a difference": ("vdi", patched(vdi, (76, b"\4\0\0\0")), "parent"),
        "vdi, too many blocks": ("vdi", patched(vdi, (384, b"\xff\xff\xff\x7f")), ""),
        "vhdx, cut off": ("vhdx", vhdx[:len(vhdx) // 2], ""),
        "vhdx's first bytes": ("vhdx", vhdx[:100], ""),
        "vhd, cut off": ("vhd", vhd[:len(vhd) // 2], ""),
        "vhd, a difference": ("vhd", patched(vhd, (60, b"\0\0\0\4"), (len(vhd) - 452, b"\0\0\0\4")), "parent"),
        "no iso": ("iso", q, "no ISO"),
        "nothing": ("raw", b"", "empty"),
        "nothing as vhd": ("vhd", b"", "no VHD"),
    }


LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9)) + "]>"


def hostile_ovas(stream):
    """name → (members of the archive, or its bytes; what the refusal has to say)"""
    disk, good = member("d.vmdk", stream), member("x.ovf", ovf())
    link = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
    return {
        "no descriptor": ([disk], "no OVF"),
        "two descriptors": ([good, member("y.ovf", ovf()), disk], "more than one OVF"),
        "two disks of one name": ([good, disk, disk], "two files"),
        "no disk": ([good], "is not in it"),
        "dotdot": ([good, member("../d.vmdk", stream)], "path"),
        "absolute": ([good, member("/tmp/d.vmdk", stream)], "path"),
        "symbolic link": ([good, member("d.vmdk", **link)], "link"),
        "hard link": ([good, disk, member("e.vmdk", type=tarfile.LNKTYPE, linkname="d.vmdk")], "link"),
        "device": ([good, disk, member("sda", type=tarfile.BLKTYPE, devmajor=8)], "device"),
        "descriptor leads out": ([member("x.ovf", ovf(disk="../../etc/passwd")), disk], "elsewhere"),
        "descriptor leads to the net": ([member("x.ovf", ovf(disk="https://server.evil/d.vmdk")), disk], "elsewhere"),
        "billion laughs": ([member("x.ovf", ovf(head=LAUGHS).replace(b"Box of", b"&j;")), disk], "document type"),
        "external entity": ([member("x.ovf", ovf(head="<!DOCTYPE x SYSTEM 'file:///etc/passwd'>")), disk], "document type"),
        "no XML": ([member("x.ovf", b"\0\1\2" * 100), disk], "damaged"),
        "another XML": ([member("x.ovf", b"<html/>"), disk], "none"),
        "nested deeply": ([member("x.ovf", b"<Envelope>" + b"<a>" * 100000), disk], "nested"),
        "two machines": ([member("x.ovf", ovf(system="</VirtualSystem><VirtualSystem ovf:id='b'>")), disk], "several machines"),
        "two disks": ([member("x.ovf", ovf(disks="<Disk ovf:diskId='d2' ovf:fileRef='f1'/>")), disk], "2 disks"),
        "gzip inside": ([member("x.ovf", ovf().replace(b"ovf:href", b"ovf:compression='gzip' ovf:href")), disk], "compressed"),
        "lies about the disk": ([member("x.ovf", ovf(size=7)), disk], "another size"),
        "a parent": ([member("x.ovf", ovf().replace(b"ovf:capacity=", b"ovf:parentRef='d0' ovf:capacity=")), disk], "parent"),
        "another format": ([member("x.ovf", ovf(disk="d.hds", format="http://server.evil/x")), member("d.hds", stream)], "not known"),
        "wrong sum": ([good, member("x.mf", manifest(good, member("d.vmdk", b"other"))), disk], "manifest"),
        "a vmdk that leads out": ([good, member("d.vmdk", b"# Disk DescriptorFile\nRW 1 FLAT \"../../etc/shadow\" 0\n" * 9)], "other files"),
        "vhd said, vmdk there": ([member("x.ovf", ovf(format="vhd")), disk], "no VHD"),
        "a tar of noise": (os.urandom(4096), "no tar"),
        "nothing": (b"", "cut off"),
    }


def test_hostile_disks(driver, disk, stream, tmp_path):
    for name, (scheme, data, says) in hostile_disks(disk, stream, tmp_path).items():
        (tmp_path / "evil").write_bytes(data)
        assert says in driver.refuse(f"{scheme}:{tmp_path}/evil", "invalid"), name
    assert driver.images() == []


def test_hostile_ovas(driver, stream, tmp_path):
    for name, (content, says) in hostile_ovas(stream).items():
        if isinstance(content, bytes):
            (tmp_path / "evil").write_bytes(content)
        else:
            ova(tmp_path / "evil", *content)
        assert says in driver.refuse(f"ova:{tmp_path}/evil", "invalid"), name
    whole = ova(tmp_path / "whole", member("x.ovf", ovf()), member("d.vmdk", stream)).read_bytes()
    for size in (100, 600, 5000, len(stream)):
        (tmp_path / "evil").write_bytes(whole[:size])
        driver.refuse(f"ova:{tmp_path}/evil", "invalid")
    lying = bytearray(whole)
    lying[124:136] = b"77777777777\0"
    (tmp_path / "evil").write_bytes(lying)
    driver.refuse(f"ova:{tmp_path}/evil", "invalid")
    assert driver.images() == []


def test_other_sources(driver, tmp_path):
    for source, code in ((f"qcow2:{tmp_path}/none", "not-found"), (f"raw:{tmp_path}", "invalid"), ("iso:/dev/zero", "invalid"), ("ova:x.ova", "invalid")):
        rc, out, err = driver.call("make", source)
        assert rc == 1 and err.startswith(code + ":"), err
    driver.clean()


def test_larger_than_the_disk(driver, tmp_path):
    """A small file that unpacks to more than there is room for ends before the host's disk is full."""
    room = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    big = room / "big.raw"
    with open(big, "wb") as f:
        for i in range(800):
            f.write(bytes([i % 255 + 1]) * MIB)
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", big, tmp_path / "big.qcow2"], check=True)
    big.unlink()
    small = room / "small"
    with open(small, "wb") as f:
        f.truncate(1250 * MIB)
    subprocess.run(["mkfs.ext4", "-q", small], check=True)
    subprocess.run(["mount", "-o", "loop", small, driver.state], check=True)
    try:
        rc, out, err = driver.call("make", f"qcow2:{tmp_path}/big.qcow2")
        assert rc == 1 and err.startswith("no-space:"), err
        driver.clean()
        wait_for("its blocks are free again", lambda: os.statvfs(driver.state).f_bavail * 4096 > 1000 * MIB)
    finally:
        wait_for("the disk is let go", lambda: subprocess.run(["umount", driver.state]).returncode == 0)
        shutil.rmtree(room)


def test_cancel(driver, tmp_path):
    disk = raw_disk(tmp_path / "d.raw", 2 << 30, noise=100 * MIB, times=3)

    def cancelled():
        p = driver.start("make", f"raw:{disk}")
        for line in p.stdout:
            if json.loads(line)["step"] == "Converting":
                break
        p.send_signal(signal.SIGUSR1)
        out, err = p.communicate(timeout=300)
        if p.returncode == 0:  # it was through before it heard of it
            driver.call("remove", json.loads(out.splitlines()[-1])["digest"])
            return False
        assert p.returncode == 1 and err.startswith("cancelled:"), err
        return True
    wait_for("it is cancelled at its work", cancelled)
    assert driver.images() == []


# ---- through the daemon ----

def test_as_a_user(stream, disk, tmp_path):
    """Sent by the command line, launched, taken away again; a disc; and what is refused."""
    d = Daemon("disks", images=False).start()
    try:
        archive = ova(tmp_path / "office.ova", member("x.ovf", ovf()), member("d.vmdk", stream))
        d.cli("image", "import", archive, "office")
        image = json.loads(d.cli("image", "show", "office", "--json").stdout)
        assert image["format"] == "disk" and image["kinds"] == ["machine"] and image["source"] == "upload"
        assert "machine" in d.cli("image", "show", "office").stdout
        disc(tmp_path / "setup.iso")
        d.cli("image", "import", tmp_path / "setup.iso", "setup")
        assert d.cli("image", "import", disk, "wrong", "--format", "vdi", check=False).returncode
        d.cli("image", "export", "office", tmp_path / "out.qcow2")
        subprocess.run(["qemu-img", "convert", "-O", "raw", tmp_path / "out.qcow2", tmp_path / "out.raw"], check=True)
        assert filecmp.cmp(tmp_path / "out.raw", disk, shallow=False)
        d.cli("image", "export", "setup", tmp_path / "out.iso")
        assert filecmp.cmp(tmp_path / "out.iso", tmp_path / "setup.iso", shallow=False)
        assert not list((d.state / "exports").iterdir()) and not list((d.state / "uploads").iterdir())
        refused = d.api("POST", "/v1/images/setup/exports", {"format": "ova"})
        assert refused.status == 400 and d.api("GET", "/v1/exports/01hzzzzzzzzzzzzzzzzzzzzzzz").status == 404
        make = d.api("POST", "/v1/spaces/home/instances?wait=60", {"name": "pc", "image": "office", "start": False, "disk": 80 * MIB,
                                                                          "user_data": "#cloud-config\n"})
        assert make.status in (200, 202), make.body
        pc = d.instance("pc")
        assert (pc["kind"], pc["model"], pc["firmware"], pc["hardware"], pc["cpu"], pc["memory"]) == ("machine", "pc", "uefi", "emulated", 2, 768 * MIB) and "user_data" not in pc
        assert d.api("POST", "/v1/spaces/home/instances", {"name": "small", "image": "office", "start": False, "disk": 16 * MIB}).status == 400
        assert d.api("POST", "/v1/spaces/home/instances", {"name": "micro", "image": "office", "start": False, "model": "micro"}).status == 400
        d.api("POST", "/v1/spaces/home/instances?wait=60", {"name": "new", "image": "setup", "start": False, "disk": 80 * MIB})
        new = d.instance("new")
        assert new["iso_name"] == "setup" and not new["boot_iso"] and new["model"] == "pc"
        assert d.api("DELETE", "/v1/images/setup").status == 409
        assert d.api("PATCH", "/v1/spaces/home/instances/new", {"iso_name": "office"}).status == 400
        assert d.api("PATCH", "/v1/spaces/home/instances/new", {"iso_name": None}).status in (200, 202)
        for name, least in (("pc", disk), ("new", None)):
            volume = d.api("GET", f"/v1/spaces/home/volumes/{d.instance(name)['volume']}").json
            assert volume["format"] == "raw"
            d.cli("export", name, tmp_path / f"{name}.raw")
            with open(tmp_path / f"{name}.raw", "rb") as f:
                assert os.fstat(f.fileno()).st_size == volume["size"]
                assert f.read(64 * MIB) == (disk.read_bytes() if least else bytes(64 * MIB))
            assert (tmp_path / f"{name}.raw").stat().st_blocks * 512 < 16 * MIB
        assert d.api("GET", "/v1/spaces/home/instances/pc/files?path=/").status == 501
        for name in ("pc", "new"):
            d.cli("delete", name)
        d.cli("image", "delete", "office")
        wait_for("the copy of its disk goes with it", lambda: not list(d.state.glob("pool/templates/disk-*")))
    finally:
        d.destroy()


def test_there_run_and_back(tmp_path):
    """An OVA comes in, runs, leaves as an OVA and comes in again: the same bytes. A disc starts a machine with an empty disk."""
    raw = tmp_path / "d.raw"
    raw.write_bytes(boot_sector(b"words of the disk\r\n"))
    os.truncate(raw, 16 * MIB)
    inner = convert(raw, tmp_path / "d.vmdk", "vmdk", ["-o", "subformat=streamOptimized"]).read_bytes()
    d = Daemon("disks", images=False).start()
    try:
        d.cli("image", "import", ova(tmp_path / "box.ova", member("x.ovf", ovf()), member("d.vmdk", inner)), "box")
        d.cli("image", "import", disc(tmp_path / "setup.iso", boot_sector(b"words of the disc\r\n")), "setup")
        assert json.loads(d.cli("image", "show", "setup", "--json").stdout)["firmware"] == "bios"
        (tmp_path / "user-data").write_text("#cloud-config\n")
        d.cli("launch", "box", "old", "--memory", "128M", "--disk", "16M", "--user-data", tmp_path / "user-data")
        d.cli("launch", "setup", "new", "--memory", "128M", "--disk", "16M")
        assert d.cli("export", "old", tmp_path / "no.ova", check=False).returncode, "a running one's disk is not whole"
        for name, words in (("old", "words of the disk"), ("new", "words of the disc")):
            wait_for(lambda: d.cli("logs", name).stdout[-500:], lambda: words in d.cli("logs", name).stdout, 600, 0.2)
            d.cli("stop", name, "--force")
        d.cli("export", "old", tmp_path / "out.ova")
        d.cli("image", "import", tmp_path / "out.ova", "again")
        again = json.loads(d.cli("image", "show", "again", "--json").stdout)
        assert filecmp.cmp(d.state / "images" / again["digest"][7:] / "disk.raw", raw, shallow=False)
        assert again["digest"] == json.loads(d.cli("image", "show", "box", "--json").stdout)["digest"]
        for name in ("old", "new"):
            d.cli("delete", name)
    finally:
        d.destroy()
