# SPDX-License-Identifier: Apache-2.0
"""Published ports with a real way in: the daemon lives in a network namespace of its own, a client in another, joined by a veth pair."""
import subprocess

import pytest
from daemon import BUILD, Daemon, wait_for

NODE, CLIENT = "192.0.2.1", "192.0.2.2"


def inside(pid, *argv, **kw):
    return subprocess.run(["nsenter", "-t", str(pid), "-n", *argv], capture_output=True, text=True, **kw)


@pytest.fixture(scope="module")
def world():
    node, client = (subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) for _ in range(2))
    own = subprocess.run(["readlink", "/proc/self/ns/net"], capture_output=True, text=True).stdout
    for p in (node, client):
        wait_for("the namespace is there", lambda: subprocess.run(["readlink", f"/proc/{p.pid}/ns/net"], capture_output=True, text=True).stdout != own)
    for argv in (["ip", "link", "add", "up0", "type", "veth", "peer", "name", "c0", "netns", str(client.pid)], ["ip", "link", "set", "lo", "up"],
                 ["ip", "addr", "add", NODE + "/24", "dev", "up0"], ["ip", "link", "set", "up0", "up"]):
        assert inside(node.pid, *argv).returncode == 0
    for argv in (["ip", "addr", "add", CLIENT + "/24", "dev", "c0"], ["ip", "link", "set", "c0", "up"]):
        assert inside(client.pid, *argv).returncode == 0
    d = Daemon("ports", uplink="up0", prefix=("nsenter", f"--net=/proc/{node.pid}/ns/net")).start()
    try:
        yield d, node.pid, client.pid
        d.destroy()
        assert inside(node.pid, "nft", "list", "tables").stdout == ""
        links = lambda: inside(node.pid, "ip", "-o", "link").stdout.splitlines()
        wait_for(lambda: f"lo and up0 are left: {links()}", lambda: len(links()) == 2)  # the kernel takes a namespace apart when it has time
    finally:
        for p in (node, client):
            p.kill()
            p.wait()


def test_ports_change_while_it_runs(world):
    d, node, client = world

    def ask(port, patience=60):
        code = f"import socket; s = socket.create_connection(('{NODE}', {port}), {patience}); s.settimeout(300); print(s.recv(100).decode(), end='')"
        return inside(client, "/usr/bin/python3", "-c", code).stdout

    d.cli("launch", "debian", "web", "--publish", "8080:80", "--wait")
    server = subprocess.Popen([str(BUILD / "src/cli/portena"), "exec", "web", "--", "systemd-socket-activate", "-l", "80", "--accept", "--inetd",
                               "/bin/echo", "hello"], env=d.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("it answers", lambda: ask(8080, 2) == "hello\n")
    d.cli("network", "publish", "web", "8081:80")
    assert ask(8081) == "hello\n" and ask(8080) == "hello\n"
    d.cli("network", "unpublish", "web", "8080")
    assert ask(8080, 1) == "" and ask(8081) == "hello\n"
    shown = d.cli("network", "show").stdout
    assert "8081" in shown and "8080" not in shown
    # a port has one owner; who wants it is told whose it is, and nothing is changed
    refused = d.cli("launch", "debian", "other", "--publish", "8081:80", check=False)
    assert refused.returncode == 1 and "web" in refused.stderr
    assert d.api("GET", "/v1/spaces/home/instances/other").status == 404
    d.cli("launch", "debian", "other")
    assert d.cli("network", "publish", "other", "8081:22", check=False).returncode == 1
    d.cli("network", "publish", "other", "8082:22")
    # the daemon's death and return change nothing
    d.kill()
    assert ask(8081) == "hello\n"
    d.start()
    assert ask(8081) == "hello\n" and ask(8080, 1) == ""
    d.cli("network", "unpublish", "web", "8081")
    assert ask(8081, 1) == ""
    d.cli("delete", "web", "other", "--force")
    server.wait(300)
    d.is_clean()
    rules = inside(node, "nft", "list", "ruleset").stdout
    assert "8081" not in rules and "8082" not in rules
