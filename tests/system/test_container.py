# SPDX-License-Identifier: Apache-2.0
"""A container's life through the CLI and the API, with the real engine."""
import http.client
import json
import os
import pathlib
import pty
import signal
import subprocess

import pytest
from daemon import BUILD, wait_for


def test_launch_list_delete(shared, name):
    out = shared.cli("launch", "debian", name, "--wait").stdout
    assert name in out
    row = next(l for l in shared.cli("list").stdout.splitlines() if l.startswith(name + " "))
    assert "running" in row
    i = shared.instance(name)
    assert i["state"] == "running" and i["ready"] and i["address"]
    shared.cli("delete", name, "--force")
    assert shared.api("GET", f"/v1/spaces/home/instances/{name}").status == 404
    wait_for("nothing of it is left", lambda: not [x for x in shared.leftovers() if i["id"] in x])


def test_launch_refuses_a_namesake(shared, name):
    shared.cli("launch", "debian", name)
    again = shared.cli("launch", "debian", name, check=False)
    assert again.returncode == 1
    assert "already" in again.stderr and "portena delete" in again.stderr


def test_exec(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    assert shared.cli("exec", name, "--", "echo", "hello").stdout == "hello\n"
    assert shared.cli("exec", name, "--", "sh", "-c", "exit 7", check=False).returncode == 7
    both = shared.cli("exec", name, "--", "sh", "-c", "echo out; echo err >&2")
    assert both.stdout == "out\n" and both.stderr == "err\n"
    data = os.urandom(300_000)
    assert shared.cli("exec", name, "--", "cat", input=data, binary=True).stdout == data
    assert shared.cli("exec", name, "--", "sh", "-c", "kill -TERM $$", check=False).returncode == 143
    missing = shared.cli("exec", name, "--", "no-such-command", check=False)
    assert missing.returncode in (3, 127) and "no-such-command" in missing.stderr
    assert shared.cli("exec", name, "--env", "A=b", "--cwd", "/tmp", "--", "sh", "-c", "echo $A $PWD").stdout == "b /tmp\n"


def test_exec_on_a_terminal(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    master, slave = pty.openpty()
    p = subprocess.Popen([str(BUILD / "src/cli/portena"), "exec", "-t", name, "--", "sh", "-c", "stty size; tty; read x; echo got $x"], stdin=slave,
                         stdout=slave, stderr=slave, env=shared.env, start_new_session=True)
    os.close(slave)
    text = b""

    def read_until(what):
        nonlocal text
        while what not in text:
            chunk = os.read(master, 4096)
            assert chunk, text
            text += chunk
    read_until(b"/dev/pts/")
    os.write(master, b"word\n")
    read_until(b"got word")
    assert p.wait(300) == 0


def test_limits_change_while_it_runs(shared, name):
    shared.cli("launch", "debian", name, "--memory", "256M", "--cpu", "1", "--wait")
    shared.cli("set", name, "memory=512M", "cpu=0.5", "pids=300")
    i = shared.instance(name)
    assert i["memory"] == 512 << 20 and i["cpu"] == 0.5 and i["pids"] == 300

    def limit():
        for p in (f"/sys/fs/cgroup/memory/{shared.cgroup}/{i['id']}/memory.limit_in_bytes", f"/sys/fs/cgroup/{shared.cgroup}/{i['id']}/memory.max"):
            if os.path.exists(p):
                return int(pathlib.Path(p).read_text())
    wait_for("the limit holds", lambda: limit() == 512 << 20)


def test_memory_limit_holds(shared, name):
    shared.cli("launch", "debian", name, "--memory", "128M", "--wait")
    out = shared.cli("exec", name, "--", "sh", "-c", "head -c 400M /dev/zero | tail -c 300M | wc -c", check=False)
    assert out.stdout.strip() != str(300 << 20)
    assert shared.instance(name)["state"] == "running"


def test_disk_limit_holds_and_grows(shared, name):
    shared.cli("launch", "debian", name, "--disk", "1G", "--wait")
    full = shared.cli("exec", name, "--", "sh", "-c", "head -c 1200M /dev/zero >/big; ls -l /big | cut -d' ' -f5", check=False)
    assert "No space left" in full.stderr
    assert shared.instance(name)["state"] == "running"
    shared.cli("exec", name, "--", "rm", "/big")
    answer = shared.api("PATCH", f"/v1/spaces/home/instances/{name}", {"disk": 2 << 30})
    assert answer.status in (200, 202), answer.body
    shared.cli("stop", name)
    shared.cli("start", name, "--wait")
    shared.cli("exec", name, "--", "sh", "-c", "head -c 1200M /dev/zero >/big")
    shrink = shared.cli("set", name, "disk=1G", check=False)
    assert shrink.returncode == 1 and shrink.stderr


def test_pause_and_resume(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    shared.cli("pause", name)
    assert shared.instance(name)["state"] == "paused"
    refused = shared.cli("exec", name, "--", "true", check=False)
    assert refused.returncode == 1 and "portena resume" in refused.stderr
    shared.cli("resume", name)
    assert shared.cli("exec", name, "--", "echo", "on").stdout == "on\n"


def test_stop_keeps_files_and_address(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    before = shared.instance(name)
    shared.cli("exec", name, "--", "sh", "-c", "echo kept >/root/file")
    shared.cli("stop", name)
    assert shared.instance(name)["state"] == "stopped"
    shared.cli("start", name, "--wait")
    after = shared.instance(name)
    assert shared.cli("exec", name, "--", "cat", "/root/file").stdout == "kept\n"
    assert [before[k] for k in ("address", "mac", "id")] == [after[k] for k in ("address", "mac", "id")]


def test_copy(shared, name, tmp_path):
    shared.cli("launch", "debian", name, "--wait")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "data").write_bytes(os.urandom(100_000))
    (tree / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("run.sh")
    shared.cli("cp", tree, f"{name}:/root/")
    assert shared.cli("exec", name, "--", "/root/tree/link").stdout == "ran\n"
    shared.cli("cp", f"{name}:/root/tree", tmp_path / "back")
    assert (tmp_path / "back" / "sub" / "data").read_bytes() == (tree / "sub" / "data").read_bytes()
    assert os.readlink(tmp_path / "back" / "link") == "run.sh"
    # A link inside that points out of the guest leads to the guest's own file, not to the host's.
    shared.cli("exec", name, "--", "sh", "-c", "ln -s /etc/hostname /root/out; ln -s ../../../../../../etc/hostname /root/up")
    for link in ("out", "up"):
        shared.cli("cp", f"{name}:/root/{link}", tmp_path / link)
        assert (tmp_path / link).read_text().strip() == name
    # Stopped, the same works.
    shared.cli("stop", name)
    shared.cli("cp", f"{name}:/root/tree/run.sh", tmp_path / "stopped.sh")
    assert (tmp_path / "stopped.sh").read_text() == (tree / "run.sh").read_text()


def test_app_container_and_restart_policy(shared, name):
    shared.cli("launch", "debian", name, "--init", "app", "--restart", "on-failure", "--", "sh", "-c", "echo started; sleep 1; exit 3")
    wait_for("it was restarted", lambda: shared.instance(name)["restarts"] >= 1)
    assert shared.instance(name)["exit_code"] == 3
    assert "started" in shared.cli("logs", name).stdout
    shared.cli("stop", name)
    assert shared.instance(name)["state"] == "stopped"


def test_ends_by_itself(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    shared.cli("exec", name, "--", "systemctl", "poweroff", check=False)
    wait_for("it has ended", lambda: shared.instance(name)["state"] == "stopped")
    shared.cli("start", name, "--wait")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_outlives_the_daemon(own, how):
    own.cli("launch", "debian", "web", "--memory", "300M", "--wait")
    pid = own.instance("web")["pid"]
    session = subprocess.Popen([str(BUILD / "src/cli/portena"), "exec", "web", "--", "sh", "-c", "echo begin; read x; echo $x; exit 5"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=own.env)
    assert session.stdout.readline() == b"begin\n"
    own.stop(how)
    os.kill(pid, 0)
    session.stdin.write(b"still here\n")
    session.stdin.close()
    assert session.stdout.read() == b"still here\n"
    assert session.wait(300) == 5
    own.start()
    wait_for("it is seen running", lambda: own.instance("web")["state"] == "running")
    assert own.instance("web")["pid"] == pid
    assert own.cli("exec", "web", "--", "echo", "again").stdout == "again\n"
    own.cli("set", "web", "memory=200M")
    assert own.instance("web")["memory"] == 200 << 20
    own.cli("stop", "web")
    assert own.instance("web")["state"] == "stopped"
    own.cli("delete", "web")


def test_ends_while_the_daemon_is_away(own):
    own.cli("launch", "debian", "job", "--init", "app", "--", "sh", "-c", "sleep 2; exit 42")
    own.kill()
    own.start()
    wait_for("its end is known", lambda: own.instance("job")["state"] == "stopped")
    assert own.instance("job")["exit_code"] == 42


def test_drain_and_return(own):
    own.cli("launch", "debian", "one", "--wait")
    own.cli("launch", "debian", "two", "--wait")
    own.cli("stop", "two")
    own.drain()
    own.is_clean()
    own.start()
    wait_for("what ran runs again", lambda: own.instance("one")["state"] == "running" and own.instance("one")["ready"])
    assert own.instance("two")["state"] == "stopped"


def test_killed_at_random_points(own):
    """50 launches and deletes with the daemon killed in between at whatever point it is: nothing is lost, nothing is left."""
    import random
    import threading
    rng = random.Random(7)
    wanted = {}
    for round_ in range(10):
        work = []
        for n in range(5):
            name = f"k{round_}-{n}"
            if n % 2 and wanted:
                victim = rng.choice(sorted(wanted))
                work.append(("DELETE", f"/v1/spaces/home/instances/{victim}?force=true", None, victim))
            work.append(("POST", "/v1/spaces/home/instances", {"name": name, "image": "debian"}, name))

        def ask(method, path, body, name):
            try:
                answer = own.api(method, path, body, timeout=300)
            except (OSError, http.client.HTTPException):
                if method == "DELETE": # without an answer it may have been done or not
                    wanted.pop(name, None)
                return
            if answer.status in (200, 202):
                if method == "POST":
                    wanted[name] = True
                else:
                    wanted.pop(name, None)
        threads = [threading.Thread(target=ask, args=w) for w in work]
        for t in threads:
            t.start()
        threading.Event().wait(rng.random() * 0.25)
        own.kill()
        for t in threads:
            t.join()
        own.start()

    def settled():
        items = {i["name"]: i for i in own.api("GET", "/v1/spaces/home/instances").json["items"]}
        return set(wanted) <= set(items) and all(i["state"] == "running" for i in items.values()) and items
    def unsettled():
        items = {i["name"]: i for i in own.api("GET", "/v1/spaces/home/instances").json["items"]}
        return {"lost": sorted(set(wanted) - set(items)),
                "not running": [(n, i["state"], i["step"], i["error"], i["deleting"]) for n, i in items.items() if i["state"] != "running"],
                "log": own.log.read_text()[-4000:]}
    items = wait_for(unsettled, settled, 300, 0.2)
    for name in items:
        own.cli("delete", name, "--force")

    def under_way():
        return [o for o in own.api("GET", "/v1/operations").json["items"] if o["state"] in ("pending", "running")]
    wait_for(lambda: json.dumps(under_way(), indent=1), lambda: not under_way())
    own.is_clean()
