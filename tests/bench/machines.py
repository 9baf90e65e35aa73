# SPDX-License-Identifier: Apache-2.0
"""Machines: what a start costs over plain QEMU with the same command line, copies of templates, hibernation, and the change of kind."""
import pathlib
import shutil
import statistics
import time

import measure
from daemon import BUILD, Daemon, wait_for
from machine_peers import Plain, libvirt
from measure import figures, timed

CLI = BUILD / "src/cli/portena"
COPIES = 8
ARGS = ["--kind", "machine", "--memory", "512M", "--cpu", "2"]


def qemu_of(d, name):
    """Pid of the QEMU of an instance, by its control group."""
    id = d.instance(name)["id"]
    return next(pid for pid, text in d.processes().items() if "qemu-system" in text and "portena-vmm" not in text and f"guest={name}," in text and id)


def run(out, peers, rounds, what):
    """`peers` is None where ours alone is wanted."""
    if what and "machine" not in what:
        return
    if not shutil.which("qemu-system-x86_64"):
        out["machine"] = "QEMU is not installed"
        return
    d = Daemon("bench-m", tune=True, templates="off").start()
    try:
        start(d, out, peers, max(5, rounds // 2))
        sleep(d, out, max(5, rounds // 2))
        switch(d, out, max(3, rounds // 4))
    finally:
        d.destroy()
    d = Daemon("bench-t", tune=True, templates="shared").start()
    try:
        copies(d, out, max(5, rounds // 2))
    finally:
        d.destroy()


def start(d, out, peers, rounds):
    """From the request until QMP has answered that it runs; then QEMU alone with the same command line, from before it until the same; then libvirt."""
    d.cli("launch", "debian", "m", *ARGS)
    plain = Plain(pathlib.Path(f"/proc/{qemu_of(d, 'm')}"))
    peer, ours, alone, theirs = None, [], [], []
    other = None if peers is None else peers.setdefault("libvirt", {})
    try:
        d.cli("stop", "m", "--force")
        with libvirt(plain, other) as peer:
            for _ in range(rounds):
                before = time.perf_counter()
                answer = d.api("POST", "/v1/spaces/home/instances/m/actions?wait=60", {"action": "start"})
                ours.append(measure.since(before))
                assert answer.json["state"] == "running", answer.body
                d.cli("stop", "m", "--force")
                alone.append(plain.start())
                theirs += [peer.start()] if peer else []
            if peer:
                other["machine_start_ms"] = figures(theirs)
                other["machine_hibernate_ms"], other["machine_resume_ms"] = peer.sleep(rounds)
    except RuntimeError as e:
        if not peer:
            raise
        other["error"] = str(e)
    finally:
        plain.close()
    d.cli("delete", "m", "--force")
    if peers is not None:
        peers["plain QEMU"] = {"machine_start_ms": figures(alone)}
    out["machine_start_ms"] = figures(ours)
    out["machine_start_over_plain_ms"] = round(statistics.median(o - a for o, a in zip(ours, alone)), 2)


def sleep(d, out, rounds):
    """A machine of 512 MB, booted and idle; resumed at once, and once its memory has been written out."""
    d.cli("launch", "debian", "s", *ARGS, "--wait")
    time.sleep(3)
    kept = d.state / "instances" / d.instance("s")["id"] / "memory"
    down, up, later = [], [], []
    for n in range(rounds + 3):
        down.append(timed([CLI, "hibernate", "s"], d.env))
        if n >= rounds:
            wait_for("it is on the disk", kept.exists, 60)
        (later if n >= rounds else up).append(timed([CLI, "resume", "s"], d.env))
        time.sleep(1)
    d.cli("delete", "s", "--force")
    out["machine_hibernate_ms"], out["machine_resume_ms"], out["machine_resume_written_ms"] = map(figures, (down, up, later))


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
