# SPDX-License-Identifier: Apache-2.0
"""Hibernated machines: what they hold in memory is in a file and QEMU is gone; they go on from there after a killed daemon and after a restart
of the host, once and not twice."""
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest
from daemon import BUILD, Daemon, wait_for
from test_robust import power_cut

# Says, twice a second, a word that it holds in memory alone, and how often it has said it.
TELLER = "w=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \\n'); i=0; while :; do i=$((i+1)); echo \"word $w $i\"; sleep 0.5; done"


@pytest.fixture
def d():
    one = Daemon("msleep").start()
    yield one
    one.destroy()


def last(d):
    said = re.findall(r"word ([0-9a-f]{16}) (\d+)", d.cli("logs", "m", "--raw").stdout)
    return (said[-1][0], int(said[-1][1])) if said else None


def test_a_machine_goes_on_from_its_memory(d):
    d.cli("launch", "debian", "m", "--kind", "machine", "--init", "app", "--memory", "256M", "--", "/bin/sh", "-c", TELLER)
    word, count = wait_for("it talks", lambda: last(d), 300)
    memory = d.state / "instances" / d.instance("m")["id"]

    def files():
        return sorted(p.name for p in memory.iterdir() if p.name.startswith("memory"))

    def hibernated():
        i = d.instance("m")
        assert (i["state"], i["error"]) == ("hibernated", None)
        assert not any("qemu" in text for text in d.processes().values())
        for name in files():
            with contextlib.suppress(FileNotFoundError):  # one that has just got its last name, under which it is looked at again
                st = (memory / name).stat()
                assert st.st_mode & 0o777 == 0o600 and st.st_uid == 0, name

    def goes_on(since):
        wait_for("it goes on", lambda: (last(d) or ("", 0))[1] > since, 300)
        assert last(d)[0] == word, "another memory"
        assert files() == [], "it could go on twice"

    d.cli("hibernate", "m")
    hibernated()
    count = last(d)[1]
    d.cli("resume", "m")
    goes_on(count)

    # portenad dies while it sleeps, and the one after it finds it so.
    d.cli("hibernate", "m")
    count = last(d)[1]
    d.kill()
    d.start()
    hibernated()
    wait_for("it is on the disk all the same", lambda: files() == ["memory", "memory.plan"], 60)
    d.cli("resume", "m")
    goes_on(count)

    # The daemon's end waits for the disk.
    d.cli("hibernate", "m")
    count = last(d)[1]
    d.stop()
    assert files() == ["memory", "memory.plan"]
    d.start()
    d.cli("resume", "m")
    goes_on(count)

    # The host restarts: only what is on the disk is left.
    d.cli("hibernate", "m")
    wait_for("it is on the disk", lambda: files() == ["memory", "memory.plan"], 300)
    count = last(d)[1]
    power_cut(d)
    d.start()
    hibernated()
    d.cli("resume", "m")
    goes_on(count)

    # QEMU is killed: what was saved before is long gone, and nothing pretends otherwise.
    pid = next(pid for pid, text in d.processes().items() if "qemu-system" in text and "portena-vmm" not in text)
    os.kill(pid, signal.SIGKILL)
    wait_for("it is said to have ended", lambda: d.instance("m")["state"] in ("stopped", "failed"))
    wait_for("nothing is left of it", lambda: files() == [])

    # Stopping a hibernated one gives up what it held.
    d.cli("start", "m")
    wait_for("it talks anew", lambda: (last(d) or ("", 0))[0] not in ("", word), 300)
    d.cli("hibernate", "m")
    d.cli("stop", "m")
    assert d.instance("m")["state"] == "stopped" and files() == []
    d.cli("delete", "m")
    d.is_clean()


def test_what_goes_wrong_while_it_is_saved(d):
    d.cli("launch", "debian", "m", "--kind", "machine", "--init", "app", "--memory", "256M", "--", "/bin/sh", "-c", TELLER)
    word, _ = wait_for("it talks", lambda: last(d), 300)
    kept = d.state / "instances" / d.instance("m")["id"]
    inside = ["nsenter", f"--target={d.process.pid}", "--mount", "--"]

    # The disk is full before all is written: the machine goes on, and nothing half stays behind.
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=4m", "none", kept], check=True)
    try:
        refused = d.cli("hibernate", "m", check=False)
        left = subprocess.run([*inside, "ls", kept], check=True, capture_output=True, text=True).stdout.split()
    finally:
        subprocess.run([*inside, "umount", kept], check=True)
    assert refused.returncode and "m" in refused.stderr and "space" in refused.stderr, refused.stderr
    assert [n for n in left if n.startswith("memory")] == []
    since = last(d)[1]
    wait_for("it goes on", lambda: last(d)[1] > since, 300)
    assert last(d)[0] == word and d.instance("m")["state"] == "running"

    # The host is short of memory and ends QEMU, at any moment of it: it was either saved whole, or not at all.
    for pause in (0, 0.02, 0.05, 0.1):
        pid = next(pid for pid, text in d.processes().items() if "qemu-system" in text and "portena-vmm" not in text)
        asked = subprocess.Popen([BUILD / "src/cli/portena", "hibernate", "m"], env=d.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(pause)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        asked.communicate(timeout=300)
        state = wait_for("it has ended", lambda: d.instance("m")["state"] in ("stopped", "failed", "hibernated") and d.instance("m")["state"])
        if state == "hibernated":
            since = last(d)
            d.cli("resume", "m")
            wait_for("it goes on", lambda: last(d)[1] > since[1], 300)
            assert last(d)[0] == since[0]
        else:
            wait_for("nothing half is left", lambda: [p.name for p in kept.iterdir() if p.name.startswith("memory")] == [])
            word = last(d)[0]
            d.cli("start", "m")
            wait_for("it talks anew", lambda: last(d)[0] != word, 300)
    d.cli("delete", "m", "--force")
    d.is_clean()
