# SPDX-License-Identifier: Apache-2.0
"""Data volumes: made, attached to what runs, grown, detached, deleted; whoever is killed in between, nothing is left and nothing is lost."""
import json
import os
import pathlib

import pytest
from daemon import Daemon, wait_for


@pytest.fixture(scope="module")
def daemon():
    one = Daemon("volumes").start()
    yield one
    one.destroy()


@pytest.fixture
def d(daemon):
    yield daemon
    if not daemon.process or daemon.process.poll() is not None:
        daemon.start()
    for i in daemon.api("GET", "/v1/instances").json["items"]:
        daemon.cli("delete", i["name"], "--force")
    for v in daemon.api("GET", "/v1/spaces/home/volumes").json["items"]:
        daemon.cli("volume", "delete", v["id"], "--yes")
    daemon.is_clean()


def refused(d, *words):
    done = d.cli(*words, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def sh(d, name, script, check=True):
    return d.cli("exec", name, "--", "sh", "-c", script, check=check)


def disks(d, name):
    return [(x["volume"], x["path"], x["change"]) for x in d.instance(name)["disks"]]


def test_container(d):
    d.cli("volume", "create", "data", "--size", "64M")
    d.cli("launch", "debian", "a", "--wait")
    d.cli("launch", "debian", "b", "--init", "app", "--", "sleep", "100000")
    d.cli("volume", "attach", "a", "data")
    assert disks(d, "a") == [("data", "/mnt/data", "none")]
    said = sh(d, "a", "echo kept > /mnt/data/file; sync; stat -c '%u %g' /mnt/data/file; stat -f -c %T /mnt/data").stdout
    assert said == "0 0\next2/ext3\n"
    # Files go in and come out through the API too, and nobody else may have it, or take it away.
    d.cli("cp", "/etc/hostname", "a:/mnt/data/name")
    assert sh(d, "a", "cat /mnt/data/name").stdout == pathlib.Path("/etc/hostname").read_text()
    assert "a has it already" in refused(d, "volume", "attach", "b", "data")
    assert "a has it" in refused(d, "volume", "delete", "data", "--yes")
    assert "goes with it" in refused(d, "volume", "delete", "a", "--yes")

    # In use: it stays, and who uses it is named. By force it goes.
    sh(d, "a", "cd /mnt/data && nohup sleep 54321 > /dev/null 2>&1 &")
    wait_for("the sleeper is there", lambda: sh(d, "a", "pgrep -x sleep", check=False).returncode == 0)
    assert "by sleep (" in refused(d, "volume", "detach", "a", "data")
    assert disks(d, "a") == [("data", "/mnt/data", "none")]
    sh(d, "a", "pkill -x sleep")
    wait_for("it is let go", lambda: d.cli("volume", "detach", "a", "data", check=False).returncode == 0)
    assert disks(d, "a") == [] and sh(d, "a", "ls /mnt/data").stdout == ""
    assert d.cli("volume", "detach", "a", "data", check=False).returncode == 3

    # Hostile places: a link leads nowhere but into the guest's own tree, and what is no directory is no place.
    sh(d, "b", "ln -s ../../../../../../etc /srv/link; echo x > /srv/plain; mkdir /srv/odd")
    assert d.cli("volume", "attach", "b", "data", "--at", "/srv/plain", check=False).returncode != 0
    assert "/run is made anew" in refused(d, "volume", "attach", "b", "data", "--at", "/run/x")
    assert disks(d, "b") == []
    d.cli("volume", "attach", "b", "data", "--at", "/srv/link/here", "--read-only")
    assert sh(d, "b", "cat /etc/here/file").stdout == "kept\n"
    assert not os.path.exists("/etc/here")
    assert "Read-only" in sh(d, "b", "touch /etc/here/new", check=False).stderr
    d.cli("volume", "detach", "b", "data")

    # At each start, after a killed daemon, and grown.
    d.cli("volume", "attach", "b", "data", "--at", "/srv/odd")
    d.kill()
    d.start()
    assert sh(d, "b", "cat /srv/odd/file").stdout == "kept\n"
    d.cli("volume", "grow", "data", "128M")
    assert "only grows" in refused(d, "volume", "grow", "data", "64M")
    d.cli("restart", "b", "--force")
    assert int(sh(d, "b", "stat -f -c '%b %S' /srv/odd | { read b s; echo $((b * s)); }").stdout) > 100 << 20
    d.cli("stop", "b", "--force")
    d.is_clean_but("b")
    d.cli("volume", "detach", "b", "data")
    d.cli("volume", "attach", "a", "data")
    assert "kept: data" in d.cli("delete", "a", "--force").stdout
    [v] = [v for v in d.api("GET", "/v1/spaces/home/volumes").json["items"] if v["name"] == "data"]
    assert v["attached"] is None and v["instance"] is None
    d.cli("delete", "b", "--force")
    d.cli("volume", "delete", "data", "--yes")
    d.is_clean()


def test_killed_in_between(d):
    """What was written down is finished, or undone, by whoever comes next."""
    d.cli("volume", "create", "data", "--size", "64M")
    d.cli("launch", "debian", "a", "--init", "app", "--", "sleep", "100000")
    for method, path, body in (("POST", "/disks", {"volume": "data"}), ("DELETE", "/disks/data", None)) * 3:
        answer = d.api(method, f"/v1/spaces/home/instances/a{path}", body)
        assert answer.status == 202
        d.kill()
        d.start()
        op = answer.json["operation"]["id"]
        wait_for("the operation ends", lambda: d.api("GET", f"/v1/operations/{op}?wait=5").json["state"] == "done", 60)
        there = sh(d, "a", "grep -c ' /mnt/data ext4 ' /proc/mounts", check=False).stdout.strip()
        assert (there, len(disks(d, "a"))) == (("1", 1) if method == "POST" else ("0", 0))
    d.cli("volume", "attach", "a", "data")
    assert json.loads(d.cli("volume", "show", "data", "--json").stdout)["attached"] == "a"
