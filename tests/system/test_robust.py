# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a server's life, and what is left of it: killed helpers, lost run directories, clients that race, work that is cut off."""
import concurrent.futures
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import termios
import threading
import time

import oci
import pytest
from daemon import BUILD, Daemon, wait_for


def monitor(d, name):
    state = (d.run / "monitor" / d.instance(name)["id"] / "state").read_text()
    return int(re.search(r"monitor (\d+)", state).group(1))


def children(d, program):
    return [pid for pid, text in d.processes().items() if program in text.split(" ")[0]]


def portena(d, *args, **kw):
    return subprocess.Popen([str(BUILD / "src/cli/portena"), *args], env=d.env, start_new_session=True,
                            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kw})


def state(d, name, space="home"):
    return d.instance(name, space).get("state")


# ---- helpers that die ----

def test_monitor_killed(d):
    d.cli("launch", "debian", "web", "--wait")
    os.kill(monitor(d, "web"), signal.SIGKILL)
    wait_for("its loss is seen", lambda: state(d, "web") == "failed")
    i = d.instance("web")
    assert "monitor" in i["error"] and not i["pid"] and not i["ready"]
    d.is_clean_but("web")
    refused = d.cli("exec", "web", "--", "true", check=False)
    assert refused.returncode == 1 and "portena start web" in refused.stderr
    d.cli("start", "web", "--wait")
    assert d.cli("exec", "web", "--", "echo", "back").stdout == "back\n" and not d.instance("web")["error"]


def test_monitor_killed_with_a_policy(d):
    d.cli("launch", "debian", "job", "--init", "app", "--restart", "on-failure", "--", "sleep", "1000")
    first = d.instance("job")["pid"]
    os.kill(monitor(d, "job"), signal.SIGKILL)
    wait_for("it runs again", lambda: state(d, "job") == "running" and d.instance("job")["pid"] != first)
    assert d.instance("job")["restarts"] == 1
    wait_for("the first has ended", lambda: first not in d.processes())


def test_all_monitors_killed_with_the_daemon(d):
    """Nobody holds the mount namespace but a dnsmasq and orphans: the pool is free all the same."""
    for n in ("one", "two"):
        d.cli("launch", "debian", n, "--wait")
    pids = [monitor(d, n) for n in ("one", "two")]
    d.kill()
    for p in pids:
        os.kill(p, signal.SIGKILL)
    d.start()
    for n in ("one", "two"):
        wait_for("its loss is seen", lambda: state(d, n) == "failed")
        assert "monitor" in d.instance(n)["error"]
    d.cli("start", "one", "--wait")
    assert d.cli("exec", "one", "--", "getent", "hosts", "one").stdout


def test_dnsmasq_killed(d):
    for n in ("one", "two"):
        d.cli("launch", "debian", n, "--wait")
    [pid] = children(d, "dnsmasq")
    os.kill(pid, signal.SIGKILL)
    wait_for("names are there again", lambda: d.cli("exec", "one", "--", "getent", "hosts", "two.home.internal", check=False).returncode == 0)
    assert children(d, "dnsmasq") != [pid]
    # nor is one left over that dies while the daemon is away
    d.kill()
    os.kill(children(d, "dnsmasq")[0], signal.SIGKILL)
    d.start()
    wait_for("names are there again", lambda: d.cli("exec", "one", "--", "getent", "hosts", "two.home.internal", check=False).returncode == 0)


# ---- the daemon comes and goes ----

def test_restarted_twice_in_a_row(d):
    d.cli("launch", "debian", "web", "--wait")
    pid = d.instance("web")["pid"]
    for how in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGTERM):
        d.stop(how)
        d.start(wait=how == signal.SIGTERM)
    wait_for("it answers", d.answers)
    wait_for("it is seen", lambda: state(d, "web") == "running")
    assert d.instance("web")["pid"] == pid
    assert d.cli("exec", "web", "--", "echo", "on").stdout == "on\n"


