# SPDX-License-Identifier: Apache-2.0
"""Machines with real guests under emulation: the same volume as a container's, the jail around QEMU, ends of every kind, and unmodified
systems' disks. Few guests, many things looked at in each."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest
from daemon import BUILD, Daemon, wait_for
from disks import counting_sector

MAKE = """set -e; mkdir -p /srv/t; cd /srv/t; echo hello > a; ln a b; chown 1000:1001 a; chmod 4751 a; ln -s a l; mkfifo f; mkdir -m 1777 d
rm -f /etc/issue.net; rm -rf /usr/share/doc/bash; mkdir /usr/share/doc/bash; echo x > /usr/share/doc/bash/only"""
LOOK = """cd /srv/t; stat -c '%n %u %g %a %h %F' a b l f d; cat b; ls /etc/issue.net 2>&1; ls /usr/share/doc/bash; hostname; cat /etc/machine-id
ip -4 -br a show eth0 | tr -s ' ' | cut -d ' ' -f 3"""


@pytest.fixture
def d():
    one = Daemon("machine").start()
    yield one
    one.destroy()


def sh(d, name, script, **more):
    return d.cli("exec", name, "--", "sh", "-c", script, **more).stdout


def ready(d, name):
    wait_for(lambda: f"{name} is ready: {d.cli('logs', name).stdout[-1500:]}", lambda: d.instance(name)["ready"], 600, 0.1)


def of_jail(d, name, program):
    """Pid of a program that runs in the jail of an instance, on the node."""
    group = f"/{d.cgroup}/{d.instance(name)['id']}"

    def found():
        for pid, argv in d.processes().items():
            with contextlib.suppress(OSError):  # it has just ended
                if argv.split(" ")[0].endswith(program) and group in pathlib.Path(f"/proc/{pid}/cgroup").read_text():
                    return pid
        return None
    return wait_for(lambda: f"{program} runs: {d.processes()}", found)


def test_one_volume_as_container_and_as_machine(d):
    d.cli("launch", "debian", "v")
    ready(d, "v")
    sh(d, "v", MAKE)
    os.setxattr(f"/proc/{d.instance('v')['pid']}/root/srv/t/a", "user.kept", b"yes")
    before, address = sh(d, "v", LOOK), d.instance("v")["address"]

    d.cli("stop", "v")
    d.cli("set", "v", "kind=machine", "accel=tcg")
    d.cli("start", "v")
    ready(d, "v")
    assert sh(d, "v", LOOK) == before
    assert d.instance("v")["address"] == address
    assert sh(d, "v", "systemd-detect-virt").strip() == "qemu"
    assert d.cli("exec", "v", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    assert "/sbin/init" in d.cli("ps", "v").stdout
    # Its network is the container's: the same rules at the same wire. Who takes another's address is not heard.
    sh(d, "v", "ping -c1 -w120 10.83.0.1; ip addr add 10.83.0.99/24 dev eth0; ! ping -c1 -W2 -I 10.83.0.99 10.83.0.1")
    # A daemon that is killed takes nothing along.
    d.kill()
    d.start()
    assert d.instance("v")["state"] == "running" and sh(d, "v", "echo still here") == "still here\n"
    sh(d, "v", "echo machine > /srv/t/m; chown 5:6 /srv/t/m; rm /usr/share/doc/bash/only; rm /srv/t/f")
    volume = next(p for p in pathlib.Path(f"/proc/{d.process.pid}/root{d.run}/pool/volumes").iterdir() if p.name == d.instance("v")["volume"])
    assert volume.stat().st_uid != 0, "the machine's own while it has it"

    d.cli("stop", "v")
    d.cli("set", "v", "kind=container")
    d.cli("start", "v")
    ready(d, "v")
    assert volume.stat().st_uid == 0, "checked, and ours again"
    assert sh(d, "v", LOOK) == before.replace("only\n", "").replace("f 0 0 644 1 fifo\n", "")
    assert sh(d, "v", "cat /srv/t/m; stat -c '%u %g' /srv/t/m") == "machine\n5 6\n"
    assert os.getxattr(f"/proc/{d.instance('v')['pid']}/root/srv/t/a", "user.kept") == b"yes"
    d.cli("delete", "v", "--force")
    d.is_clean()


def test_the_jail_of_a_machine(d):
    for name in ("x", "y"):
        d.cli("launch", "debian", name, "--kind", "machine", "--init", "app", "--memory", "256M", "--", "/bin/sleep", "1000")
    for name in ("x", "y"):
        ready(d, name)
    qemu = of_jail(d, "x", "/qemu-system-x86_64")
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{qemu}/status").read_text().splitlines() if ":\t" in line)
    owner = int(status["Uid"].split()[0])
    assert owner >= 0x70000000 and len(set(status["Uid"].split())) == 1
    assert all(int(status[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    root = pathlib.Path(f"/proc/{qemu}/root")
    seen = {p.name for p in root.iterdir() if not p.is_symlink() and not re.fullmatch("disk\\.[0-9]", p.name)}  # places for data volumes
    assert seen <= {"usr", "dev", "proc", "run", "vm", "helpers", "image", "volume", "kernel", "initrd", "kvm"} | {"lib", "lib64", "bin", "sbin"}
    # What of the node's own files it sees is the system's, and what is its own.
    mounts = [line.split() for line in pathlib.Path(f"/proc/{qemu}/mountinfo").read_text().splitlines()]
    other = d.instance("y")["volume"]
    assert not any(other in " ".join(m) for m in mounts)
    written = {m[4] for m in mounts if "rw" in m[5].split(",") and not m[4].startswith(("/proc", "/dev"))}
    assert written <= {"/vm", "/volume", "/run/host/notify"}, written
    # Nor would its ids open another machine's volume where it saw it.
    volumes = pathlib.Path(f"/proc/{d.process.pid}/root{d.run}/pool/volumes")
    mine, others = os.open(volumes / d.instance("x")["volume"], os.O_PATH), os.open(volumes / other, os.O_PATH)
    script = f"import os\nos.setgroups([])\nos.setresgid({owner},{owner},{owner})\nos.setresuid({owner},{owner},{owner})\n" \
             f"os.close(os.open('/proc/self/fd/{mine}', os.O_RDWR))\n" \
             f"try:\n os.open('/proc/self/fd/{others}', os.O_RDONLY)\nexcept PermissionError:\n print('refused')\n"
    done = subprocess.run(["/usr/bin/python3", "-c", script], pass_fds=(mine, others), capture_output=True, text=True, check=False)
    os.close(mine)
    os.close(others)
    assert done.stdout == "refused\n", done.stderr
    for name in ("x", "y"):
        d.cli("delete", name, "--force")
    d.is_clean()


def test_every_end_of_a_machine(d):
    """Its own, QEMU's, that of its keeper, one that hangs; each is said, and leaves nothing that is in the way of the next start."""
    d.cli("launch", "debian", "e", "--kind", "machine", "--init", "app", "--memory", "256M", "--", "/bin/sh", "-c", "echo began; read x; exit $x")

    def ended(code):
        wait_for(lambda: f"it ended: {d.instance('e')}", lambda: d.instance("e")["state"] in ("stopped", "failed"), 300, 0.05)
        assert d.instance("e")["exit_code"] == code, d.instance("e")
        d.is_clean_but("e")

    def again():
        d.cli("start", "e")
        ready(d, "e")

    ready(d, "e")
    console = subprocess.Popen(["script", "-qec", f"{BUILD}/src/cli/portena console e", "/dev/null"], env=d.env,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def answered():  # what is typed before the terminal is raw may be thrown away
        console.stdin.write(b"9\r")
        console.stdin.flush()
        try:
            return wait_for("it has heard", lambda: d.instance("e")["state"] in ("stopped", "failed"), 5)
        except AssertionError:
            return False
    wait_for("it is answered", answered)
    ended(9)
    console.stdin.close()
    console.kill()
    console.wait()

    again()
    os.kill(of_jail(d, "e", "/qemu-system-x86_64"), signal.SIGKILL)
    ended(128 + signal.SIGKILL)
    assert "QEMU was killed" in d.cli("logs", "e").stdout

    again()
    os.kill(of_jail(d, "e", "/portena-vmm"), signal.SIGKILL)
    wait_for("it ended", lambda: d.instance("e")["state"] in ("stopped", "failed"), 300, 0.05)
    d.is_clean_but("e")

    # A QEMU that hangs answers nobody, and is ended all the same.
    again()
    os.kill(of_jail(d, "e", "/qemu-system-x86_64"), signal.SIGSTOP)
    d.cli("stop", "e", "--force")
    d.is_clean_but("e")
    # What does not start says why.
    d.cli("set", "e", "accel=kvm")
    if d.cli("start", "e", check=False).returncode:
        assert "KVM" in d.instance("e")["error"] and "accel=tcg" in d.instance("e")["error"]
    # What a machine leaves damaged is not mounted by the node's kernel.
    volume = pathlib.Path(f"/proc/{d.process.pid}/root{d.run}/pool/volumes/{d.instance('e')['volume']}")
    with open(volume, "r+b") as f:
        f.seek(1024 + 0x70)
        f.write(b"\xff" * 400)
    d.cli("stop", "e", check=False)
    d.cli("set", "e", "kind=container")
    assert d.cli("start", "e", check=False).returncode
    assert "left its file system damaged" in d.instance("e")["error"]
    assert volume.stat().st_uid != 0
    d.cli("delete", "e", "--force")
    d.is_clean()


def ask(d, instance, command):
    """QEMU's own answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"/proc/{d.process.pid}/root{d.run}/mnt/root/{instance['id']}/vm/qmp")
        lines = s.makefile("rw")
        lines.readline()
        for c in ({"execute": "qmp_capabilities"}, command):
            lines.write(json.dumps(c) + "\n")
            lines.flush()
            while "event" in (answer := json.loads(lines.readline())):
                pass
    return answer["return"]


def goes_on(d, name):
    """Hibernated and resumed: by its own QEMU, and running."""
    d.cli("hibernate", name, timeout=900)
    i = d.instance(name)
    assert (i["state"], i["error"]) == ("hibernated", None), i
    d.cli("resume", name, timeout=900)
    assert ask(d, d.instance(name), {"execute": "query-status"})["status"] == "running"


def test_a_pc_starts_what_is_on_its_disk(d):
    disk = d.base / "disk.raw"
    disk.write_bytes(counting_sector(b"from the disk "))
    os.truncate(disk, 16 << 20)
    d.cli("image", "import", f"raw:{disk}", "sector")

    def launch(name, **more):
        r = d.api("POST", "/v1/spaces/home/instances", {"name": name, "image": "sector", "disk": 32 << 20, "memory": 256 << 20, **more})
        assert r.status == 202, r.body

    launch("bios", firmware="bios")
    launch("uefi", firmware="uefi", tpm=True, hardware="emulated")
    ready(d, "bios")
    wait_for("the disk's own words", lambda: "from the disk" in d.cli("logs", "bios").stdout, 300)
    i = d.instance("bios")
    assert (i["kind"], i["model"], i["desktop"]) == ("machine", "pc", True)
    said = d.cli("exec", "bios", "--", "true", check=False)
    assert said.returncode and "no guest agent answers in it" in said.stderr
    # Its screen is there at once, whatever runs in it.
    screen = socket.socket(socket.AF_UNIX)
    screen.connect(f"/proc/{d.process.pid}/root{d.run}/mnt/root/{i['id']}/vm/vnc")
    assert screen.recv(12).startswith(b"RFB 003.")
    # What can be changed while it runs is; a limit of its disk is QEMU's own.
    d.cli("set", "bios", "disk=48M", "io_write=5M")
    assert d.instance("bios")["error"] is None
    assert ask(d, i, {"execute": "qom-get", "arguments": {"path": "/objects/io", "property": "limits"}})["bps-write"] == 5 << 20
    nodes = {n["node-name"]: n for n in ask(d, i, {"execute": "query-named-block-nodes"})}
    assert nodes["volume"]["image"]["virtual-size"] == 48 << 20
    # What has no driver for it waits for a start, and is said to.
    said = d.api("PATCH", "/v1/spaces/home/instances/bios", {"memory": 192 << 20, "cpu": 3, "priority": 50}).json
    assert said["applies"] == {"memory": "at the next start", "cpu": "at the next start", "priority": "now"}
    assert d.instance("bios")["guest_memory"] == 256 << 20 and d.instance("bios")["error"] is None
    screen.close()

    # Either goes on from its memory: what runs counts on, and nothing starts anew.
    def counted():
        return [int(n) for n in re.findall(r"from the disk (\d{4})", d.cli("logs", "bios").stdout)]

    goes_on(d, "bios")
    before = counted()[-1]
    wait_for("it counts on", lambda: counted()[-1] > before, 600, 0.2)
    assert counted().count(0) == 1
    d.cli("delete", "bios", "--force")
    wait_for("the firmware's words", lambda: "UEFI" in d.cli("logs", "uefi").stdout, 600)
    assert of_jail(d, "uefi", "/swtpm")
    goes_on(d, "uefi")
    assert of_jail(d, "uefi", "/swtpm")
    # With another board it could not go on: that is said, what it held stays, and when it has its board again it does.
    d.cli("hibernate", "uefi", timeout=900)
    d.cli("set", "uefi", "hardware=virtio", check=False)
    d.cli("resume", "uefi", check=False)
    assert "since the machine was hibernated" in d.instance("uefi")["error"]
    d.cli("set", "uefi", "hardware=emulated", check=False)
    wait_for(lambda: f"it goes on: {d.instance('uefi')}", lambda: d.instance("uefi")["state"] == "running", 600, 0.1)
    kept = d.state / "instances" / d.instance("uefi")["id"] / "machine"
    assert (kept / "vars.fd").stat().st_uid >= 0x70000000 and list((kept / "tpm").iterdir())
    d.cli("delete", "uefi", "--force")
    assert not kept.exists()
    d.is_clean()
