# SPDX-License-Identifier: Apache-2.0
"""Portena installed on a server: its units under systemd, control groups of version 2 alone, all of root's capabilities. `make check-host`, as it takes minutes;
all that needs no such server is tested elsewhere."""
import json

import pytest
from daemon import BUILD, TOP, wait_for
from host import Host

UNITS = "portenad portena-gateway portena-instances"
GROUPS = "/sys/fs/cgroup/portena"


@pytest.fixture
def server():
    one = Host()
    try:
        one.start()
        yield one
    finally:
        one.destroy()


def instance(h, name):
    return json.loads(h.sh(f"portena show {name} --json"))


def group(h, name):
    return f"{GROUPS}/{instance(h, name)['id']}"


def cg(h, name, *files):
    return h.sh(f"cd {group(h, name)} && cat {' '.join(files)}").split("\n")


def install(h):
    """`make install`, but for what it has to compile, and an image that is there already."""
    h.sh(f"set -e; mkdir -p /parts {TOP}; mount /dev/vdb /parts; mount --bind /parts/top {TOP}; mkdir -p {BUILD}; mount --bind /parts/build {BUILD}; cd {TOP}; "
         f"meson install -C {BUILD} --no-rebuild --quiet; getent passwd portena-gateway; mkdir -m 711 /var/lib/portena; cp -a /parts/images /var/lib/portena")
    assert "portena" not in h.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/portena*.service 2>&1")
    h.sh(f"systemctl enable --now {UNITS}")
    h.sh("portena whoami -q")  # at once: it is started when it answers
    h.until("curl -skf https://localhost:8443/ >/dev/null")
    said = h.sh("portena doctor 2>&1", check=False)
    for line in ("version 2", "grow while they are used", "no root, and held by seccomp and Landlock"):
        assert line in said, said


def limits(h):
    h.sh("set -e; mkdir -p /root/bb/bin /root/bb/etc /root/bb/tmp; cd /root/bb; cp /usr/bin/busybox bin; for a in sh sleep cat echo df tail true yes; do ln -s busybox bin/$a; done; "
         "echo root:x:0:0::/:/bin/sh > etc/passwd; tar -cf /root/bb.tar .; portena image import /root/bb.tar busybox")
    h.sh("portena launch busybox app --init app --memory 64M --cpu 0.2 --wait -- sh -c 'while :; do sleep 1; done'")
    assert cg(h, "app", "cpu.max", "memory.max", "memory.swap.max") == ["20000 100000", str(64 << 20), str(64 << 20)]
    assert h.sh("portena exec app -- cat /proc/self/cgroup") == "0::/"
    # What it asks for beyond is refused, slowed down, killed.
    h.sh("portena exec app -- sh -c 'yes >/dev/null & i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done; kill $!'")
    h.until(f"! grep -q '^nr_throttled 0$' {group(h, 'app')}/cpu.stat")
    assert "rc 137" in h.sh("portena exec app -- sh -c 'tail -c 200m /dev/zero >/dev/null; echo rc $?' 2>&1")
    assert "oom_kill 1" in cg(h, "app", "memory.events")
    # While it runs.
    said = h.sh("portena set app memory=128MiB cpu=1 pids=20 io_write=1MiB disk=22GiB")
    assert all(f"{k} applies now" in said for k in ("memory", "cpu", "pids", "io_write", "disk")), said
    assert cg(h, "app", "cpu.max", "memory.max", "pids.max") == ["100000 100000", str(128 << 20), "20"]
    assert "wbps=1048576" in cg(h, "app", "io.max")[0]
    h.sh("portena exec app -- sh -c 'i=0; while [ $i -lt 40 ]; do sleep 600 & i=$((i + 1)); done'", check=False)
    assert cg(h, "app", "pids.events")[0] != "max 0"
    h.sh("portena set app pids=500")  # those that there are sleep on, and an exec is one more
    size = int(h.sh("portena exec app -- df -k /").split("\n")[-1].split()[1])
    assert 21 << 20 < size < 22 << 20, size  # its ext4, mounted, has grown
    h.sh("portena pause app")
    assert "frozen 1" in cg(h, "app", "cgroup.events")
    h.sh("portena resume app")
    assert "frozen 0" in cg(h, "app", "cgroup.events")
    h.sh("portena restart app --wait")
    wait_for("what it uses is told", lambda: (instance(h, "app").get("usage") or {}).get("memory", 0) > 0, 600, 0.5)