def test_stale_socket_and_half_a_run_directory(d):
    """What a crash may leave: a socket that nobody listens at, directories of instances and spaces that are none."""
    d.kill()
    for name in ("monitor/01aaaaaaaaaaaaaaaaaaaaaaaa", "net/01bbbbbbbbbbbbbbbbbbbbbbbb/ports", "mnt/root/01cccccccccccccccccccccccc",
                 "crun/01dddddddddddddddddddddddd"):
        (d.run / name).mkdir(parents=True, exist_ok=True)
    (d.run / "monitor/01aaaaaaaaaaaaaaaaaaaaaaaa/state").write_text("monitor 1 1\ninit 1 1\nstarted 5\n")
    (d.state / "instances" / "01ffffffffffffffffffffffff").mkdir()
    assert d.socket.exists()
    d.start()
    d.cli("launch", "debian", "web", "--wait")
    d.cli("delete", "web", "--force")


def power_cut(d):
    """The host goes down: every process at once, and RUN, a tmpfs, with it."""
    d.kill()
    d.kill_all()
    shutil.rmtree(d.run)


def test_reboot(d):
    """What ran runs again, with its files and address; what is not to, does not; what was stopped stays stopped."""
    d.cli("launch", "debian", "ran", "--wait")
    d.cli("launch", "debian", "once", "--no-autostart", "--wait")
    d.cli("launch", "debian", "stopped", "--wait")
    d.cli("stop", "stopped")
    d.cli("exec", "ran", "--", "sh", "-c", "echo kept >/root/file; sync")
    address = d.instance("ran")["address"]
    power_cut(d)
    d.start()
    wait_for("what ran runs", lambda: state(d, "ran") == "running" and d.instance("ran")["ready"])
    assert d.cli("exec", "ran", "--", "cat", "/root/file").stdout == "kept\n"
    assert d.instance("ran")["address"] == address
    wait_for("the other is known to be down", lambda: state(d, "once") == "stopped")
    assert state(d, "stopped") == "stopped"


def test_reboot_with_run_on_a_disk(d):
    """RUN of an earlier boot says nothing about this one."""
    d.cli("launch", "debian", "web", "--wait")
    pid = d.instance("web")["pid"]
    d.kill()
    d.kill_all()
    (d.run / "booted").write_text("another-boot")
    d.start()
    wait_for("it runs again", lambda: state(d, "web") == "running" and d.instance("web")["pid"] != pid)


# ---- work that cannot succeed, or is cut off ----

def test_bad_command(d):
    made = d.cli("launch", "debian", "bad", "--init", "app", "--", "no-such-command", check=False)
    assert made.returncode == 1 and "no-such-command" in made.stderr
    i = d.instance("bad")
    assert i["state"] == "failed" and "no-such-command" in i["error"]
    assert "no-such-command" in d.cli("show", "bad").stdout
    d.is_clean_but("bad")
    # what was wrong can be mended
    d.cli("set", "bad", "command=sleep 1000")
    d.cli("start", "bad")
    assert state(d, "bad") == "running"
    d.cli("delete", "bad", "--force")


def test_bad_image(d):
    made = d.cli("launch", "no-such-image", "bad", check=False)
    assert made.returncode == 3 and "portena image list" in made.stderr
    assert d.api("GET", "/v1/spaces/home/instances/bad").status == 404


def test_bad_user(d):
    made = d.cli("launch", "debian", "bad", "--init", "app", "--user", "nobody-here", "--", "true", check=False)
    assert made.returncode == 1 and "nobody-here" in made.stderr
    assert state(d, "bad") == "failed"
    d.cli("delete", "bad")


