# SPDX-License-Identifier: Apache-2.0
"""What a person does at the command line, against the real daemon and the real engines."""
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time

import pytest
from daemon import free_port, wait_for

DEAF = "trap : TERM; while :; do sleep 0.1; done"


def root_tar():
    """A root file system that runs nothing: enough to be an image."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in (("bin/sh", b"#!"), ("etc/hostname", b"x\n"), (f"etc/{time.time_ns()}", b"")):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def image(shared, tmp_path):
    """Makes images out of a small root file system; what is left of them goes afterwards."""
    names = []

    def make(*wanted):
        file = tmp_path / f"{wanted[0]}.tar"
        file.write_bytes(root_tar())
        for n in wanted:
            shared.cli("image", "import", file, n)
        names.extend(wanted)
        return file
    yield make
    for n in names:
        shared.cli("image", "delete", n, check=False)


def test_stop_gives_its_deadline_and_tells_the_status(shared, name):
    """A command out of a system's image is asked with TERM, not with the signal of that system's own init."""
    shared.cli("launch", "debian", name, "--init", "app", "--", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    wait_for("the trap is set", lambda: hears_term(shared, name))
    shared.cli("stop", name)
    assert shared.instance(name)["exit_code"] == 7 and "exit status 7" in shared.cli("show", name).stdout


def test_stop_by_force_after_the_deadline(shared, name):
    shared.cli("launch", "debian", name, "--init", "app", "--", "sh", "-c", DEAF)
    wait_for("the trap is set", lambda: hears_term(shared, name))
    begun = time.monotonic()
    shared.cli("stop", name, "--deadline", "500ms")  # it would have ten seconds otherwise
    took = time.monotonic() - begun
    assert 0.9 < took, took
    assert shared.instance(name)["exit_signal"] == 9


def test_force_ends_a_stop_that_is_under_way(shared, name):
    shared.cli("launch", "debian", name, "--init", "app", "--", "sh", "-c", DEAF)
    for then in (("stop", name, "--force"), ("delete", name, "--force")):
        wait_for("the trap is set", lambda: hears_term(shared, name))
        shared.cli("stop", name, "--deadline", "600s", "--no-wait")
        wait_for("it is being stopped", lambda: shared.instance(name)["state"] == "stopping")
        begun = time.monotonic()
        shared.cli(*then)
        assert time.monotonic() - begun < 300
        if then[0] == "stop":
            assert shared.instance(name)["state"] == "stopped"
            shared.cli("start", name)


def hears_term(d, name):
    with open(f"/proc/{d.instance(name)['pid']}/status") as f:
        return int(next(x for x in f if x.startswith("SigCgt")).split()[1], 16) & 1 << 14


def test_show_tells_the_limits_and_what_helps(shared, name):
    shared.cli("launch", "debian", name, "--init", "app", "--no-start", "--", "true")
    shared.cli("set", name, "io_read=10M", "io_write=5M", "net_in=1M", "net_out=2M", "pids=99", "priority=300", "user=nobody-there")
    said = shared.cli("show", name).stdout
    for words in ("reads at", "10 MiB a second", "5 MiB a second", "receives at", "1 MiB a second", "sends at", "2 MiB a second", "99 at most", "300"):
        assert words in said, said
    failed = shared.cli("start", name, check=False)
    assert failed.returncode == 1 and "did you mean" not in failed.stderr
    said = shared.cli("show", name).stdout
    assert "no user" in said and "\ntry" in said and "?" not in said.split("error")[1].splitlines()[0], said


@pytest.mark.parametrize("field", ["io_read=1", "io_write=100", "net_in=1", "net_out=1k", "memory=1"])
def test_refuses_what_cannot_work(shared, name, field):
    shared.cli("launch", "debian", name, "--no-start")
    before = shared.instance(name)
    said = shared.cli("set", name, field, check=False)
    assert said.returncode == 1 and field.split("=")[0] in said.stderr and len(said.stderr.splitlines()) == 2, said.stderr
    assert shared.instance(name) == before


def test_dry_run_sees_what_would_be_refused(shared, name):
    shared.cli("launch", "debian", name, "--no-start")
    again = shared.cli("launch", "debian", name, "--dry-run", check=False)
    assert again.returncode == 1 and "already" in again.stderr
    assert "image import docker://x/y" in shared.cli("launch", "docker://x/y", "nn", check=False).stderr


def test_image_names(shared, image):
    image("one-name", "two-names")
    assert "one-name" in shared.cli("image", "list").stdout and "two-names" in shared.cli("image", "list").stdout
    assert "image stays as two-names" in shared.cli("image", "delete", "one-name").stdout
    shared.cli("image", "rename", "two-names", "one-name", "two-names")
    shared.cli("image", "rename", "one-name", "other-name")
    assert sorted(shared.api("GET", "/v1/images/two-names").json["names"]) == ["other-name", "two-names"]
    assert shared.api("GET", "/v1/images/two-names").json["source"] == "upload"
    shared.cli("image", "delete", "other-name", "two-names")
    assert shared.api("GET", "/v1/images/two-names").status == 404


def test_prune_takes_what_its_dry_run_says(shared, image):
    image("built-again")
    image("built-again")
    foretold = shared.cli("image", "prune", "--dry-run", "-q").stdout.split()
    assert len(foretold) == 1
    removed = shared.cli("image", "prune", "-q").stdout.split()
    assert len(removed) == 1 and removed[0].startswith("sha256:" + foretold[0])
    assert shared.api("GET", "/v1/images/built-again").status == 200


@pytest.mark.skipif(not shutil.which("umoci") or not shutil.which("skopeo"), reason="needs umoci and skopeo")
def test_archives_are_told_by_what_is_in_them(shared, image, tmp_path):
    file = image("plain-root")
    layout = tmp_path / "oci"
    (tmp_path / "bundle").mkdir()
    for argv in (["umoci", "init", "--layout", layout], ["umoci", "new", "--image", f"{layout}:v1"],
                 ["umoci", "insert", "--image", f"{layout}:v1", file, "/etc/something"],
                 ["umoci", "config", "--image", f"{layout}:v1", "--config.cmd", "/etc/something"],
                 ["skopeo", "copy", "-q", f"oci:{layout}:v1", f"docker-archive:{tmp_path}/d.tar:a/b:c"],
                 ["skopeo", "copy", "-q", f"oci:{layout}:v1", f"oci-archive:{tmp_path}/o.tar:v1"]):
        subprocess.run([str(a) for a in argv], check=True, capture_output=True)
    for name, archive in (("from-docker", "d.tar"), ("from-oci", "o.tar")):
        shared.cli("image", "import", tmp_path / archive, name)
        assert shared.api("GET", f"/v1/images/{name}").json["command"] == ["/etc/something"], name
        shared.cli("image", "delete", name)
    (tmp_path / "cut.tar.gz").write_bytes(subprocess.run(["gzip", "-c", file], capture_output=True).stdout[:100])
    bad = shared.cli("image", "import", tmp_path / "cut.tar.gz", "cut", check=False)
    assert bad.returncode and "uploads" not in bad.stderr and "/opt" not in bad.stderr and "truncated" in bad.stderr, bad.stderr


def test_audit_tells_what_was_changed(shared, name):
    shared.cli("launch", "debian", name, "--no-start")
    shared.cli("set", name, "cpu=1", "description=a secret thing")
    shared.cli("cp", "-", f"{name}:/root/note", input="hello")
    said = [line for line in shared.cli("audit", "--object", f"spaces/home/instances/{name}").stdout.splitlines() if name in line]
    assert "write" in said[0] and "/root/note" in said[0], said
    assert "change" in said[1] and "cpu, description" in said[1] and "secret thing" not in said[1], said


def test_doctor_names_what_it_stands_on(own):
    checks = {i["check"]: i for i in own.api("GET", "/v1/doctor").json["items"]}
    for wanted in ("kernel", "cgroups", "uplink", "clock", "pool", "gateway", "crun", "dnsmasq", "mkfs.erofs"):
        assert wanted in checks
    assert checks["gateway"]["state"] == "warn" and all(c["hint"] for c in checks.values() if c["state"] != "ok")
    port = free_port()
    own.start_gateway(port)
    status = own.run / "gateway/status.json"
    wait_for("the gateway has said how it is", status.exists)
    fingerprint = json.loads(status.read_text())["certificate"]["fingerprint"]
    said = own.cli("doctor").stdout
    assert f"127.0.0.1:{port}" in said and fingerprint in said


def test_completion_offers_values(shared, name):
    shared.cli("launch", "debian", name, "--no-start")

    def complete(*words):
        return shared.cli("__complete", len(words) - 1, "--", *words).stdout.split()
    assert complete("set", name, "restart=") == ["restart=no", "restart=on-failure", "restart=always"]
    assert complete("space", "member", "add", "home", "root", "") == ["owner", "member", "viewer"]
    assert complete("launch", "--kind", "") == ["container", "machine", "process"] and complete("launch", "--memory", "") == []
    assert "memory=" in complete("quota", "home", "") and "debian" in complete("image", "build", "")
    assert name in complete("stop", "")


def test_copy_of_awkward_names(shared, name, tmp_path):
    shared.cli("launch", "debian", name, "--no-start")
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in ("plain", "two words", "ümläut", "line\nbreak"):
        (tree / n).write_text(n)
    done = shared.cli("cp", tree, f"{name}:/root/", check=False)
    assert done.returncode == 1 and "1 left out" in done.stderr and "3 files" in done.stderr, done.stderr
    shared.cli("cp", f"{name}:/root/tree", tmp_path / "back")
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == ["plain", "two words", "ümläut"]
    shared.cli("start", name)
    shared.cli("exec", name, "--", "sh", "-c", "touch /root/tree/$(printf '\\377') \"$(printf '/root/tree/a\\tb')\"")
    out = shared.cli("cp", f"{name}:/root/tree", tmp_path / "again", check=False)
    assert out.returncode == 1 and "2 left out" in out.stderr and len(list((tmp_path / "again").iterdir())) == 3, out.stderr
    assert shared.cli("cp", "-", f"{name}:/root/in", input="from a pipe").returncode == 0
    assert shared.cli("cp", f"{name}:/root/in", "-").stdout == "from a pipe"
    into = shared.cli("cp", "-", f"{name}:/root", input="x", check=False)
    assert into.returncode == 2 and "/root/NAME" in into.stderr
