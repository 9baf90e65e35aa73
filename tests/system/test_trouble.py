# SPDX-License-Identifier: Apache-2.0
"""The bad days: a full disk, a database that cannot be written, a second daemon on the same state, a gateway killed."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from daemon import BUILD, Daemon, wait_for


def test_second_daemon_is_refused(own):
    second = subprocess.run([str(BUILD / "src/daemon/portenad"), "--state", str(own.state), "--run", str(own.run), "--uplink", "none", "--no-tune",
                             "--cgroup", own.cgroup, "--libexec", str(BUILD / "src/helpers")], capture_output=True, text=True, env=own.env, timeout=600)
    assert second.returncode == 1 and "portenad:" in second.stderr
    assert own.api("GET", "/healthz").status == 200


def test_killed_between_the_last_instance_and_its_network(own):
    """The network of a space is up and no instance runs: dnsmasq alone holds the daemon's mounts, and the next daemon finds them by it."""
    own.cli("launch", "debian", "one", "--wait")
    own.cli("stop", "one")
    own.kill()
    assert [x for x in own.leftovers() if "dnsmasq" in x], own.leftovers()
    own.start()
    own.cli("start", "one", "--wait")
    assert own.cli("exec", "one", "--", "echo", "back").stdout == "back\n"


def test_groups_go_with_the_daemon(own):
    own.cli("launch", "debian", "one", "--wait")
    own.cli("delete", "one", "--force")
    wait_for("the network is gone", lambda: not [x for x in own.leftovers() if "dnsmasq" in x])
    own.stop()
    assert not [here for here, inside, _ in os.walk("/sys/fs/cgroup") if own.cgroup in inside]


def test_wrong_settings_are_named():
    for argv, word in ((["--node", "Not A Name"], "node"), (["--state", "relative"], "state"), (["--no-such"], "no-such"),
                       (["--config", "/nonexistent"], "/nonexistent")):
        done = subprocess.run([str(BUILD / "src/daemon/portenad"), *argv], capture_output=True, text=True, timeout=600)
        assert done.returncode == 2 and word in done.stderr, done.stderr


def test_closed_directory_is_named():
    """Guests could not walk down to their trees: said at the start, not by each launch."""
    closed = pathlib.Path(tempfile.mkdtemp(prefix="pt-closed-", dir="/var/tmp"))
    d = Daemon("closed", base=(closed / "d") if (closed / "d").mkdir() is None else None)
    try:
        with pytest.raises(AssertionError, match="chmod o\\+x"):
            d.start()
    finally:
        shutil.rmtree(closed)


@pytest.fixture
def small():
    """A daemon whose state is on a file system of 3 GiB of its own; RUN is not (it is on a tmpfs elsewhere)."""
    d = Daemon("small", images=False)
    image = pathlib.Path(tempfile.mkstemp(prefix="pt-disk-", dir="/var/tmp")[1])
    os.truncate(image, 3 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-m0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(d.state)], check=True)
    try:
        d.take_images()
        yield d.start()
        d.destroy()
    finally:
        wait_for("the disk is let go", lambda: subprocess.run(["umount", str(d.state)]).returncode == 0)
        image.unlink()
        shutil.rmtree(d.base, ignore_errors=True)


def fill(path):
    size = os.statvfs(path.parent)
    free = size.f_bavail * size.f_bsize
    with open(path, "wb") as f:
        for step in (1 << 24, 1 << 20, 1 << 12):
            while True:
                try:
                    os.posix_fallocate(f.fileno(), f.seek(0, os.SEEK_END), max(min(free, step), 4096))
                except OSError:
                    break
                free -= step


def test_full_disk(small):
    """Requests fail with a reason, what runs goes on, and room makes it well again."""
    d, ballast = small, small.state / "ballast"
    d.cli("launch", "debian", "one", "--wait")
    fill(ballast)
    refused = d.api("POST", "/v1/spaces/home/instances?wait=300", {"name": "two", "image": "debian"})
    assert d.cli("exec", "one", "--", "echo", "alive").stdout == "alive\n"
    if refused.status >= 400:
        assert refused.status == 507 and refused.json["detail"], refused.body
    else:
        two = d.instance("two")
        assert two["state"] in ("running", "failed") and (two["state"] == "running" or two["error"]), two
    d.cli("stop", "one", check=False)
    assert d.api("GET", "/v1/spaces/home/instances/one").status == 200
    # nor does a daemon that is killed now lose anything
    d.kill()
    ballast.unlink()
    d.start()
    wait_for("there is room", lambda: d.api("POST", "/v1/spaces/home/instances?wait=300", {"name": "three", "image": "debian"}).status < 300)
    wait_for("it runs", lambda: d.instance("three")["state"] == "running")
    d.cli("start", "one", "--wait", check=False)
    assert d.instance("one")["state"] == "running"
