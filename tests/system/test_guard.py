# SPDX-License-Identifier: Apache-2.0
"""What one user of a space could do to others through the API alone: hold up the node, reach it, or take its ports."""
import socket

import pytest
from daemon import wait_for


def slow_copy(d, name):
    """A copy into a stopped instance that never ends: its files stay mounted and it cannot start meanwhile."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(d.run / "api.sock"))
    s.sendall(f"PUT /v1/spaces/home/instances/{name}/files?path=/root/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
              "Content-Type: application/octet-stream\r\n\r\na".encode())
    return s


def test_slow_copies_hold_nobody_up(shared, name):
    names = [f"{name}-{i}" for i in range(26)]
    for n in names:
        assert shared.api("POST", "/v1/spaces/home/instances?wait=300", {"name": n, "image": "debian", "start": False, "disk": "64MiB"}).status < 300
    held = [slow_copy(shared, n) for n in names]
    where = shared.run / "mnt" / "files"
    shared.api("POST", "/v1/spaces", {"name": "others"})
    try:
        # held when a second request cannot have the files
        wait_for("they are held", lambda: where.is_dir() and len(list(where.iterdir())) >= len(names))
        for n in names:
            assert shared.api("POST", f"/v1/spaces/home/instances/{n}/actions", {"action": "start"}).status < 300
        made = shared.api("POST", "/v1/spaces/others/instances?wait=300", {"name": "free", "image": "debian"})
        assert made.json["operation"]["state"] == "done", made.body
    finally:
        for s in held:
            s.close()
        shared.api("DELETE", "/v1/spaces/others/instances/free?force=true&wait=300")
        shared.api("DELETE", "/v1/spaces/others?force=true&wait=300")
    wait_for("they start once they are let go", lambda: shared.instance(names[-1])["state"] == "running")


@pytest.mark.parametrize("path", ["/proc/version", "/proc/kcore", "/proc/1/environ", "/sys/kernel/uevent_seqnum", "/root/way/version"])
def test_files_do_not_lead_into_the_kernel(shared, name, path):
    shared.cli("launch", "debian", name, "--wait")
    shared.cli("exec", name, "--", "ln", "-s", "/proc", "/root/way")
    got = shared.api("GET", f"/v1/spaces/home/instances/{name}/files?path={path}")
    assert got.status == 403, got.body
    top = {e["name"]: e["type"] for e in shared.api("GET", f"/v1/spaces/home/instances/{name}/files?path=/").json["items"]}
    assert top["proc"] == top["sys"] == "special" and top["tmp"] == top["run"] == top["etc"] == "directory"


def test_copy_into_memory(shared, name, tmp_path):
    """A guest's /tmp is a tmpfs with ids of its own."""
    (tmp_path / "f").write_text("hello")
    shared.cli("launch", "debian", name, "--wait")
    shared.cli("cp", tmp_path / "f", f"{name}:/tmp/f")
    assert shared.cli("exec", name, "--", "stat", "-c", "%u", "/tmp/f").stdout == "0\n"
    shared.cli("cp", f"{name}:/tmp/f", tmp_path / "g")
    assert (tmp_path / "g").read_text() == "hello"
