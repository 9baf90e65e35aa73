# SPDX-License-Identifier: Apache-2.0
"""Hibernated containers: they stand still, give their memory back, keep what they held, and wake for whoever opens them."""
import errno
import os
import pathlib
import subprocess

import pytest
from daemon import wait_for
from test_robust import power_cut

HELD = 48 << 20
# A process that holds HELD bytes that compress badly, and says on SIGUSR1 what sum they have.
HOLDER = """
srand(7); my $some = join("", map { chr(int(rand(256))) } 1 .. 65536); my $held = "";
for my $n (1 .. %d / 65536) { $held .= $some ^ (pack("N", $n) x 16384) }
$SIG{USR1} = sub { open(my $f, ">", "/root/sum"); print $f unpack("%%64C*", $held), "\\n"; close($f); rename("/root/sum", "/root/said") };
open(my $f, ">", "/root/pid"); print $f $$; close($f); rename("/root/pid", "/root/holds");
sleep 1000 while 1;
""" % HELD


def swap_free():
    return sum(int(size) - int(used) for _, _, size, used, _ in (line.split() for line in pathlib.Path("/proc/swaps").read_text().splitlines()[1:])) << 10


def gone(sys, number):
    try:
        (sys / "reset").write_text("1")
        pathlib.Path("/sys/class/zram-control/hot_remove").write_text(number)
    except OSError as e:  # EBUSY: somebody has it open, if only to see what it is
        return e.errno in (errno.ENODEV, errno.ENOENT)
    return True


@pytest.fixture(scope="module")
def swap():
    """The host's, or for as long as these tests run a device that is made for them alone."""
    if swap_free() > 2 << 30:
        yield
        return
    try:
        number = pathlib.Path("/sys/class/zram-control/hot_add").read_text().strip()
    except OSError as e:
        pytest.skip(f"no swap, and no zram to make some: {e}")
    device, sys = f"/dev/zram{number}", pathlib.Path(f"/sys/block/zram{number}")
    try:
        (sys / "disksize").write_text("2G")
        subprocess.run(["mkswap", device], check=True, capture_output=True)
        subprocess.run(["swapon", "-p", "10", device], check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["swapoff", device], capture_output=True)
        wait_for("nobody looks at the device any more", lambda: gone(sys, number))


def group(d, name):
    id = d.instance(name)["id"]
    v1, v2 = pathlib.Path(f"/sys/fs/cgroup/memory/{d.cgroup}/{id}"), pathlib.Path(f"/sys/fs/cgroup/{d.cgroup}/{id}")
    return (v1, "memory.usage_in_bytes", "memory.limit_in_bytes") if v1.is_dir() else (v2, "memory.current", "memory.high")


def charge(d, name):
    where, usage, _ = group(d, name)
    return int((where / usage).read_text())


def limit(d, name):
    where, _, limit = group(d, name)
    return (where / limit).read_text().strip()


def state(d, name):
    return d.instance(name)["state"]


def connect(d, name, what):
    """What a browser does to open a stream; it is let go of at once."""
    answer = d.api("GET", f"/v1/spaces/home/instances/{name}/{what}", headers={"Upgrade": "portena-stream/1", "Connection": "Upgrade"})
    assert answer.status == 101, answer.body


def pid_of(d, name):
    return int(d.cli("exec", name, "--", "cat", "/root/holds").stdout)


def asked(d, name, pid):
    d.cli("exec", name, "--", "sh", "-c", f"rm -f /root/said; kill -USR1 {pid}; until [ -f /root/said ]; do sleep 0.05; done")
    return d.cli("exec", name, "--", "cat", "/root/said").stdout


def cpu_used(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]


def test_without_swap(d):
    if swap_free():
        pytest.skip("this host has swap")
    d.cli("launch", "debian", "awake", "--wait")
    refused = d.cli("hibernate", "awake", check=False)
    assert refused.returncode == 1 and "no swap" in refused.stderr and "portena pause awake" in refused.stderr
    assert state(d, "awake") == "running"
    assert d.cli("exec", "awake", "--", "echo", "on").stdout == "on\n"
    d.kill()
    d.start()  # what could not be done is not tried again behind one's back
    assert state(d, "awake") == "running"