def test_deleted_under_its_sessions(d):
    d.cli("launch", "debian", "web", "--wait")
    master, slave = pty.openpty()
    sessions = [portena(d, "exec", "web", "--", "sleep", "1000"), portena(d, "exec", "-t", "web", "--", "sleep", "1000", stdin=slave, stdout=slave),
                portena(d, "console", "web", stdin=slave, stdout=slave), portena(d, "exec", "web", "--", "cat"), portena(d, "logs", "-f", "web")]
    os.close(slave)
    threading.Thread(target=drain, args=(master,), daemon=True).start()
    wait_for("they are in", lambda: sum("sleep 1000" in l for l in d.cli("ps", "web").stdout.splitlines()) == 2)
    before = time.monotonic()
    d.cli("delete", "web", "--force")
    assert time.monotonic() - before < 300
    for p in sessions:
        p.communicate(timeout=300)
    assert sessions[0].returncode not in (0, None) and sessions[1].returncode not in (0, None)
    os.close(master)


def drain(fd):
    try:
        while os.read(fd, 65536):
            pass
    except OSError:
        pass


def test_stopped_under_its_sessions(d):
    d.cli("launch", "debian", "web", "--wait")
    p = portena(d, "exec", "web", "--", "sh", "-c", "echo in; sleep 1000")
    assert p.stdout.readline() == b"in\n"
    d.cli("stop", "web")
    p.communicate(timeout=300)
    assert p.returncode not in (0, None)


def test_exec_client_killed(d):
    """A client that is gone takes its command with it; the instance does not collect them."""
    d.cli("launch", "debian", "web", "--wait")
    for _ in range(5):
        p = portena(d, "exec", "web", "--", "sh", "-c", "echo in; exec sleep 1000")
        assert p.stdout.readline() == b"in\n"
        p.kill()
        p.communicate()
    wait_for("they have ended", lambda: "sleep" not in d.cli("ps", "web").stdout)


# ---- many at once ----

