# SPDX-License-Identifier: Apache-2.0
"""What is asked of the agent in a machine's guest: commands, terminals, processes, files; and what the guest is told of itself at its start. A boot
takes a while, so each guest answers for many things."""
import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import termios

import pytest
from daemon import BUILD, wait_for


@pytest.fixture(scope="module")
def machine(shared):
    shared.cli("launch", "debian", "guest", "--kind", "machine", "--env", "GREETING=two words", "--wait", timeout=600)
    yield "guest"
    shared.cli("delete", "guest", "--force")


def run(shared, *words, check=True, **more):
    return shared.cli("exec", "guest", *words, check=check, **more)


def test_who_it_is(shared, machine):
    i = shared.instance("guest")
    said = run(shared, "--", "sh", "-c", "hostname; cat /etc/hostname /etc/machine-id; ip -4 -br a show eth0; ip -6 -br a show eth0; "
               "cat /sys/class/net/eth0/address; cat /etc/resolv.conf /etc/hosts; stat -f -c %T /; systemctl is-system-running --wait; date +%s").stdout
    assert said.splitlines()[:2] == ["guest", "guest"] and re.fullmatch("[0-9a-f]{32}", said.splitlines()[2])
    for word in (i["address"], i["address6"], i["mac"], "search home.internal", f"{i['address']} guest.home.internal guest", "overlayfs", "running"):
        assert word in said, word
    host = int(subprocess.run(["date", "+%s"], capture_output=True, text=True).stdout)
    assert abs(int(said.split()[-1]) - host) < 60
    # Nothing of how it was started stays on the volume, nor where the guest could read it.
    assert run(shared, "--", "ls", "/config", check=False).returncode == 2
    assert run(shared, "--", "ls", "/etc/systemd/system/serial-getty@.service", check=False).returncode == 2


def test_commands(shared, machine):
    done = run(shared, "--user", "nobody", "--cwd", "/tmp", "--env", "A=b=c", "--", "sh", "-c", "id -un; pwd; echo $GREETING $A; echo err >&2; exit 7",
               check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "nobody\n/tmp\ntwo words b=c\n", "err\n")
    big = os.urandom(2_000_000)
    assert run(shared, "--", "cat", input=big, binary=True).stdout == big
    assert run(shared, "--", "sh", "-c", "kill -USR1 $$", check=False).returncode in (128 + signal.SIGUSR1, -signal.SIGUSR1)
    for words, status, why in ((["nonesuch"], 127, "nonesuch: No such file"), (["/etc/passwd"], 126, "Permission denied")):
        done = run(shared, "--", *words, check=False)
        assert done.returncode == status and why in done.stderr
    assert 'no user "nobody9"' in run(shared, "--user", "nobody9", "--", "true", check=False).stderr
    # As many at once as there are ways in, and then some: they wait for each other.
    many = [subprocess.Popen([BUILD / "src/cli/portena", "exec", "guest", "--", "sh", "-c", f"sleep 0.2; echo {n}"], env=shared.env, stdout=subprocess.PIPE)
            for n in range(12)]
    assert sorted(int(p.communicate()[0]) for p in many) == list(range(12))