def test_memory_goes_and_comes_back(d, swap):
    """In one life: it sleeps, the daemon is killed, its settings are changed, it is woken by a command."""
    d.cli("launch", "debian", "deep", "--memory", "256M", "--wait")
    d.cli("exec", "deep", "--", "sh", "-c", f"cat >/root/holder; setsid perl /root/holder >/dev/null 2>&1 & until [ -f /root/holds ]; do sleep 0.05; done", input=HOLDER)
    pid, quota = pid_of(d, "deep"), d.api("GET", "/v1/spaces/home").json["used"]
    said, before = asked(d, "deep", pid), charge(d, "deep")
    assert before > HELD

    out = d.cli("hibernate", "deep").stdout
    assert "hibernated" in out and "given back" in out and "portena resume deep" in out
    i = d.instance("deep")
    assert i["state"] == "hibernated" and i["power"] == "hibernated" and not i["durable"]
    assert charge(d, "deep") < before / 10 and i["freed"] > before * 0.85
    assert int(limit(d, "deep")) < charge(d, "deep") + (8 << 20)
    assert d.api("GET", "/v1/spaces/home").json["used"] == quota  # it may come back at any time
    assert "hibernated" in next(l for l in d.cli("list").stdout.splitlines() if l.startswith("deep "))
    stood = cpu_used(i["pid"])

    for what, words in ((("hibernate", "deep"), "nothing was changed"), (("pause", "deep"), "portena resume deep"), (("delete", "deep", "--yes"), "portena stop deep"),
                        (("ps", "deep"), "portena resume deep")):
        refused = d.cli(*what, check=False)
        assert refused.returncode == 1 and "is hibernated" in refused.stderr and words in refused.stderr, (what, refused.stderr)
    changed = d.api("PATCH", "/v1/spaces/home/instances/deep?wait=300", {"memory": 320 << 20}).json
    assert changed["applies"] == {"memory": "when it is resumed"} and changed["state"] == "hibernated"

    d.kill()
    d.start()
    again = wait_for("it is known again", lambda: d.instance("deep"))
    assert again["state"] == "hibernated" and again["pid"] == i["pid"] and again["freed"] == i["freed"]
    assert cpu_used(i["pid"]) == stood and charge(d, "deep") < before / 10

    assert asked(d, "deep", pid) == said  # wakes it
    awake = d.instance("deep")
    assert awake["state"] == "running" and awake["power"] == "running" and awake["freed"] == 0 and awake["pid"] == i["pid"]
    where, _, name = group(d, "deep")
    assert int((where / name.replace("high", "max")).read_text()) == 320 << 20
    ops = [o["kind"] for o in d.api("GET", "/v1/operations").json["items"] if o["target"].endswith("/deep")]
    assert "hibernate" in ops and "resume" in ops

    d.cli("hibernate", "deep")
    d.cli("start", "deep")  # as somebody says who does not know the word
    assert state(d, "deep") == "running" and d.instance("deep")["pid"] == i["pid"]
    d.cli("pause", "deep")
    d.cli("hibernate", "deep")  # also a paused one
    assert "resume" in d.cli("exec", "deep", "--", "true", check=False).stderr or state(d, "deep") == "running"


def test_connecting_wakes(d, swap):
    d.cli("launch", "desktop", "desk", "--wait")
    connect(d, "desk", "desktop")
    for what in ("desktop", "console"):
        d.cli("hibernate", "desk")
        d.api("GET", "/v1/spaces/home/instances/desk/logs")
        assert state(d, "desk") == "hibernated"
        connect(d, "desk", what)
        assert state(d, "desk") == "running", what
    d.cli("hibernate", "desk")
    d.cli("resume", "desk")
    assert d.cli("exec", "desk", "--", "echo", "on").stdout == "on\n"
    d.cli("hibernate", "desk")
    d.cli("delete", "desk", "--force")
    d.is_clean()


def test_stop_and_restart(d, swap):
    """Woken to be stopped as any other; its files are whole."""
    d.cli("launch", "debian", "web", "--wait")
    d.cli("exec", "web", "--", "sh", "-c", "echo kept >/root/file")
    d.cli("hibernate", "web")
    first = d.instance("web")["pid"]
    d.cli("restart", "web", "--wait")
    assert d.instance("web")["pid"] != first and state(d, "web") == "running"
    d.cli("hibernate", "web")
    d.cli("stop", "web", "--deadline", "600s")
    assert state(d, "web") == "stopped" and d.instance("web")["exit_code"] == 0
    d.is_clean_but("web")
    refused = d.cli("hibernate", "web", check=False)
    assert refused.returncode == 1 and "portena start web" in refused.stderr
    d.cli("start", "web")
    assert d.cli("exec", "web", "--", "cat", "/root/file").stdout == "kept\n"
    d.cli("hibernate", "web")
    d.cli("stop", "web", "--force")
    d.is_clean_but("web")


def test_program(d, swap, tmp_path):
    """A process of one program, whose limits and jail are others."""
    program = tmp_path / "counter"
    program.write_text("#!/bin/sh\nn=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done\n")
    program.chmod(0o755)
    d.cli("launch", program, "count", "--disk", "64MiB", "--memory", "64MiB")

    def said():
        return d.cli("logs", "count").stdout.split()
    wait_for("it counts", lambda: len(said()) > 2)
    d.cli("hibernate", "count")
    assert state(d, "count") == "hibernated"
    stood = wait_for("all that it said before has arrived", lambda: (now := said()) == said() and now)
    d.cli("resume", "count")
    wait_for("it counts on", lambda: len(said()) > len(stood) + 2)
    numbers = [int(n) for n in said()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_lost_with_the_host(d, swap):
    """Its memory was in swap. What is not to be started with the node stays stopped."""
    d.cli("launch", "debian", "back", "--wait")
    d.cli("launch", "debian", "once", "--no-autostart", "--wait")
    d.cli("hibernate", "back", "once")
    power_cut(d)
    d.start()
    wait_for("it runs again", lambda: state(d, "back") == "running" and d.instance("back")["ready"])
    assert "started again" in d.log.read_text()
    wait_for("the other is known to be down", lambda: state(d, "once") == "stopped")
    d.cli("hibernate", "back")
    os.kill(d.instance("back")["pid"], 9)
    wait_for("its end is seen", lambda: state(d, "back") == "stopped")