def test_twenty_at_once(d):
    names = [f"n{n:02}" for n in range(20)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for done in pool.map(lambda n: d.cli("launch", "debian", n, "--memory", "64M"), names):
            assert done.returncode == 0
        items = d.api("GET", "/v1/spaces/home/instances").json["items"]
        assert [i["name"] for i in items] == names and all(i["state"] == "running" for i in items)
        assert len({i["address"] for i in items}) == len({i["mac"] for i in items}) == 20
        wait_for("all are ready", lambda: all(i["ready"] for i in d.api("GET", "/v1/spaces/home/instances").json["items"]))
        wait_for("they know each other", lambda: d.cli("exec", names[0], "--", "getent", "hosts", names[19], check=False).returncode == 0)
        for done in pool.map(lambda n: d.cli("delete", n, "--force"), names):
            assert done.returncode == 0
    d.is_clean()


def test_same_name_again_and_again(d):
    """What is still under way of a deleted one does not touch the next of its name."""
    ids = set()
    for n in range(20):
        d.cli("launch", "debian", "web", *(["--wait"] if n % 5 == 0 else []))
        ids.add(d.instance("web")["id"])
        d.cli("delete", "web", "--force")
    assert len(ids) == 20
    assert "home/web does not start" not in d.log.read_text().rpartition("ready:")[2]


def test_two_change_one(d):
    """Each of two clients' changes is there in the end, or was refused with a word on why."""
    d.cli("launch", "debian", "web")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        one = pool.submit(lambda: [d.cli("set", "web", f"memory={256 + n}M", check=False) for n in range(10)])
        two = pool.submit(lambda: [d.cli("set", "web", f"cpu={1 + n / 10}", check=False) for n in range(10)])
        results = one.result() + two.result()
    for r in results:
        assert r.returncode == 0 or (r.returncode == 1 and r.stderr), r
    i = d.instance("web")
    if results[9].returncode == 0:
        assert i["memory"] == 265 << 20
    if results[19].returncode == 0:
        assert i["cpu"] == 1.9
    # an opposite pair: the last word is either's, and it is true
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda v: d.cli(v, "web", check=False), ("stop", "restart")))
    wait_for("it has settled", lambda: (now := state(d, "web")) in ("running", "stopped") and now == state(d, "web") and
             (d.cli("exec", "web", "--", "true", check=False).returncode == 0) == (now == "running"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        gone = list(pool.map(lambda _: d.cli("delete", "web", "--force", check=False), range(2)))
    assert 0 in [g.returncode for g in gone] and all(g.returncode in (0, 1, 3) for g in gone), gone
    assert d.api("GET", "/v1/spaces/home/instances/web").status == 404


def test_renamed(d):
    d.cli("launch", "debian", "old", "--wait")
    d.cli("launch", "debian", "peer", "--wait")
    refused = d.cli("rename", "old", "new", check=False)
    assert refused.returncode == 1 and "stopped" in refused.stderr
    d.cli("exec", "old", "--", "sh", "-c", "echo kept >/root/file")
    before = d.instance("old")
    d.cli("stop", "old")
    assert d.cli("rename", "old", "peer", check=False).returncode == 1
    d.cli("rename", "old", "new")
    assert d.api("GET", "/v1/spaces/home/instances/old").status == 404
    d.cli("start", "new", "--wait")
    after = d.instance("new")
    assert [after[k] for k in ("id", "address", "mac", "volume")] == [before[k] for k in ("id", "address", "mac", "volume")]
    assert d.cli("exec", "new", "--", "sh", "-c", "hostname; cat /root/file").stdout == "new\nkept\n"
    wait_for("its new name is known", lambda: before["address"] in d.cli("exec", "peer", "--", "getent", "ahostsv4", "new", check=False).stdout)
    wait_for("its old one is not", lambda: d.cli("exec", "peer", "--", "getent", "hosts", "old", check=False).returncode != 0)
    # and a restart of the daemon knows it by its new name
    d.kill()
    d.start()
    wait_for("it is seen", lambda: state(d, "new") == "running")


def test_space_deleted_with_what_is_in_it(d):
    d.cli("space", "create", "lab")
    for n in ("one", "two"):
        d.cli("launch", "debian", n, "--space", "lab")
    d.cli("launch", "debian", "three", "--space", "lab", "--init", "app", "--", "true")
    refused = d.cli("space", "delete", "lab", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr
    d.cli("space", "delete", "lab", "--force")
    assert d.api("GET", "/v1/spaces/lab").status == 404 and "lab" not in d.cli("list", "--all", check=False).stdout
    d.is_clean()
    d.cli("space", "create", "lab") # nothing of the old one is in the new
    assert d.api("GET", "/v1/spaces/lab/volumes").json["items"] == []
    d.cli("space", "delete", "lab")


def test_space_deletion_cut_off(d):
    d.cli("space", "create", "lab")
    for n in ("one", "two"):
        d.cli("launch", "debian", n, "--space", "lab")
    d.api("DELETE", "/v1/spaces/lab?force=true")
    d.kill()
    d.start()
    wait_for("it is gone", lambda: d.api("GET", "/v1/spaces/lab").status == 404)
    d.is_clean()
    wait_for("all has ended", lambda: all(o["state"] in ("done", "failed", "cancelled") for o in d.api("GET", "/v1/operations").json["items"]))


# ---- consoles ----

def test_console_and_history(d):
    d.cli("launch", "debian", "app", "--init", "app", "--", "sh", "-c", "echo said before; while read x; do echo heard $x; done")
    wait_for("it has spoken", lambda: "said before" in d.cli("logs", "app").stdout)
    master, slave = pty.openpty()
    first = portena(d, "console", "app", stdin=slave, stdout=slave, stderr=slave)
    second_master, second_slave = pty.openpty()
    second = portena(d, "console", "app", "--no-history", stdin=second_slave, stdout=second_slave, stderr=second_slave)
    text = {master: b"", second_master: b""}

    def read_until(fd, what):
        while what not in text[fd]:
            text[fd] += os.read(fd, 4096)
    read_until(master, b"said before")

    def attached(fd):  # its terminal is raw from then on; what is typed earlier may be thrown away
        read_until(fd, b"Ctrl-]")
        wait_for("the terminal is raw", lambda: not termios.tcgetattr(fd)[3] & termios.ICANON)
    attached(master)
    attached(second_master)
    os.write(master, b"word\n")
    read_until(master, b"heard word")
    read_until(second_master, b"heard word") # all who are attached see it
    assert b"said before" not in text[second_master]
    os.write(master, b"\x1d") # Ctrl-] leaves
    os.write(second_master, b"\x1d")
    for p in (first, second):
        assert p.wait(300) == 0
    assert "heard word" in d.cli("logs", "app").stdout
    # the daemon's death does not drop the console
    third = portena(d, "console", "app", "--no-history", stdin=slave, stdout=slave, stderr=slave)
    text[master] = b""
    attached(master)
    os.write(master, b"once\n")
    read_until(master, b"heard once")
    d.kill()
    os.write(master, b"more\n")
    read_until(master, b"heard more")
    d.start()
    os.write(master, b"\x1d")
    assert third.wait(300) == 0
    for fd in (slave, master, second_slave, second_master):
        os.close(fd)
    d.cli("stop", "app")
    assert "heard more" in d.cli("logs", "app").stdout


# ---- images ----

@pytest.fixture
def bare():
    """A daemon without images, for those that make some."""
    one = Daemon("bare", images=False).start()
    yield one
    wait_for(lambda: f"left: {os.listdir(one.state / 'images')}", lambda: not os.listdir(one.state / "images"))
    one.destroy()


def test_build_cancelled(bare):
    asked = bare.api("POST", "/v1/images", {"source": "recipe:debian"})
    assert asked.status == 202, asked.body
    op = asked.json["operation"]["id"]
    wait_for("it is under way", lambda: bare.api("GET", f"/v1/operations/{op}").json["state"] == "running")
    wait_for("it works", lambda: bare.processes())
    assert bare.api("DELETE", f"/v1/operations/{op}?wait=300").status in (200, 202)
    ended = wait_for("it has ended", lambda: (o := bare.api("GET", f"/v1/operations/{op}").json)["state"] != "running" and o)
    assert ended["state"] == "cancelled"
    assert bare.api("GET", "/v1/images").json["items"] == []
    bare.is_clean()


def test_build_cut_off_by_a_kill(bare):
    asked = bare.api("POST", "/v1/images", {"source": "recipe:debian"})
    op = asked.json["operation"]["id"]
    wait_for("it works", lambda: bare.processes())
    bare.kill()
    bare.start()
    ended = bare.api("GET", f"/v1/operations/{op}").json
    assert ended["state"] == "failed" and "again" in str(ended["error"])
    bare.is_clean()


def test_registry_dies_half_way(bare, tmp_path):
    oci.layout(tmp_path / "l", [oci.tar([oci.directory("bin"), oci.entry("bin/data", os.urandom(3_000_000), mode=0o755)])], {"Cmd": ["/bin/data"]})
    dying = oci.Registry(tmp_path / "l", die_after=100_000)
    try:
        failed = bare.cli("image", "import", f"docker://{dying.host}/some/thing:latest", "thing", check=False)
    finally:
        dying.close()
    assert failed.returncode == 1 and failed.stderr.count("\n") <= 6, failed.stderr
    assert bare.api("GET", "/v1/images").json["items"] == []
    bare.is_clean()
    well = oci.Registry(tmp_path / "l")
    try:
        bare.cli("image", "import", f"docker://{well.host}/some/thing:latest", "thing")
    finally:
        well.close()
    assert "thing" in bare.cli("image", "list").stdout
    bare.cli("image", "delete", "thing")
    assert bare.cli("image", "delete", "thing", check=False).returncode == 3
