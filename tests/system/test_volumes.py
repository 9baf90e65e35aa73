# SPDX-License-Identifier: Apache-2.0
"""Data volumes: made, attached to what runs, grown, detached, deleted; whoever is killed in between, nothing is left and nothing is lost."""
import json
import os
import pathlib

from daemon import wait_for
from disks import boot_sector

MIB = 1 << 20


def refused(d, *words):
    done = d.cli(*words, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def sh(d, name, script, check=True):
    return d.cli("exec", name, "--", "sh", "-c", script, check=check)


def disks(d, name):
    return [(x["volume"], x.get("path"), x["change"]) for x in d.instance(name)["disks"]]


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
        wait_for("the operation ends", lambda: d.api("GET", f"/v1/operations/{op}?wait=5").json["state"] == "done", 600)
        there = sh(d, "a", "grep -c ' /mnt/data ext4 ' /proc/mounts", check=False).stdout.strip()
        assert (there, len(disks(d, "a"))) == (("1", 1) if method == "POST" else ("0", 0))
    d.cli("volume", "attach", "a", "data")
    assert json.loads(d.cli("volume", "show", "data", "--json").stdout)["attached"] == "a"


def test_machine(d):
    """One guest: what comes to it while it runs, grows, is in its way, outlives its sleep and its start; and then is a container's."""
    for name in ("data", "more"):
        d.cli("volume", "create", name, "--size", "64M")
    d.cli("launch", "debian", "m", "--kind", "machine", "--memory", "256M", "--disk", "1G", "--init", "app", "--", "sleep", "100000")
    wait_for("its agent answers", lambda: sh(d, "m", "true", check=False).returncode == 0, 900, 0.5)
    d.cli("volume", "attach", "m", "data")
    d.cli("volume", "attach", "m", "more", "--at", "/srv/my more", "--read-only")
    assert disks(d, "m") == [("data", "/mnt/data", "none"), ("more", "/srv/my more", "none")]
    assert sh(d, "m", "echo kept > /mnt/data/file && sync; touch '/srv/my more/x'; grep -c ' ext4 r[wo],' /proc/mounts", check=False).stdout == "2\n"

    # Both kinds of volume grow under it. Who is in the way is named.
    d.cli("volume", "grow", "data", "128M")
    d.cli("set", "m", "disk=2G")
    size = "df -B1 --output=size / /mnt/data | tail -n +2"
    wait_for(lambda: sh(d, "m", size).stdout, lambda: [int(x) >> 20 for x in sh(d, "m", size).stdout.split()] > [1700, 100], 600, 0.5)
    busy = "cd /mnt/data && exec sleep 3333"
    sh(d, "m", f"nohup sh -c '{busy}' > /dev/null 2>&1 &")
    wait_for("it is in the way", lambda: sh(d, "m", "grep -l sleep /proc/[0-9]*/comm | while read p; do readlink $(dirname $p)/cwd; done").stdout.count("/mnt/data"),
             600, 0.2)
    assert "by sleep (" in refused(d, "volume", "detach", "m", "data")
    d.cli("volume", "detach", "m", "data", "--force")
    assert disks(d, "m") == [("more", "/srv/my more", "none")]
    assert "/mnt/data" not in sh(d, "m", "cat /proc/mounts").stdout
    d.cli("volume", "attach", "m", "data", "--at", "/srv/data")

    # Asleep it remembers them, and has them at their places when it goes on; portenad may have been killed meanwhile.
    d.cli("hibernate", "m")
    assert "hibernated" in refused(d, "volume", "detach", "m", "more")
    d.kill()
    d.start()
    d.cli("resume", "m")
    assert sh(d, "m", "cat /srv/data/file").stdout == "kept\n"
    d.cli("volume", "detach", "m", "more")
    d.cli("restart", "m", "--force")
    wait_for("its agent answers", lambda: sh(d, "m", "true", check=False).returncode == 0, 900, 0.5)
    assert sh(d, "m", "cat /srv/data/file").stdout == "kept\n"

    # Stopped hard, it is a container's after a check. Another machine's kernel is not believed either.
    d.cli("stop", "m", "--force")
    d.cli("set", "m", "kind=container")
    d.cli("start", "m")
    assert sh(d, "m", "cat /srv/data/file").stdout == "kept\n"
    d.cli("delete", "m", "--force")


def test_pc(d, tmp_path):
    """An unmodified system gets disks; what it makes of them is nothing that the node's kernel mounts unseen."""
    raw = tmp_path / "d.raw"
    raw.write_bytes(boot_sector(b"words of the disk\r\n"))
    os.truncate(raw, 16 * MIB)
    d.cli("image", "import", raw, "box", "--format", "raw")
    for name in ("data", "more"):
        d.cli("volume", "create", name, "--size", "64M")
    d.cli("launch", "box", "p", "--memory", "128M", "--hardware", "virtio", "--firmware", "bios", "--no-start")
    assert "leave it out" in refused(d, "volume", "attach", "p", "data", "--at", "/mnt/data")
    d.cli("volume", "attach", "p", "data")
    d.cli("start", "p")
    wait_for(lambda: d.cli("logs", "p").stdout[-500:], lambda: "words of the disk" in d.cli("logs", "p").stdout, 600, 0.2)
    d.cli("volume", "attach", "p", "more")
    assert disks(d, "p") == [("data", None, "none"), ("more", None, "none")]
    d.cli("stop", "p", "--force")
    d.cli("volume", "detach", "p", "data")
    d.cli("volume", "detach", "p", "more")

    # As its system would have: something else than a file system of ours.
    files = pathlib.Path(f"/proc/{d.process.pid}/root{d.run}/pool/volumes")
    files = files if files.is_dir() else d.state / "pool" / "volumes"
    path = files / json.loads(d.cli("volume", "show", "data", "--json").stdout)["id"]
    assert path.stat().st_uid != 0
    with open(path, "r+b") as f:
        f.write(b"MBR" * 100000)
    d.cli("launch", "debian", "c", "--init", "app", "--", "sleep", "100000")
    d.cli("volume", "attach", "c", "more")
    assert refused(d, "volume", "attach", "c", "data") and [x[0] for x in disks(d, "c")] == ["more"]
    d.cli("volume", "attach", "p", "data")
    d.cli("volume", "grow", "data", "128M")
    d.cli("start", "p")
    d.cli("delete", "p", "--force")
    d.cli("image", "delete", "box")
