# SPDX-License-Identifier: Apache-2.0
"""Templates: the second machine of an image is a copy of a booted one, and is somebody else all the same."""
import hashlib
import json
import os
import platform
import re
import time

import pytest
from daemon import Daemon, wait_for

# Read before anything else runs in it: what it was woken as.
LOOK = "hostname; cat /etc/hostname /etc/machine-id; cat /sys/class/net/eth0/address; ip -o -4 address show eth0; head -c 16 /dev/urandom | od -An -tx1; date +%s"


@pytest.fixture
def d():
    one = Daemon("template", templates="space").start()
    yield one
    one.destroy()


def made(d):
    log = d.log.read_text()
    assert "not made" not in log, log[-2000:]
    return log.count(": made for image")


def another_image(d, name):
    """As if it had been built again, of newer packages: the same system under another digest, and so far another name. Its digest."""
    for manifest in (d.state / "images").glob("*/manifest.json"):
        image = json.loads(manifest.read_text())
        if image["source"] == f"recipe:{name}" and image["arch"] == platform.machine():
            there = d.state / "images" / hashlib.sha256(image["digest"].encode()).hexdigest()
            there.mkdir()
            os.link(manifest.with_name("rootfs.erofs"), there / "rootfs.erofs")
            image.update(digest=f"sha256:{there.name}", source="recipe:another")
            (there / "manifest.json").write_text(json.dumps(image))
            return image["digest"]
    raise AssertionError(f"no image {name}")


def look(d, name):
    host, file, machine, mac, address, *rest = d.cli("exec", name, "--", "/bin/sh", "-c", LOOK).stdout.splitlines()
    i = d.instance(name)
    assert (host, file) == (name, name) and mac == i["mac"] and f" {i['address']}/" in address
    now = int(d.cli("exec", name, "--", "date", "+%s").stdout)
    assert abs(time.time() - now) < 60, "its clock is another's"
    return machine, rest[0]


def test_copies_are_others(d):
    d.cli("launch", "debian", "first", "--kind", "machine", "--memory", "256M", "--disk", "2G", "--wait")
    d.cli("delete", "first", "--force")
    wait_for("a template is made", lambda: made(d) == 1, 1500)
    templates = list((d.state / "templates").iterdir())
    assert len(templates) == 1 and {p.name for p in templates[0].iterdir()} == {"memory", "state", "made-of", "like"}
    assert templates[0].stat().st_mode & 0o777 == 0o700
    d.cli("space", "create", "other")
    for name in ("one", "two"):
        d.cli("launch", "debian", name, "--kind", "machine", "--memory", "256M", "--disk", "2G", "--wait")
    one, two = look(d, "one"), look(d, "two")
    assert one[0] != two[0] and one[1] != two[1], "two copies of one"
    assert made(d) == 1
    assert re.fullmatch("[0-9a-f]{32}", one[0])

    # Its disk is its own, and it is the same machine after a stop, by a boot.
    d.cli("exec", "one", "--", "/bin/sh", "-c", "echo mine > /root/file; sync")
    assert d.cli("exec", "two", "--", "cat", "/root/file", check=False).returncode != 0
    d.kill()
    rebuilt = another_image(d, "debian")
    d.start()
    assert look(d, "one")[0] == one[0]

    # The image of that name is another one now: its template is made ahead, and takes the other one's place.
    for image, names in ((d.instance("one")["image"], []), (rebuilt, ["debian"])):
        assert d.api("PATCH", f"/v1/images/{image}", {"names": names}).status == 200
    d.kill()
    d.start()
    wait_for("it is made anew", lambda: made(d) == 2, 1500)

    def only_the_new():
        now = list((d.state / "templates").iterdir())
        return now if len(now) == 1 and now != templates else None
    templates = wait_for("the old one goes", only_the_new)
    assert json.loads((templates[0] / "like").read_text())["image"] == rebuilt

    # A copy grows as any machine does, and sleeps with what it grew by.
    d.cli("set", "two", "cpu=3", "memory=384M")

    def grown():
        i = d.instance("two")
        return (i["guest_cpus"], i["guest_memory"]) == (3, 384 << 20)
    wait_for(lambda: f"it has grown: {d.instance('two')}", grown, 600, 0.2)
    d.cli("hibernate", "two")
    d.cli("resume", "two")
    wait_for(lambda: f"it is as large as before: {d.instance('two')}", grown, 600, 0.2)
    cpus, total = d.cli("exec", "two", "--", "/bin/sh", "-c", "nproc; grep MemTotal /proc/meminfo").stdout.split()[:3:2]
    assert cpus == "3" and int(total) > 300 << 10

    # A template that does not work is no obstacle.
    (templates[0] / "state").write_bytes(b"nothing of the kind")
    d.cli("launch", "debian", "three", "--kind", "machine", "--memory", "256M", "--disk", "2G", "--wait")
    assert "it boots instead" in d.log.read_text() and not templates[0].exists()
    look(d, "three")
    for name in ("one", "two", "three"):
        d.cli("delete", name, "--force")
    d.is_clean(1500)  # another template may be in the making, and that takes a boot
