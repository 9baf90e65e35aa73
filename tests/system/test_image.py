# SPDX-License-Identifier: Apache-2.0
"""The image driver with its real tools, on images made here; most of them hostile. image-make drives it (image_make.c)."""
import base64
import bz2
import gzip
import json
import lzma
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from daemon import BUILD, TOP, wait_for  # noqa: E402
from oci import Registry, directory, docker_archive, entry, layout, tar  # noqa: E402

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep


class Driver:
    def __init__(self, base):
        self.base, self.state, self.run = base, base / "state", base / "run"
        self.state.mkdir()
        self.run.mkdir()
        self.mounted = []

    def argv(self, *args):
        return [BUILD / "tests/system/image-make", self.state, self.run, BUILD / "src/helpers", *map(str, args)]

    def start(self, *args):
        return subprocess.Popen(self.argv(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env=os.environ | {"PORTENA_DATADIR": str(TOP)})

    def call(self, *args):
        p = self.start(*args)
        out, err = p.communicate(timeout=300)
        return p.returncode, out, err

    def make(self, source):
        rc, out, err = self.call("make", source)
        assert rc == 0, err
        lines = [json.loads(x) for x in out.splitlines()]
        marks = [x["permille"] for x in lines[:-1]]
        assert marks == sorted(marks) and marks[-1] == 1000
        return lines[-1]

    def refuse(self, source, code):
        rc, out, err = self.call("make", source)
        assert rc == 1 and err.startswith(code + ":"), err
        assert "\n" in err.strip(), "an error says what to do: " + err
        self.clean()
        return err

    def mount(self, image):
        rc, out, err = self.call("mount", image["digest"])
        assert rc == 0, err
        path = pathlib.Path(out.strip())
        self.mounted.append(path)
        return path

    def images(self):
        images = self.state / "images"
        return sorted(p.name for p in images.iterdir()) if images.exists() else []

    def clean(self):
        """Nothing but whole images is there, and nothing of ours is mounted."""
        assert all(len(n) == 64 for n in self.images()), self.images()
        assert ".work-" not in pathlib.Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def driver():
    base = pathlib.Path(tempfile.mkdtemp(prefix="pt-image-", dir="/var/tmp"))
    d = Driver(base)
    yield d
    for path in d.mounted:
        subprocess.run(["umount", path])
    d.clean()
    shutil.rmtree(base)


def base_layer():
    return tar([
        directory("bin"), entry("bin/sh", b"#!" * 50, mode=0o4755), directory("etc"),
        entry("etc/os-release", b'NAME=x\nPRETTY_NAME="Test OS 1"\n'), directory("a", uid=1000, gid=33, mode=0o1777),
        entry("a/file", b"one", uid=1000, gid=33), entry("a/hard", type=tarfile.LNKTYPE, link="a/file"),
        entry("a/soft", type=tarfile.SYMTYPE, link="/etc/passwd"), entry("gone", b"x"), directory("opaque"), entry("opaque/old", b"x"),
        directory("whole"), entry("whole/deep", b"x"), directory("dev"),
        entry("dev/null", type=tarfile.CHRTYPE, device=(1, 3), mode=0o666), entry("dev/sda", type=tarfile.BLKTYPE, device=(8, 0)),
        entry("pipe", type=tarfile.FIFOTYPE), entry("max", b"m", uid=65535, gid=65535),
        entry("cap", b"c", mode=0o755, pax={"SCHILY.xattr.user.note": "hello"}),
    ])


def top_layer():
    return tar([entry(".wh.gone"), directory("opaque"), entry("opaque/.wh..wh..opq"), entry("opaque/new", b"new"), entry(".wh.whole")])


def check_tree(root):
    assert not (root / "gone").exists() and not (root / "whole").exists()
    assert os.listdir(root / "opaque") == ["new"]
    st = (root / "a/file").stat()
    assert (st.st_uid, st.st_gid, st.st_nlink) == (1000, 33, 2) and st.st_ino == (root / "a/hard").stat().st_ino
    assert st.st_mtime == 1600000000
    assert (root / "a").stat().st_mode & 0o7777 == 0o1777
    assert (root / "bin/sh").stat().st_mode & 0o7777 == 0o4755
    assert os.readlink(root / "a/soft") == "/etc/passwd"
    assert (root / "max").stat().st_uid == 65535
    assert os.getxattr(root / "cap", "user.note") == b"hello"
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        assert mode & 0o170000 not in (0o020000, 0o060000), f"{path} is a device"
        assert not path.name.startswith(".wh."), path


CONFIG = {"Entrypoint": ["/bin/sh"], "Cmd": ["-c", "x"], "Env": ["A=1", "PATH=/bin"], "WorkingDir": "/a", "User": "1000", "StopSignal": "SIGQUIT"}


def test_oci_layout(driver, tmp_path):
    layout(tmp_path / "l", [base_layer(), top_layer()], CONFIG)
    image = driver.make(f"oci:{tmp_path}/l")
    assert image["init"] == "app" and image["command"] == ["/bin/sh", "-c", "x"] and image["env"] == {"A": "1", "PATH": "/bin"}
    assert image["cwd"] == "/a" and image["user"] == "1000" and image["stop_signal"] == "SIGQUIT" and image["os"] == "Test OS 1"
    check_tree(driver.mount(image))
    again = driver.make(f"oci:{tmp_path}/l:latest")
    assert again["digest"] == image["digest"] and len(driver.images()) == 1


def test_a_file_only_root_may_read(driver, tmp_path):
    layout(tmp_path / "l", [base_layer()])
    for p in (tmp_path / "l").rglob("*"):
        p.chmod(0o700 if p.is_dir() else 0o600)
    driver.make(f"oci:{tmp_path}/l")


def test_another_command_is_another_image(driver, tmp_path):
    layout(tmp_path / "a", [base_layer()], {"Cmd": ["/bin/sh"]})
    layout(tmp_path / "b", [base_layer()], {"Cmd": ["/bin/sh", "-l"]})
    assert driver.make(f"oci:{tmp_path}/a")["digest"] != driver.make(f"oci:{tmp_path}/b")["digest"]


def test_same_content_by_every_road(driver, tmp_path):
    """Layout, archives (compressed or not, taken for what they are even where a root file system was announced) and registry of one image
    give one digest."""
    layout(tmp_path / "l", [base_layer(), top_layer()], CONFIG)
    docker_archive(tmp_path / "d.tar", [base_layer(), top_layer()], CONFIG)
    subprocess.run(["tar", "-C", tmp_path / "l", "-cf", tmp_path / "o.tar", "."], check=True)
    registry = Registry(tmp_path / "l")
    sources = [f"oci:{tmp_path}/l", f"docker-archive:{tmp_path}/d.tar", f"docker-archive:{tmp_path}/d.tar:test/image:1",
               f"oci-archive:{tmp_path}/o.tar", f"docker://{registry.host}/some/thing:latest", f"rootfs:{tmp_path}/d.tar",
               f"rootfs:{tmp_path}/o.tar", f"rootfs:{tmp_path}/d.gz", f"docker-archive:{tmp_path}/d.gz:test/image:1"]
    (tmp_path / "d.gz").write_bytes(gzip.compress((tmp_path / "d.tar").read_bytes()))
    try:
        digests = {driver.make(s)["digest"] for s in sources}
    finally:
        registry.close()
    assert len(digests) == 1 and len(driver.images()) == 1


@pytest.mark.parametrize("name,pack", [("tar", bytes), ("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress),
                                       ("zst", lambda d: subprocess.run(["zstd", "-c"], input=d, capture_output=True, check=True).stdout)])
def test_rootfs(driver, tmp_path, name, pack):
    (tmp_path / "r").write_bytes(pack(base_layer()))
    image = driver.make(f"rootfs:{tmp_path}/r")
    root = driver.mount(image)
    assert (root / "a/file").stat().st_uid == 1000 and (root / "a/hard").stat().st_nlink == 2
    assert not (root / "dev/null").exists() and image["command"] == ["/bin/sh"]
    (tmp_path / "plain").write_bytes(base_layer())
    assert driver.make(f"rootfs:{tmp_path}/plain")["digest"] == image["digest"]


def test_file_capabilities(driver, tmp_path):
    """They are unshifted in the image, like ids."""
    header = {"LIBARCHIVE.xattr.security.capability": base64.b64encode(CAPABILITY).decode().rstrip("=")}
    (tmp_path / "r").write_bytes(tar([entry("ping", b"x", mode=0o755, pax=header)]))
    root = driver.mount(driver.make(f"rootfs:{tmp_path}/r"))
    assert os.getxattr(root / "ping", "security.capability") == CAPABILITY


def test_systemd_is_a_system(driver, tmp_path):
    (tmp_path / "r").write_bytes(tar([directory("usr"), directory("usr/lib"), directory("usr/lib/systemd"), entry("usr/lib/systemd/systemd", b"x", mode=0o755),
                                      entry("lib", type=tarfile.SYMTYPE, link="usr/lib"), directory("sbin"),
                                      entry("sbin/init", type=tarfile.SYMTYPE, link="/lib/systemd/systemd")]))
    image = driver.make(f"rootfs:{tmp_path}/r")
    assert image["init"] == "system" and image["stop_signal"] == "RTMIN+3" and "command" not in image


HOSTILE = {
    "dotdot": [entry("../escape", b"x")],
    "deep dotdot": [directory("a"), entry("a/../../escape", b"x")],
    "through a symlink": [entry("out", type=tarfile.SYMTYPE, link="/job"), entry("out/escape", b"x")],
    "through a relative symlink": [entry("out", type=tarfile.SYMTYPE, link="../.."), entry("out/escape", b"x")],
    "symlink swapped for a directory": [directory("d"), entry("d", type=tarfile.SYMTYPE, link="/"), entry("d/escape", b"x")],
    "hard link to outside": [entry("h", type=tarfile.LNKTYPE, link="../../../../etc/passwd")],
    "hard link through a symlink": [entry("s", type=tarfile.SYMTYPE, link="/etc"), entry("h", type=tarfile.LNKTYPE, link="s/passwd")],
    "absolute": [entry("/escape", b"x")],
    "symlinks in a ring": [entry("x", type=tarfile.SYMTYPE, link="y"), entry("y", type=tarfile.SYMTYPE, link="x"), entry("x/f", b"x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths(driver, tmp_path, name):
    """Whatever an unpacker makes of it, refused or put inside: nothing of it is outside, and the host's files are not inside."""
    data = tar([directory("etc"), *HOSTILE[name]])
    (tmp_path / "r").write_bytes(data)
    layout(tmp_path / "l", [data])
    for source in (f"rootfs:{tmp_path}/r", f"oci:{tmp_path}/l"):
        rc, out, err = driver.call("make", source)
        assert rc in (0, 1) and (rc == 0 or err.startswith("invalid:")), err
        if rc == 0:
            root = driver.mount(json.loads(out.splitlines()[-1]))
            for path in root.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    assert b"root:" not in path.read_bytes()
        driver.clean()
    for place in (driver.base, driver.state, driver.state / "images", pathlib.Path("/"), pathlib.Path("/job"), tmp_path):
        assert not (place / "escape").exists()


def test_what_the_host_reads_of_the_tree_stays_inside(driver, tmp_path):
    """os-release and init are looked at by the daemon: links of theirs lead nowhere."""
    (tmp_path / "r").write_bytes(tar([directory("etc"), entry("etc/os-release", type=tarfile.SYMTYPE, link="../../../../../../../etc/os-release"),
                                      directory("sbin"), entry("sbin/init", type=tarfile.SYMTYPE, link="/proc/1/exe")]))
    image = driver.make(f"rootfs:{tmp_path}/r")
    assert "os" not in image and image["init"] == "app"


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, b"\x1f\x8b\x08\x00rest", base_layer()[:5000], os.urandom(4096)])
def test_damaged_archives(driver, tmp_path, data):
    (tmp_path / "r").write_bytes(data)
    for kind in ("rootfs", "docker-archive", "oci-archive"):
        driver.refuse(f"{kind}:{tmp_path}/r", "invalid")


def test_too_many_files(driver, tmp_path):
    """More entries than an image may have; entries that are left out count too."""
    device = tarfile.TarInfo("f")
    device.type = tarfile.CHRTYPE
    (tmp_path / "r").write_bytes(gzip.compress(device.tobuf() * 10100, 1) * 200)
    assert "more than" in driver.refuse(f"rootfs:{tmp_path}/r", "invalid")


def test_larger_than_the_disk(driver, tmp_path):
    """A layer bomb fills its own scratch file system, not the host's; here that is a small disk."""
    disk = driver.base / "disk"
    with open(disk, "wb") as f:
        f.truncate(1300 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, driver.state], check=True)
    try:
        info = tarfile.TarInfo("big")
        info.size = 3 << 30
        piece = gzip.compress(b"\1" * (64 << 20), 1)
        (tmp_path / "r.gz").write_bytes(gzip.compress(info.tobuf()) + piece * 48)
        rc, out, err = driver.call("make", f"rootfs:{tmp_path}/r.gz")
        assert rc == 1 and err.startswith("no-space:"), err
        driver.clean()
        wait_for("its blocks are free again", lambda: os.statvfs(driver.state).f_bavail * 4096 > 1000 << 20)
    finally:
        wait_for("the disk is let go", lambda: subprocess.run(["umount", driver.state]).returncode == 0)


def test_wrong_architecture(driver, tmp_path):
    layout(tmp_path / "l", [base_layer()], architecture="s390x")
    driver.refuse(f"oci:{tmp_path}/l", "invalid")


def test_missing(driver, tmp_path):
    assert driver.call("make", f"rootfs:{tmp_path}/none")[2].startswith("not-found:")
    assert driver.call("make", f"oci:{tmp_path}")[0] == 1
    assert driver.call("make", "recipe:none")[2].startswith("not-found:")
    driver.clean()


def big_layout(path):
    noise = random.Random(1).randbytes(4 << 20)
    return layout(path, [base_layer(), tar([entry("noise", noise)])], CONFIG)


def test_registry_that_dies_half_way(driver, tmp_path):
    big_layout(tmp_path / "l")
    registry = Registry(tmp_path / "l", die_after=100000)
    try:
        driver.refuse(f"docker://{registry.host}/x:latest", "unreachable")
    finally:
        registry.close()
    assert driver.images() == []


def test_registry_that_lies(driver, tmp_path):
    big_layout(tmp_path / "l")
    registry = Registry(tmp_path / "l", tamper=True)
    try:
        driver.refuse(f"docker://{registry.host}/x:latest", "invalid")
    finally:
        registry.close()


def test_registry_that_is_not_there(driver, tmp_path):
    layout(tmp_path / "l", [base_layer()])
    registry = Registry(tmp_path / "l")
    driver.refuse(f"docker://{registry.host}/x:wrong", "not-found")
    registry.close()
    driver.refuse(f"docker://{registry.host}/x:latest", "unreachable")


def begin_download(driver, tmp_path):
    big_layout(tmp_path / "l")
    registry = Registry(tmp_path / "l", stall=100000)
    p = driver.start("make", f"docker://{registry.host}/x:latest")
    assert registry.asked.wait(120)
    return registry, p


def test_cancel(driver, tmp_path):
    registry, p = begin_download(driver, tmp_path)
    p.send_signal(signal.SIGUSR1)
    start = time.monotonic()
    out, err = p.communicate(timeout=300)
    registry.close()
    assert p.returncode == 1 and err.startswith("cancelled:"), err
    assert time.monotonic() - start < 200, "it waited for the registry"
    driver.clean()


def jails_of(driver):
    return [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if str(driver.state).encode() in read(p)]


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_killed_half_way(driver, tmp_path):
    registry, p = begin_download(driver, tmp_path)
    p.kill()
    p.communicate()
    wait_for("the jail ends with its maker", lambda: not jails_of(driver))
    registry.close()
    assert any(n.startswith(".work-") for n in driver.images())
    assert driver.call("list")[0] == 0
    assert driver.images() == []
    driver.clean()


def test_killed_at_any_moment(driver, tmp_path):
    (tmp_path / "r").write_bytes(tar([entry(f"f{i}", random.Random(i).randbytes(20000)) for i in range(300)]))
    for i in range(12):
        p = driver.start("make", f"rootfs:{tmp_path}/r")
        time.sleep(0.03 * i)
        p.kill()
        p.communicate()
        wait_for("the jail ends with its maker", lambda: not jails_of(driver))
        assert driver.call("list")[0] == 0
        driver.clean()
        assert len(driver.images()) <= 1
    driver.make(f"rootfs:{tmp_path}/r")


def test_remove(driver, tmp_path):
    (tmp_path / "r").write_bytes(base_layer())
    image = driver.make(f"rootfs:{tmp_path}/r")
    assert driver.call("remove", image["digest"])[0] == 0
    assert driver.images() == []
    assert driver.call("remove", image["digest"])[0] == 0
    assert driver.call("remove", "sha256:../../etc")[2].startswith("invalid:")
    assert driver.call("mount", image["digest"])[2].startswith("not-found:")
