# SPDX-License-Identifier: Apache-2.0
"""Containers hibernated on disk by CRIU: they go on from there after a killed daemon and after a restart of the host, once and not twice; what
cannot be saved runs on, and what was damaged is not let go on."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from daemon import BUILD, Daemon, wait_for
from test_robust import power_cut


def criu():
    for path in ("/usr/lib/portena/criu", shutil.which("criu")):
        if path and os.access(path, os.X_OK):
            found = re.search(r"^Version: (\d+)", subprocess.run([path, "--version"], capture_output=True, text=True).stdout, re.M)
            if found and int(found[1]) >= 4:
                return path
    return None


pytestmark = pytest.mark.skipif(not criu(), reason="no CRIU 4 here (packaging/criu.sh)")

# Says a word that it holds in memory alone and how often it has said it, and writes that to a file it holds open.
TELLER = ("exec 3>/root/kept; w=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \\n'); i=0; "
          "while :; do i=$((i+1)); echo \"word $w $i\"; echo $i >&3; sleep 0.1; done")

# Waits for pressure upon its memory, as systemd and its services do since 254, and says how often it has looked and what poll(2) told it.
# Beside it runs a program that it has open by O_PATH, as since 255 whatever systemd starts does for a moment.
WATCHER = """use strict; open(my $g, "<", "/proc/self/cgroup"); my ($path) = map { /^0::(.*)/ } <$g>;
open(my $f, "+<", "/sys/fs/cgroup$path/memory.pressure") or die; syswrite($f, "some 150000 2000000\\0") or die;
sysopen(my $held, "/usr/bin/sleep", 010000000) or die; if (!fork) { exec "/usr/bin/sleep", "100000" }
for (my $n = 1; ; $n++) { my $p = pack("iss", fileno($f), 2, 0); syscall(7, $p, 1, 100); my $told = (unpack("iss", $p))[2];
open(my $o, ">", "/run/seen.new"); print $o "$n $told"; close $o; rename "/run/seen.new", "/run/seen" }"""
POLLERR = 8  # nothing is waited for, and so each poll(2) is over at once


@pytest.fixture
def d():
    one = Daemon("ckpt").start()
    yield one
    one.destroy()


def last(d, name):
    said = re.findall(r"word ([0-9a-f]{16}) (\d+)", d.cli("logs", name, "--raw").stdout)
    return (said[-1][0], int(said[-1][1])) if said else None


def saved(d, name):
    where = d.state / "instances" / d.instance(name)["id"]
    return sorted(p.name for p in where.iterdir() if p.name.startswith("checkpoint")) if where.is_dir() else []


def launch(d, name, *more):
    d.cli("launch", "debian", name, "--init", "app", *more, "--", "/bin/sh", "-c", TELLER)
    return wait_for("it talks", lambda: last(d, name))[0]


def hibernate(d, name):
    out = d.cli("hibernate", name, "--durable").stdout
    assert "hibernated on disk" in out and f"portena resume {name}" in out
    asleep(d, name)
    return last(d, name)[1]


def asleep(d, name):
    i = d.instance(name)
    assert (i["state"], i["durable"], i["error"]) == ("hibernated", True, None)
    assert saved(d, name) == ["checkpoint"]
    d.is_clean_but(name)


def confined(d, name):
    """The walls around its first process, as the kernel tells them."""
    pid = d.instance(name)["pid"]
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    mounts = [line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    mounts = sorted(f[4] if f[3] == "/null" else " ".join(f[4:6]) for f in mounts)  # over what is masked is /dev/null, read-only or not
    return "\n".join([line for line in status if line.startswith(("Seccomp", "NoNewPrivs", "Cap", "Uid", "Gid"))] + mounts +
                     [pathlib.Path(f"/proc/{pid}/{f}").read_text() for f in ("uid_map", "gid_map", "oom_score_adj")])


def goes_on(d, name, word, since):
    wait_for("it goes on", lambda: last(d, name)[1] > since)
    assert last(d, name)[0] == word, "another memory"
    assert saved(d, name) == [], "it could go on twice"
    assert d.instance(name)["state"] == "running" and not d.instance(name)["durable"]


def test_an_app_goes_on(d):
    word = launch(d, "a", "--memory", "64MiB")
    address, walls = d.instance("a")["address"], confined(d, "a")
    assert "Seccomp:\t2" in walls and "NoNewPrivs:\t1" in walls and re.search("^/ rw,nodev", walls, re.M)

    count = hibernate(d, "a")
    assert "portena resume a" in d.cli("ps", "a", check=False).stderr
    d.cli("resume", "a")
    goes_on(d, "a", word, count)
    assert set(confined(d, "a").splitlines()) ^ set(walls.splitlines()) == set()
    # What is made for it from outside is there again: network, limits, commands, its open file.
    assert address in d.cli("exec", "a", "--", "cat", "/proc/net/fib_trie").stdout
    assert d.cli("exec", "a", "--", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout == "0\n"
    assert d.cli("exec", "a", "--", "sh", "-c", "id -u; tty <&1", check=False).stdout.startswith("0\n")
    kept = d.cli("exec", "a", "--", "sh", "-c", "readlink /proc/1/fd/3; tail -1 /root/kept").stdout.split()
    assert kept[0] == "/root/kept" and int(kept[1]) > count
    group = next(p for p in (pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")) if (p / d.cgroup / d.instance("a")["id"]).is_dir())
    limit = next(p for p in (group / d.cgroup / d.instance("a")["id"] / f for f in ("memory.limit_in_bytes", "memory.max")) if p.exists())
    assert int(limit.read_text()) == 64 << 20

    # portenad dies while it sleeps.
    count = hibernate(d, "a")
    d.kill()
    d.start()
    asleep(d, "a")
    d.cli("resume", "a")
    goes_on(d, "a", word, count)
    d.kill()  # the next one finds it running, with its console
    d.start()
    count = last(d, "a")[1]
    goes_on(d, "a", word, count)

    # The host restarts.
    count = hibernate(d, "a")
    power_cut(d)
    d.start()
    asleep(d, "a")
    d.cli("start", "a")
    goes_on(d, "a", word, count)

    # Its end is told as ever, and stopping a hibernated one gives up what it held.
    os.kill(d.instance("a")["pid"], 9)
    wait_for("its end is seen", lambda: d.instance("a")["state"] == "stopped")
    assert d.instance("a")["exit_signal"] == 9
    d.cli("start", "a")
    wait_for("it talks anew", lambda: last(d, "a")[0] != word)
    hibernate(d, "a")
    d.cli("stop", "a")
    assert d.instance("a")["state"] == "stopped" and saved(d, "a") == []


def test_a_system_goes_on(d):
    """systemd, with a service that counts: it watches files and groups, and has told that it is up before."""
    if not criu().startswith("/usr/lib/portena/"):
        pytest.skip("this CRIU cannot save what watches files of an overlay")
    d.cli("launch", "debian", "s", "--wait")
    d.cli("exec", "s", "--", "systemd-run", "--unit=counter", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/run/count.new; "
          "mv /run/count.new /run/count; sleep 0.1; done")
    d.cli("exec", "s", "--", "systemd-run", "--unit=watcher", "perl", "-e", WATCHER)

    def count():
        return int(d.cli("exec", "s", "--", "cat", "/run/count", check=False).stdout or 0)

    def seen():
        return [int(n) for n in d.cli("exec", "s", "--", "cat", "/run/seen", check=False).stdout.split()] or [0, 0]
    wait_for("it counts", lambda: count() > 2)
    wait_for("it watches", lambda: seen()[0] > 2)
    assert not seen()[1] & POLLERR
    since, looks = count(), seen()[0]
    d.cli("hibernate", "s", "--durable")
    asleep(d, "s")
    power_cut(d)
    d.start()
    asleep(d, "s")
    d.cli("resume", "s", "--wait")
    assert d.instance("s")["ready"] and saved(d, "s") == []
    wait_for("it counts on", lambda: count() > since)
    wait_for("it watches on", lambda: seen()[0] > looks + 2)
    assert not seen()[1] & POLLERR, "it is told nothing any more"
    assert d.cli("exec", "s", "--", "systemctl", "is-active", "counter").stdout == "active\n"
    d.cli("exec", "s", "--", "systemctl", "start", "systemd-tmpfiles-clean.service")  # it still makes processes and groups
    d.cli("stop", "s", "--deadline", "600s")
    assert (d.instance("s")["state"], d.instance("s")["exit_code"]) == ("stopped", 0)


def test_what_was_damaged_is_refused(d):
    word = launch(d, "b", "--offline")
    hibernate(d, "b")
    where = d.state / "instances" / d.instance("b")["id"] / "checkpoint"
    pages = next(where.glob("pages-*.img"))
    whole = pages.read_bytes()
    pages.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = d.cli("resume", "b", check=False)
    assert refused.returncode == 1 and "damaged" in refused.stderr and "portena stop b" in refused.stderr, refused.stderr
    assert d.instance("b")["state"] == "hibernated" and saved(d, "b") == ["checkpoint"]
    pages.write_bytes(whole)  # what was refused was not touched
    d.cli("resume", "b")
    goes_on(d, "b", word, 0)
    hibernate(d, "b")
    (where / "inventory.img").unlink()
    assert "damaged" in d.cli("resume", "b", check=False).stderr
    d.cli("stop", "b")
    d.cli("start", "b")  # its disk is whole
    wait_for("it talks anew", lambda: last(d, "b")[0] != word)
    hibernate(d, "b")
    d.cli("delete", "b", "--force")
    d.is_clean()


def test_what_cannot_be_saved_runs_on(d):
    word = launch(d, "c")

    def refused(words):
        count = last(d, "c")[1]
        answer = d.cli("hibernate", "c", "--durable", check=False)
        assert answer.returncode == 1 and words in answer.stderr, answer.stderr
        assert d.instance("c")["state"] == "running" and saved(d, "c") == []
        wait_for("it runs on", lambda: last(d, "c")[1] > count)
        assert last(d, "c")[0] == word

    command = subprocess.Popen([BUILD / "src/cli/portena", "exec", "c", "--", "sleep", "1000"], env=d.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pid = wait_for("the command runs", lambda: next((p for p, text in d.processes().items() if text == "sleep 1000 "), None))
        refused("a command or a terminal is open in it")
    finally:
        command.kill()
        command.wait()
    wait_for("the command has ended", lambda: not pathlib.Path(f"/proc/{pid}").exists())
    # A descriptor of a kind that CRIU does not know: of a Landlock ruleset (landlock_create_ruleset).
    perl = "$a = pack(q(Q), 1); syscall(444, $a, 8, 0) >= 0 or die; open(F, q(>/root/has)); close F; sleep 1000 while 1"
    d.cli("exec", "c", "--", "sh", "-c", f"setsid perl -e '{perl}' >/dev/null 2>&1 &")
    wait_for("it has it", lambda: d.cli("exec", "c", "--", "test", "-f", "/root/has", check=False).returncode == 0)
    refused("CRIU cannot save it")
    d.cli("exec", "c", "--", "sh", "-c", "for p in /proc/[0-9]*; do grep -q ^perl $p/comm && kill ${p#/proc/}; done; exit 0")
    wait_for("that has ended", lambda: not any(text.startswith("perl ") for text in d.processes().values()))
    hibernate(d, "c")  # nothing was left in its way
    d.cli("resume", "c")
    goes_on(d, "c", word, 0)