def test_terminal(shared, machine):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    shell = subprocess.Popen([BUILD / "src/cli/portena", "shell", "guest"], stdin=theirs, stdout=theirs, stderr=theirs, env=shared.env,
                             start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    said = b""

    def until(word):
        nonlocal said
        while word not in said:
            assert select.select([ours], [], [], 300)[0], f"{word} does not come after {said}"
            said += os.read(ours, 4096)
        said = said.partition(word)[2]

    until(b"# ")
    os.write(ours, b"tty; while [ \"$(stty size)\" != '33 111' ]; do sleep 0.1; done; stty size\n")  # it is told while the shell begins already
    until(b"/dev/pts/")
    until(b"\r\n33 111")
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.kill(shell.pid, signal.SIGWINCH)
    os.write(ours, b"while [ \"$(stty size)\" != '40 120' ]; do sleep 0.1; done; echo re''sized; cat\n")
    until(b"resized")
    os.write(ours, b"word\n")
    until(b"word\r\nword")
    os.write(ours, b"\x03")
    until(b"# ")
    os.write(ours, b"exit 9\n")
    assert shell.wait(300) == 9
    os.close(ours)
    # Whoever hangs up takes the command along.
    p = subprocess.Popen([BUILD / "src/cli/portena", "exec", "guest", "--", "sh", "-c", "echo up; exec sleep 54321"], env=shared.env, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    p.kill()
    p.wait()
    wait_for("the command ends too", lambda: "54321" not in shared.cli("ps", "guest", "--json").stdout)


def test_processes(shared, machine):
    rows = {p["pid"]: p for p in json.loads(shared.cli("ps", "guest", "--json").stdout)["items"]}
    assert rows[1]["command"] == "/sbin/init" and rows[1]["user"] == "root" and rows[1]["memory"] > 1 << 20
    assert any("systemd-journald" in p["command"] for p in rows.values())
    assert not any(p["command"].startswith("[kthreadd") for p in rows.values())


def test_files(shared, machine, name, tmp_path):
    def api(method, query, body=None):
        return shared.api(method, f"/v1/spaces/home/instances/guest/files?{query}", body)

    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "big").write_bytes(os.urandom(3_000_000))
    (tree / "deep/er/empty").touch()
    (tree / "link").symlink_to("deep/er\\odd")
    (tree / "a\\b c").write_text("odd name")
    (tree / "big").chmod(0o751)
    shared.cli("cp", tree, "guest:/srv/tree")
    shared.cli("cp", "guest:/srv/tree", tmp_path / "back")
    assert subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "back"]).returncode == 0
    assert (tmp_path / "back/big").stat().st_mode & 0o777 == 0o751
    made = api("PUT", "path=/srv/new/file&parents=true&mode=0640&uid=1000&gid=33", b"hello")
    assert made.status == 204 and run(shared, "--", "stat", "-c", "%a %u %g", "/srv/new/file").stdout == "640 1000 33\n"
    got = api("GET", "path=/srv/new/file")
    assert (got.body, got.headers["X-Portena-Mode"], got.headers["X-Portena-Uid"]) == (b"hello", "0640", "1000")
    # What a container answers, a machine answers.
    twin = name + "-twin"
    shared.cli("launch", "debian", twin, "--wait")
    assert shared.api("PUT", f"/v1/spaces/home/instances/{twin}/files?path=/srv/tree/x&parents=true", b"x").status == 204
    different = []
    for method, query, body in (("GET", "path=/nope", None), ("PUT", "path=/srv/tree", b"x"), ("PUT", "path=/nope/x", b"x"),
                                ("DELETE", "path=/srv/tree", None), ("DELETE", "path=/nope", None), ("GET", "path=relative", None),
                                ("PUT", "path=/srv/tree/d&type=directory", None), ("PUT", "path=/srv/tree/d&type=directory", None),
                                ("PUT", "path=/srv/l&type=symlink", b"/etc"), ("PUT", "path=/srv/l&type=symlink", None), ("GET", "path=/srv/l", None),
                                ("GET", "path=/etc/shadow/x", None), ("DELETE", "path=/srv/l", None), ("DELETE", "path=/&recursive=true", None),
                                ("DELETE", "path=/srv/..&recursive=true", None)):
        theirs, ours = shared.api(method, f"/v1/spaces/home/instances/{twin}/files?{query}", body), api(method, query, body)
        different += [(method, query, theirs.status, theirs.body, ours.status, ours.body)] if theirs.status != ours.status else []
    assert not different
    assert api("GET", "path=/dev/zero").status == 400
    assert api("GET", "path=/bin&follow=false").body == b"usr/bin"
    assert api("DELETE", "path=/srv/tree&recursive=true").status == 204
    # What breaks off has changed nothing.
    run(shared, "--", "sh", "-c", "mkfifo /srv/pipe; echo before > /srv/cut")
    assert api("GET", "path=/srv/pipe").status == 400
    with pytest.raises(OSError):
        shared.api("PUT", "/v1/spaces/home/instances/guest/files?path=/srv/cut", b"x" * 1000, headers={"Content-Length": "100000"}, timeout=2)
    wait_for("the upload is given up", lambda: run(shared, "--", "ls", "-A", "/srv").stdout.split() == ["cut", "new", "pipe"])
    assert api("GET", "path=/srv/cut").body == b"before\n"


def test_outlives_the_daemon_and_changes_kind(shared, machine):
    p = subprocess.Popen([BUILD / "src/cli/portena", "exec", "guest", "--", "sh", "-c", "echo up; read x; echo got $x; exit 5"], env=shared.env,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"up\n"
    shared.kill()
    shared.start()
    assert p.communicate(b"word\n")[0] == b"got word\n" and p.returncode == 5
    run(shared, "--", "sh", "-c", "rm -rf /srv/*; echo kept > /srv/k; chown 1000:33 /srv/k; ln /srv/k /srv/hard; rm /etc/issue")
    shared.cli("stop", "guest", "--deadline", "600s")
    i = shared.instance("guest")
    assert (i["state"], i["exit_code"]) == ("stopped", 0)
    shared.cli("set", "guest", "kind=container")
    shared.cli("start", "guest", "--wait")
    said = run(shared, "--", "sh", "-c", "cat /srv/k; stat -c '%u %g %h' /srv/k; ls /etc/issue 2>&1; hostname; systemctl list-unit-files --state=masked | wc -l")
    assert said.stdout.splitlines()[:2] == ["kept", "1000 33 2"] and "No such file" in said.stdout and "\nguest\n" in said.stdout


def test_app(shared, name):
    shared.cli("launch", "debian", name, "--kind", "machine", "--init", "app", "--user", "nobody", "--cwd", "/tmp", "--env", "A=b c", "--", "sh", "-c",
               "id -un; pwd; echo $A $0; tty; (sleep 0.1 &) ; exit 42", "zero")
    wait_for("it ends", lambda: shared.instance(name)["state"] in ("stopped", "failed"), 600)
    i = shared.instance(name)
    assert i["exit_code"] == 42
    said = shared.cli("logs", name).stdout
    assert re.search(r"nobody\s+/tmp\s+b c zero\s+/dev/\w+", said), said
