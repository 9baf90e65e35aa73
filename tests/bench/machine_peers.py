# SPDX-License-Identifier: Apache-2.0
"""Beside our machines in the same run: QEMU alone with the same command line, and libvirt, where it is installed, with the same kernel, disks and devices."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from xml.sax.saxutils import escape, quoteattr

import measure
from daemon import wait_for
from measure import figures, timed

HERE = pathlib.Path(__file__).resolve().parent


class Plain:
    """QEMU as it runs in a jail, with the jail's paths and descriptors made to mean the same outside."""

    def __init__(self, proc):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pt-plain-", dir="/var/tmp"))
        root = proc / "root"
        for file in ("kernel/vmlinuz", "initrd"):
            shutil.copy(root / file, self.dir / pathlib.Path(file).name)
        subprocess.run(["cp", "--sparse=always", root / "volume", self.dir / "volume"], check=True)
        shutil.copy(root / "image", self.dir / "image")
        argv = [a.decode() for a in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
        text = json.dumps(argv)
        for inside, outside in (("/kernel/vmlinuz", "vmlinuz"), ("/initrd", "initrd"), ("/image", "image"), ("/volume", "volume"), ("/vm/", "")):
            text = text.replace(f'"{inside}', f'"{self.dir}/{outside}').replace(f'={inside}', f"={self.dir}/{outside}").replace(f'\\"{inside}', f'\\"{self.dir}/{outside}')
        text = re.sub(r"socket,id=(\w+),fd=\d+", rf"socket,id=\1,path={self.dir}/\1,server=on,wait=off", text)
        self.argv = [re.sub(r"^tap,.*", "user,id=net,restrict=on", a).replace("stdio,id=console,signal=off", "null,id=console") for a in json.loads(text)]

    def start(self):
        before = time.perf_counter()
        q = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        path = self.dir / "qmp"
        try:
            while True:
                with socket.socket(socket.AF_UNIX) as s:
                    try:
                        s.connect(str(path))
                    except OSError:
                        if q.poll() is not None:
                            raise RuntimeError(q.stderr.read().decode()[-600:]) from None
                        time.sleep(0.001)
                        continue
                    f = s.makefile("rw")
                    f.readline()
                    for command in ("qmp_capabilities", "query-status"):
                        f.write(json.dumps({"execute": command}) + "\n")
                        f.flush()
                        while "return" not in (answer := json.loads(f.readline())):
                            pass
                    assert answer["return"]["status"] == "running", answer
                    return measure.since(before)
        finally:
            q.kill()
            q.wait()
            for s in self.dir.iterdir():
                if s.is_socket():
                    s.unlink()

    def close(self):
        shutil.rmtree(self.dir)


class Libvirt:
    """The same guest, defined for a libvirtd of this run alone (peer-daemon.sh), which is stopped with it."""

    def __init__(self, plain):
        self.plain, self.dir = plain, plain.dir / "libvirt"
        self.dir.mkdir()
        argv = ["unshare", "-m", "--propagation", "private", HERE / "peer-daemon.sh", "libvirt", self.dir]
        self.daemon = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.env = {**os.environ, "LIBVIRT_DEFAULT_URI": f"qemu+unix:///system?socket={self.dir}/run/libvirt-sock"}
        if self.daemon.stdout.readline() != "ready\n":
            self.daemon.wait(60)
            raise RuntimeError(f"its daemon does not start here: {self.daemon.stderr.read().strip()[-400:]}")
        xml = self.dir / "domain.xml"
        try:
            xml.write_text(self.domain())
            self.virsh("define", xml)
        except BaseException:
            self.close()
            raise

    def domain(self):
        argv = self.plain.argv
        option = {name: value for name, value in zip(argv, argv[1:])}
        model, *without = option["-cpu"].split(",")
        memory, cpus = (re.match(r"\d+", option[o])[0] for o in ("-m", "-smp"))
        serial = dict(re.findall(r"drive=(\w+),(?:[^ ,]+,)*serial=([\w-]+)", " ".join(argv)))
        disks = "".join(f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file={quoteattr(str(self.plain.dir / file))}/>"
                        f"<target dev='vd{letter}' bus='virtio'/>{extra}<serial>{serial[file]}</serial></disk>"
                        for file, letter, extra in (("image", "a", "<readonly/>"), ("volume", "b", "")))
        ports = [a.split("name=")[1] for a in argv if a.startswith("virtserialport,")]
        channels = "".join(f"<channel type='unix'><source mode='bind' path={quoteattr(str(self.dir / name))}/><target type='virtio' name={quoteattr(name)}/>"
                           "</channel>" for name in ports)
        features = "".join(f"<feature policy='disable' name='{f[1:]}'/>" for f in without)
        return f"""<domain type='qemu'><name>bench</name><memory unit='MiB'>{memory}</memory><vcpu>{cpus}</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><loader type='rom' readonly='yes'>/usr/share/qemu/{option["-bios"]}</loader>
<kernel>{option["-kernel"]}</kernel><initrd>{option["-initrd"]}</initrd><cmdline>{escape(option["-append"])}</cmdline></os>
<features><acpi/></features><cpu mode='custom' match='exact' check='none'><model fallback='allow'>{model}</model>{features}</cpu>
<devices><emulator>{argv[0]}</emulator>{disks}<controller type='usb' model='none'/>{channels}
<serial type='file'><source path={quoteattr(str(self.dir / "console"))}/><target port='0'/></serial>
<interface type='user'><model type='virtio'/><rom enabled='no'/></interface>
<memballoon model='virtio'/><rng model='virtio'><backend model='builtin'/></rng></devices></domain>"""

    def virsh(self, *args):
        return timed(["virsh", "--quiet", *args], self.env)

    def start(self):
        """Until `virsh start` has ended: the guest's processors run. Then it is ended."""
        took = self.virsh("start", "bench")
        self.virsh("destroy", "bench")
        return took

    def sleep(self, rounds):
        """`managedsave` of the guest, booted and idle, and the `start` that goes on from it."""
        self.virsh("start", "bench")
        wait_for("its guest is up", lambda: b"login:" in (self.dir / "console").read_bytes(), 180)
        time.sleep(3)
        down, up = [], []
        for _ in range(rounds):
            down.append(self.virsh("managedsave", "bench"))
            up.append(self.virsh("start", "bench"))
            time.sleep(1)
        self.virsh("destroy", "bench")
        return figures(down), figures(up)

    def close(self):
        subprocess.run(["virsh", "destroy", "bench"], env=self.env, capture_output=True)
        self.daemon.stdin.close()
        self.daemon.wait(60)


@contextlib.contextmanager
def libvirt(plain, out):
    """None where it is not wanted (`out` is None), not installed, or does not start here; `out` says why."""
    if out is None:
        yield None
        return
    if not shutil.which("virsh") or not (shutil.which("libvirtd") or os.access("/usr/sbin/libvirtd", os.X_OK)):
        out["skipped"] = "libvirtd or virsh is not installed"
        yield None
        return
    peer = None
    try:
        peer = Libvirt(plain)
        out["version"] = subprocess.run(["virsh", "--version"], capture_output=True, text=True).stdout.strip()
    except RuntimeError as e:
        out["error"] = str(e)
    try:
        yield peer
    finally:
        if peer:
            peer.close()
