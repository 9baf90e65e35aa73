# SPDX-License-Identifier: Apache-2.0
"""That server (hostdisk.py) as a machine of its own, without a network, emulated: a copy of its disk for each test, and a second disk with the sources, the
build directory and the image debian, from which the server installs Portena as its administrator would. It is driven through QEMU's guest agent."""
import base64
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from daemon import BUILD, IMAGES, TOP, wait_for
from hostdisk import DISK, INITRD, KERNEL, build
from pcdisk import run

PARTS = 512  # MiB
# An emulated guest on a busy host measures its clocks wrongly, and gives up a timer that is late.
ARGS = "root=/dev/vda rw console=ttyS0 no_timer_check tsc=unstable systemd.show_status=no"
PATIENCE = 1800


class Host:
    def __init__(self, memory=1536):
        build()
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="pt-host-", dir="/var/tmp"))
        self.memory, self.process, self.agent, self.buffer = memory, None, None, b""
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", DISK, self.base / "disk")
        self.make_parts()

    def make_parts(self):
        tree = self.base / "tree"
        unwanted = shutil.ignore_patterns(".git", "node_modules", "__pycache__")
        shutil.copytree(TOP, tree / "top", symlinks=True, ignore=lambda where, names: {n for n in names if pathlib.Path(where) == TOP and n.startswith("build")} |
                        unwanted(where, names))
        shutil.copytree(BUILD, tree / "build", symlinks=True, ignore=lambda where, names: {"check"} if pathlib.Path(where) == BUILD else set())
        for image in IMAGES.iterdir():
            about = json.loads((image / "manifest.json").read_text())
            if about["source"] == "recipe:debian" and about["arch"] == "x86_64":
                shutil.copytree(image, tree / "images" / image.name)
        run("mkfs.ext4", "-q", "-d", tree, self.base / "parts", f"{PARTS}M")
        shutil.rmtree(tree)

    def start(self):
        qga = self.base / "qga"
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", self.memory,
                "-nic", "none", "-display", "none", "-kernel", KERNEL, "-initrd", INITRD, "-append", ARGS, "-serial", f"file:{self.base}/console",
                "-drive", f"file={self.base}/disk,if=virtio,format=qcow2,cache=unsafe,discard=unmap",
                "-drive", f"file={self.base}/parts,if=virtio,format=raw,cache=unsafe", "-device", "virtio-rng-pci",
                "-device", "virtio-serial-pci", "-chardev", f"socket,id=qga,path={qga},server=on,wait=off",
                "-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"]
        with open(self.base / "qemu.log", "w") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("QEMU listens", lambda: qga.exists() or self.process.poll() is not None)
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.connect(str(qga))
        self.up()

    def line(self):
        while b"\n" not in self.buffer:
            more = self.agent.recv(65536)
            if not more:
                raise AssertionError("QEMU has ended: " + (self.base / "qemu.log").read_text())
            self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rpartition(b"\xff")[2]  # what was left of an earlier answer stands before that

    def say(self, command, **arguments):
        self.agent.settimeout(PATIENCE)
        self.agent.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(self.line())
        if "error" in answer:
            raise AssertionError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def up(self):
        """Its agent answers; what came of earlier questions is passed over."""
        self.agent.settimeout(5)
        for number in range(PATIENCE // 5):
            try:
                self.agent.sendall(b"\xff" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode() + b"\n")
                while json.loads(self.line() or b"{}").get("return") != number:
                    pass
                return
            except (TimeoutError, ValueError):
                continue
        raise AssertionError("the server's agent does not answer:\n" + (self.base / "console").read_text(errors="replace")[-4000:])

    def sh(self, script, check=True):
        """Runs it by bash in the server, and returns what it said, without the last line break."""
        pid = self.say("guest-exec", path="/bin/bash", arg=["-c", script], **{"capture-output": True})["pid"]
        end = time.monotonic() + PATIENCE
        while not (done := self.say("guest-exec-status", pid=pid))["exited"]:
            assert time.monotonic() < end, f"{script}: does not end"
            time.sleep(0.05)
        out, err = (base64.b64decode(done.get(k, "")).decode(errors="replace") for k in ("out-data", "err-data"))
        code = done.get("exitcode", -done.get("signal", 0))
        assert not check or code == 0, f"{script}: exit {code}\n{out}\n{err}"
        return (out if check else out + err).rstrip("\n")

    def until(self, script, value=None):
        """Until it succeeds, and says this."""
        said = []

        def done():
            said[:] = [self.sh(f"{script}; echo \" $?\"", check=False)]
            out, _, code = said[0].rpartition(" ")
            return code == "0" and (value is None or out.strip() == value)
        wait_for(lambda: f"{script}: {value}; it says {said}", done, PATIENCE, 0.3)

    def reboot(self):
        before = self.sh("cat /proc/sys/kernel/random/boot_id")
        self.sh("systemd-run --on-active=1 systemctl reboot", check=False)
        wait_for("it has booted again", lambda: self.up() or self.sh("cat /proc/sys/kernel/random/boot_id") != before, PATIENCE, 0.5)

    def destroy(self):
        if self.agent:
            self.agent.close()
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.base, ignore_errors=True)
