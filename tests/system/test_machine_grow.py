# SPDX-License-Identifier: Apache-2.0
"""A machine's processors and memory, changed while it runs: what its guest says it has, what its group may take, and that all of it outlives a killed
daemon and a hibernation."""
import pathlib

import pytest
from daemon import Daemon, wait_for

MIB = 1 << 20


@pytest.fixture
def d():
    one = Daemon("grow").start()
    yield one
    one.destroy()


def test_a_machine_grows_and_shrinks(d):
    def sh(name, script):
        return d.cli("exec", name, "--", "sh", "-c", script).stdout

    def limit(name):
        group = d.instance(name)["id"]
        paths = [p for p in pathlib.Path("/sys/fs/cgroup").glob(f"*/{d.cgroup}/{group}/memory.limit_in_bytes")] or \
                [p for p in pathlib.Path("/sys/fs/cgroup").glob(f"{d.cgroup}/{group}/memory.max")]
        return int(paths[0].read_text())

    def has(name, cpus, mib):
        """By what is told of it, and by what its kernel says."""
        wait_for(lambda: f"{cpus} and {mib} MiB: {d.instance(name)}, {sh(name, 'nproc; grep MemTotal /proc/meminfo')}",
                 lambda: (d.instance(name)["guest_cpus"], d.instance(name)["guest_memory"]) == (cpus, mib * MIB), 600, 0.2)
        assert d.instance(name)["error"] is None
        wait_for("its kernel has them", lambda: int(sh(name, "nproc")) == cpus, 600, 0.5)
        total = lambda: int(sh(name, "grep MemTotal /proc/meminfo").split()[1]) >> 10
        wait_for(lambda: f"its kernel has {mib} MiB: {total()}", lambda: mib - 120 < total() <= mib, 600, 0.5)  # and keeps some for itself
        wait_for("the group's limit follows", lambda: limit(name) == (mib + 384) * MIB, 600)

    def change(name, *settings):
        said = d.cli("set", name, *settings).stdout
        assert "next start" not in said, said

    d.cli("launch", "debian", "m", "--kind", "machine", "--cpu", "1", "--memory", "256M", "--disk", "2G", "--wait")
    has("m", 1, 256)
    change("m", "cpu=3", "memory=768M")
    has("m", 3, 768)
    change("m", "cpu=2", "memory=512M")
    has("m", 2, 512)

    # A portenad that is killed has nothing in its memory alone.
    assert d.api("PATCH", "/v1/spaces/home/instances/m", {"memory": 640 * MIB}).status == 202
    d.kill()
    d.start()
    has("m", 2, 640)
    assert "2 processors, 640 MiB of memory" in d.cli("show", "m").stdout

    # What came while it ran is there again after it slept; what was set meanwhile comes then.
    sh("m", "mount -o remount,size=500M /dev/shm; head -c 300M /dev/urandom > /dev/shm/kept; sha256sum /dev/shm/kept > /dev/shm/sum")
    d.cli("hibernate", "m")
    said = d.api("PATCH", "/v1/spaces/home/instances/m", {"cpu": 4}).json
    assert said["applies"] == {"cpu": "when it is resumed"} and said["guest_cpus"] == 0
    d.cli("resume", "m")
    has("m", 4, 640)
    assert sh("m", "sha256sum -c /dev/shm/sum; rm /dev/shm/kept").strip().endswith("OK")

    # Less than it was started with is for the balloon; more than there is room for waits for a start.
    change("m", "cpu=1", "memory=200M")
    wait_for("it gives back", lambda: d.instance("m")["guest_memory"] == 200 * MIB, 600, 0.2)
    wait_for("one processor is left", lambda: d.instance("m")["guest_cpus"] == 1, 600, 0.2)
    wait_for("the group's limit follows", lambda: limit("m") == (200 + 384) * MIB, 600)
    said = d.api("PATCH", "/v1/spaces/home/instances/m", {"memory": 16 << 30, "cpu": 40}).json
    assert said["applies"] == {"memory": "at the next start", "cpu": "at the next start"}
    assert d.instance("m")["guest_memory"] == 200 * MIB and d.instance("m")["guest_cpus"] == 1
    change("m", "cpu=1", "memory=256M")
    has("m", 1, 256)
    d.cli("delete", "m", "--force")
    d.is_clean()
