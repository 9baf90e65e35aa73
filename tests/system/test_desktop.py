# SPDX-License-Identifier: Apache-2.0
"""The desktop image from a viewer's side, spoken to on its RFB socket: it is drawn, and what a person does in it works. Pictures are kept in
BUILD/check/desktop."""
import os
import pathlib
import time

import pytest
from daemon import BUILD, wait_for
from rfb import Rfb

PICTURES = BUILD / "check" / "desktop"
LAUNCHERS = {"firefox": 75, "files": 122, "terminal": 168, "editor": 215}  # x; all are 24 above the lower edge


@pytest.fixture(scope="module")
def desk(shared):
    """One desktop for all of them, in this order: a launch takes a gigabyte's worth of page cache, not more."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    shared.cli("launch", "desktop", "desk-image")
    pid = wait_for("it runs", lambda: shared.instance("desk-image").get("pid"))
    socket = pathlib.Path(f"/proc/{pid}/root/run/portena/rfb.sock")

    def connected():  # between its name and its ear there is a moment
        try:
            return Rfb(socket)
        except OSError:
            return None
    screen = wait_for("the X server listens", connected)
    screen.shared, screen.began = shared, began
    yield screen
    shared.cli("delete", "desk-image", "--force")


def run(desk, script):
    return desk.shared.cli("exec", "desk-image", "--user", "user", "--", "sh", "-c", script).stdout


def insist(act, so, what):
    """Acts again and again, each time with some patience: what is done while a window is still coming up may be lost."""
    def once():
        act()
        try:
            return wait_for(what, so, 10)
        except AssertionError:
            return False
    wait_for(what, once, 300)


def drawn(desk):
    """Wallpaper above, panel below."""
    return len(desk.colours()) > 50 and sum(desk.pixel(-300, -10)) in range(1, 150)


def test_is_drawn(desk):
    assert desk.until(lambda: drawn(desk))
    print(f"drawn after {(time.monotonic() - desk.began) * 1000:.0f} ms")
    desk.settle()
    desk.png(PICTURES / "desktop.png")


def test_system_is_running(desk):
    state = wait_for("systemd has settled", lambda: desk.shared.cli("exec", "desk-image", "--", "systemctl", "is-system-running", check=False).stdout.strip()
                     in ("running", "degraded") and "yes")
    assert state
    assert desk.shared.cli("exec", "desk-image", "--", "systemctl", "--failed", "--no-legend").stdout.strip() == ""


def test_caches_are_made_with_the_image(desk):
    """A start that makes them costs every user half a second."""
    assert run(desk, "ls -A /home/user/.cache | grep -c fontconfig || true").strip() == "0"


def test_who_i_am(desk):
    assert run(desk, "id -un; sudo -n id -un").split() == ["user", "root"]
    assert len(run(desk, "cat /etc/machine-id").strip()) == 32


def test_terminal_and_clipboard(desk):
    insist(lambda: desk.click(LAUNCHERS["terminal"], -24), lambda: "bash" in run(desk, "ps -o comm= --ppid $(pidof xfce4-terminal) || true"),
           "a shell runs in the terminal")
    desk.settle()
    desk.click(desk.width // 2, desk.height // 2)

    def type_it():
        desk.type("\necho typed > /tmp/typed\n")
    insist(type_it, lambda: run(desk, "cat /tmp/typed 2>/dev/null || true") == "typed\n", "what was typed arrives")
    desk.copy("echo pasted > /tmp/pasted")

    def paste_it():
        desk.keys("Return")  # whatever came before the window had the keys is a line of its own
        desk.keys("Control", "Shift", "V")
        desk.settle()
        desk.keys("Return")
    insist(paste_it, lambda: run(desk, "cat /tmp/pasted 2>/dev/null || true") == "pasted\n", "what was copied outside is pasted")

    def copy_it():
        desk.keys("Control", "Shift", "A")
        desk.keys("Control", "Shift", "C")
    insist(copy_it, lambda: desk.until(lambda: desk.clipboard and "typed" in desk.clipboard, 2), "what was copied inside comes out")
    desk.png(PICTURES / "terminal.png")


@pytest.mark.parametrize("name,window", [("files", "thunar"), ("editor", "mousepad"), ("firefox", "firefox-esr")])
def test_launchers(desk, name, window):
    before = desk.colours()
    insist(lambda: desk.click(LAUNCHERS[name], -24), lambda: run(desk, f"pgrep -x {window} | head -1 || true").strip(), f"{window} runs")
    assert desk.until(lambda: desk.colours() != before)
    desk.settle(1.5)
    desk.png(PICTURES / f"{name}.png")


def test_resize(desk):
    desk.resize(1024, 768)
    assert desk.until(lambda: (desk.width, desk.height) == (1024, 768))
    assert desk.until(lambda: sum(desk.pixel(-300, -10)) in range(1, 150))
    desk.settle()
    desk.png(PICTURES / "resized.png")


def test_parts_come_back(desk):
    old = run(desk, "pidof xfce4-panel").split()
    run(desk, "kill -9 $(pidof xfce4-panel)")
    wait_for("the panel is started again", lambda: run(desk, "pidof xfce4-panel || true").split() not in ([], old))


def test_nothing_listens_on_the_network(desk):
    assert run(desk, "cat /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A ' || true").strip() == "0"
    assert os.path.exists(PICTURES / "desktop.png")
