# SPDX-License-Identifier: Apache-2.0
"""Machines: what a start costs over plain QEMU with the same command line, copies of templates, hibernation, and the change of kind."""
import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import measure
from daemon import BUILD, Daemon, wait_for
from measure import figures, timed

CLI = BUILD / "src/cli/portena"
COPIES = 8
ARGS = ["--kind", "machine", "--memory", "512M", "--cpu", "2"]


def qemu_of(d, name):
    """Pid of the QEMU of an instance, by its control group."""
    id = d.instance(name)["id"]
    return next(pid for pid, text in d.processes().items() if "qemu-system" in text and "portena-vmm" not in text and f"guest={name}," in text and id)


def run(out, rounds, what):
    if what and "machine" not in what:
        return
    if not shutil.which("qemu-system-x86_64"):
        out["machine"] = "QEMU is not installed"
        return
    d = Daemon("bench-m", tune=True, templates="off").start()
    try:
        start(d, out, max(5, rounds // 2))
        sleep(d, out, max(5, rounds // 2))
        switch(d, out, max(3, rounds // 4))
    finally:
        d.destroy()
    d = Daemon("bench-t", tune=True, templates="shared").start()
    try:
        copies(d, out, max(5, rounds // 2))
    finally:
        d.destroy()


def start(d, out, rounds):
    """From the request until QMP has answered that it runs; then QEMU alone with the same command line, from before it until the same."""
    d.cli("launch", "debian", "m", *ARGS)
    plain = Plain(pathlib.Path(f"/proc/{qemu_of(d, 'm')}"))
    ours, theirs = [], []
    try:
        d.cli("stop", "m", "--force")
        for _ in range(rounds):
            before = time.perf_counter()
            answer = d.api("POST", "/v1/spaces/home/instances/m/actions?wait=60", {"action": "start"})
            ours.append(measure.since(before))
            assert answer.json["state"] == "running", answer.body
            d.cli("stop", "m", "--force")
            theirs.append(plain.start())
    finally:
        plain.close()
    d.cli("delete", "m", "--force")
    out["machine_start_ms"], out["plain_qemu_ms"] = figures(ours), figures(theirs)
    out["machine_start_over_plain_ms"] = round(out["machine_start_ms"]["median"] - out["plain_qemu_ms"]["median"], 2)


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


def sleep(d, out, rounds):
    """A machine of 512 MB, booted and idle."""
    d.cli("launch", "debian", "s", *ARGS, "--wait")
    time.sleep(3)
    down, up = [], []
    for _ in range(rounds):
        down.append(timed([CLI, "hibernate", "s"], d.env))
        up.append(timed([CLI, "resume", "s"], d.env))
        time.sleep(1)
    d.cli("delete", "s", "--force")
    out["machine_hibernate_ms"], out["machine_resume_ms"] = figures(down), figures(up)


def switch(d, out, rounds):
    """Of a stopped one: the change, and the start until QMP runs, or the container's first process; without a guest's own boot."""
    d.cli("launch", "debian", "k", "--wait")
    to, back = [], []
    for _ in range(rounds):
        for kind, times in (("machine", to), ("container", back)):
            d.cli("stop", "k", "--force")
            times.append(timed([CLI, "set", "k", f"kind={kind}"], d.env) + timed([CLI, "start", "k"], d.env))
            wait_for("ready", lambda: d.instance("k")["ready"], 120)
    d.cli("delete", "k", "--force")
    out["to_machine_ms"], out["to_container_ms"] = figures(to), figures(back)


def copies(d, out, rounds):
    """From before the command until the guest's agent has answered that it is somebody else now."""
    d.cli("launch", "debian", "first", *ARGS, "--wait")
    d.cli("delete", "first", "--force")
    wait_for("a template", lambda: ": made for image" in d.log.read_text(), 240)
    times = []
    for n in range(rounds):
        times.append(timed([CLI, "launch", "debian", f"c{n}", *ARGS], d.env))
        d.cli("delete", f"c{n}", "--force")
    names = [f"e{n}" for n in range(COPIES)]
    for name in names:
        d.cli("launch", "debian", name, *ARGS)
    time.sleep(2)
    private = [measure.memory_of([qemu_of(d, name)], "Private_Clean") + measure.memory_of([qemu_of(d, name)], "Private_Dirty") for name in names]
    for name in names:
        d.cli("delete", name, "--force")
    out["template_launch_ms"], out["template_private_mb"] = figures(times), figures(private)