def systems(h):
    h.sh("portena launch debian sys --memory 300M --wait")
    h.until("portena exec sys -- systemctl is-system-running", "running")
    assert h.sh("portena exec sys -- systemd-run -q --wait -p MemoryMax=20M cat /proc/self/cgroup; echo $?") == "0"
    there = cg(h, "sys", "cgroup.subtree_control")[0].split()
    assert {"memory", "pids"} <= set(there), there
    assert h.sh("portena exec sys -- sh -c 'echo max > /sys/fs/cgroup/memory.max'", check=False), "its own limits are not its own"
    assert cg(h, "sys", "memory.max") == [str(300 << 20)]
    before = int(cg(h, "sys", "memory.current")[0])
    h.sh("portena hibernate sys")
    assert instance(h, "sys")["state"] == "hibernated" and int(cg(h, "sys", "memory.current")[0]) < before / 2
    h.sh("portena resume sys")
    assert h.sh("portena exec sys -- systemctl is-system-running") == "running"


def began(h):
    return h.sh("for i in app sys; do portena exec $i -- cat /proc/1/stat | cut -d ' ' -f 22; done")


def survival(h):
    """Whatever the service manager does to the daemon, what runs goes on."""
    at = began(h)
    h.sh("systemctl restart portenad")
    assert began(h) == at
    h.sh("systemctl kill -s KILL portenad")  # all that systemd takes for part of it
    h.until("portena whoami -q")
    assert began(h) == at
    h.sh("systemctl stop portenad")
    assert h.sh("systemctl is-active portenad portena-gateway", check=False).split() == ["inactive", "active"]
    h.sh("systemctl start portenad")
    assert began(h) == at
    h.sh("systemctl restart portena-gateway")
    h.until("curl -skf https://localhost:8443/ >/dev/null")
    said = h.sh("journalctl -b --no-pager -o cat -u portenad -u portena-gateway -u init.scope")
    assert "left-over" not in said and "remains running" not in said, said


def boots(h):
    h.sh("portena launch busybox off --init app --wait -- sleep 600; portena stop off")
    h.reboot()
    h.until("portena whoami -q")
    for name, state in (("app", "running"), ("sys", "running"), ("off", "stopped")):
        wait_for(lambda: instance(h, name), lambda: instance(h, name)["state"] == state, 1200, 0.5)
    h.until("portena exec sys -- systemctl is-system-running", "running")
    assert h.sh("systemctl --failed --no-legend") == ""
    assert not h.sh("journalctl -b --no-pager -o cat -p err -u portenad -u portena-gateway -u portena-instances")


def end(h):
    h.sh("for i in app sys off; do portena delete $i --force; done")
    h.until(f"find {GROUPS} -mindepth 1 -type d ! -name monitors; for d in /run/portena/monitor /run/portena/net /var/lib/portena/instances; do ls -A $d 2>/dev/null; done; "
            "losetup -nO BACK-FILE | grep -v -e pool.xfs -e images; true", "")


def uninstall(h):
    h.sh("portena launch busybox last --init app --wait -- sleep 600")
    said = h.sh(f"cd {TOP}; mount /dev/vdb /parts 2>/dev/null; mountpoint -q {TOP} || {{ mount --bind /parts/top {TOP}; mount --bind /parts/build {BUILD}; }}; cd {TOP}; "
                f"packaging/uninstall.sh {BUILD}")
    assert "What is yours stays" in said
    h.until(f"pgrep -a portena; pgrep -a dnsmasq; ls /usr/bin/portena* /usr/sbin/portena* /usr/libexec/portena /usr/lib/systemd/system/portena* {GROUPS} 2>/dev/null; true", "")
    assert "store.db" in h.sh("ls /var/lib/portena")
    assert h.sh("systemctl --failed --no-legend") == ""


def test_a_server(server):
    for step in (install, limits, systems, survival, boots, end, uninstall):
        step(server)
