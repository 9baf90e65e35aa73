# SPDX-License-Identifier: Apache-2.0
"""An instance's network while it runs: how fast it may be, and which further cards it has."""
import random
import subprocess
import sys
import time

from daemon import wait_for

MIB = 1 << 20
# Sends as much as it can to PORT of ADDRESS, or (without one) says how much came in SECONDS, or says so early once it was BYTES.
PUMP = """
import socket, sys, time
address, seconds, most = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
if address:
    s = socket.create_connection((address, 5001), 300)
    try:
        while True: s.send(bytes(65536))
    except OSError: sys.exit()
l = socket.create_server(("", 5001)); print("listens", flush=True); s = l.accept()[0]; s.settimeout(0.2)
begun, got = time.monotonic(), 0
while got < most and (time.monotonic() - begun < seconds or not got):
    try: got += len(s.recv(1 << 20))
    except TimeoutError: pass
print(got, time.monotonic() - begun)
"""


def find(d, name):
    """NAME of space home, or SPACE/NAME."""
    space, _, name = name.rpartition("/")
    return d.instance(name, space or "home")


def pump(d, name, *args, **kw):
    argv = ["nsenter", "-t", str(find(d, name)["pid"]), "-n", "/usr/bin/python3", "-c", PUMP, *map(str, args)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, **kw)


def transfer(d, source, to, seconds, most=1 << 40):
    """What came, in which time. Both ends are programs of the node's in the instances' namespaces."""
    receiver = pump(d, to, "", seconds, most)
    assert receiver.stdout.readline() == "listens\n"
    sender = pump(d, source, find(d, to)["address"], 0, 0)
    try:
        got, took = receiver.stdout.readline().split()
        return int(got), float(took)
    finally:
        for p in (sender, receiver):
            p.kill()
            p.wait()


def assert_slow(d, source, to, rate):
    got, took = transfer(d, source, to, 2)
    assert 0 < got < rate * took * 1.1 + MIB / 2, (got, took)


def assert_fast(d, source, to, rate):
    """What would take two minutes at that rate comes in less than one."""
    assert transfer(d, source, to, 60, 120 * rate)[0] >= 120 * rate


def test_rates_change_while_it_runs(own):
    d = own
    d.cli("launch", "debian", "a", "--init", "app", "--", "sleep", "1000")
    d.cli("launch", "debian", "b", "--init", "app", "--", "sleep", "1000")
    quota = d.api("GET", "/v1/spaces/home").json["used"]
    answer = d.api("PATCH", "/v1/spaces/home/instances/a?wait=60", {"net_out": MIB // 2})
    assert answer.json["applies"] == {"net_out": "now"} and d.api("GET", "/v1/spaces/home").json["used"] == quota
    assert_slow(d, "a", "b", MIB // 2)
    d.cli("set", "a", "net_out=0", "net_in=1M")
    assert_fast(d, "a", "b", MIB // 2)
    assert_slow(d, "b", "a", MIB)
    assert "1 MiB a second" in d.cli("show", "a").stdout
    # a portenad that was killed lets nothing loose, and the next one applies what was asked for meanwhile
    d.kill()
    d.start()
    wait_for("it is looked at again", lambda: d.instance("a")["state"] == "running")
    assert_slow(d, "b", "a", MIB)
    d.cli("restart", "a", "--force")
    assert_slow(d, "b", "a", MIB)
    d.cli("set", "a", "net_in=0")
    assert_fast(d, "b", "a", MIB)


# --- further cards ---


def inside(d, name, *argv):
    return subprocess.run(["nsenter", "-t", str(find(d, name)["pid"]), "-n", *argv], capture_output=True, text=True, timeout=60)


def pings(d, name, address, *more):
    return inside(d, name, "busybox", "ping", "-c1", "-W1", *more, address).returncode == 0


def reaches(d, name, address, *more):
    wait_for(f"{name} reaches {address}", lambda: pings(d, name, address, *more))


def cards(d, name):
    return {c["name"]: c for c in d.instance(name)["nics"]}


def links(d, name):
    return sorted(x.split(": ")[1].split("@")[0] for x in inside(d, name, "ip", "-o", "link").stdout.splitlines())


def make_lab(d):
    """A second space, with another network, and a computer in it."""
    d.cli("space", "create", "lab", "--subnet", "10.84.0.0/24")
    d.cli("launch", "debian", "bench", "--space", "lab", "--init", "app", "--", "sleep", "1000")
    return find(d, "lab/bench")["address"]


def test_cards_come_and_go(own):
    d = own
    bench = make_lab(d)
    for name in ("a", "b"):
        d.cli("launch", "debian", name, "--init", "app", "--", "sleep", "1000")
    assert not pings(d, "a", bench)
    assert "10.84.0." in d.cli("network", "attach", "a", "lab").stdout
    d.cli("network", "attach", "a", "--name", "eth5", "--address", "10.83.0.99")
    eth1, eth5 = cards(d, "a")["eth1"], cards(d, "a")["eth5"]
    assert (eth1["space"], eth5["space"], eth5["address"]) == ("lab", "home", "10.83.0.99") and len({eth1["mac"], eth5["mac"], d.instance("a")["mac"]}) == 3
    reaches(d, "a", bench)
    reaches(d, "lab/bench", eth1["address"])
    reaches(d, "lab/bench", eth1["address6"], "-6")
    reaches(d, "b", "10.83.0.99")
    assert not pings(d, "b", bench)
    assert "eth1.a.home" in d.cli("network", "show", "lab").stdout and "eth5.a" in d.cli("network", "show").stdout
    assert "10.83.0.99" in d.cli("show", "a").stdout
    # its limits are those of each card
    d.cli("set", "a", "net_out=1M")
    got, took = transfer(d, "a", "lab/bench", 2)
    assert 0 < got < MIB * took * 1.1 + MIB / 2
    d.cli("set", "a", "net_out=0")

    # after a restart of portenad, of the instance, and of both they are there as they were
    d.kill()
    d.start()
    wait_for("it is looked at", lambda: d.instance("a")["state"] == "running")
    reaches(d, "lab/bench", eth1["address"])
    d.cli("restart", "a", "--force")
    assert links(d, "a") == ["eth0", "eth1", "eth5", "lo"] and cards(d, "a") == {"eth1": eth1, "eth5": eth5}
    reaches(d, "lab/bench", eth1["address"])
    reaches(d, "b", "10.83.0.99")

    # a space is not pulled away from under a card, and what is not there cannot be taken out
    d.cli("delete", "bench", "--space", "lab", "--force")
    refused = d.cli("space", "delete", "lab", "--force", check=False)
    assert refused.returncode == 1 and "portena network detach home/a eth1" in refused.stderr, refused.stderr
    for card, status in (("eth0", 400), ("eth2", 404), ("x", 404)):
        assert d.api("DELETE", f"/v1/spaces/home/instances/a/nics/{card}").status == status
    d.cli("network", "detach", "a", "eth1")
    d.cli("network", "detach", "a", "eth5")
    assert links(d, "a") == ["eth0", "lo"]
    assert cards(d, "a") == {}
    assert not pings(d, "b", "10.83.0.99")
    d.cli("space", "delete", "lab")


def test_what_a_card_cannot_be(own):
    d = own
    make_lab(d)
    d.cli("space", "create", "same")  # with the subnet that home has too
    d.cli("launch", "debian", "a", "--init", "app", "--", "sleep", "1000")
    d.cli("launch", "debian", "alone", "--init", "app", "--no-start", "--", "sleep", "1000")
    d.cli("set", "alone", "offline=true")
    path = "/v1/spaces/home/instances/a/nics"
    for body, status, words in (({"space": "same"}, 409, "--subnet"), ({"space": "nowhere"}, 404, "no space"), ({"address": "10.84.0.9"}, 400, "10.83.0.0/24"),
                                ({"address": "10.83.0.1"}, 400, "gateway"), ({"address": d.instance("a")["address"]}, 409, "taken"),
                                ({"name": "eth0"}, 400, "eth1 to eth7"), ({"name": "eth8"}, 400, "eth1"), ({"nic": 1}, 400, "no such field")):
        answer = d.api("POST", path, body)
        assert answer.status == status and words in answer.body.decode(), (body, answer.body.decode())
    assert d.api("POST", "/v1/spaces/home/instances/alone/nics", {}).status == 400
    # who is no member of a space puts nothing into it, and learns nothing of it
    d.api("POST", "/v1/users", {"name": "anna", "password": "correct-horse-9", "full_name": "Anna"})
    d.api("PUT", "/v1/spaces/home/members/anna", {"role": "owner"})
    token = d.api("POST", "/v1/session", {"user": "anna", "password": "correct-horse-9", "token": True}).json["token"]
    as_anna = {"Authorization": f"Bearer {token}"}
    for role, status in ((None, 404), ("viewer", 403), ("member", 202)):
        if role:
            d.api("PUT", "/v1/spaces/lab/members/anna", {"role": role})
        assert d.api("POST", path, {"space": "lab"}, headers=as_anna).status == status, role
    wait_for("it has the card", lambda: "eth1" in links(d, "a"))
    assert d.api("POST", path + "?wait=60", {"name": "eth1"}).status == 409
    d.cli("pause", "a")
    assert d.api("POST", path, {}).status == 409
    d.cli("resume", "a")
    for _ in range(6):
        assert d.api("POST", path + "?wait=300", {}).status == 202
    full = d.api("POST", path, {})
    assert full.status >= 400 and "7 further" in full.body.decode()


def test_killed_while_cards_come_and_go(own):
    """Whatever moment portenad is killed in: the next one makes it as the record says, and the end leaves nothing (Daemon.destroy looks)."""
    d = own
    make_lab(d)
    d.cli("launch", "debian", "a", "--init", "app", "--", "sleep", "1000")
    path = "/v1/spaces/home/instances/a/nics"
    for i in range(6):
        if "eth1" in cards(d, "a"):
            d.api("DELETE", path + "/eth1")
        else:
            d.api("POST", path, {"space": "lab"})
        time.sleep(random.uniform(0, 0.05))
        d.kill()
        d.start()
        wait_for("nobody waits any more", lambda: all(o["state"] not in ("pending", "running") for o in d.api("GET", "/v1/operations").json["items"]))
        wait_for("it is as its record says", lambda: links(d, "a") == ["eth0"] + sorted(cards(d, "a")) + ["lo"])
        if "eth1" in cards(d, "a"):
            reaches(d, "lab/bench", cards(d, "a")["eth1"]["address"])
    d.cli("delete", "a", "--force")


def in_guest(d, name):
    return sorted(d.cli("exec", name, "--", "ls", "/sys/class/net").stdout.split())


def test_cards_of_a_machine(own):
    """They come and go while it runs, and are there after a restart of portenad, of the guest, and after it was hibernated."""
    d = own
    bench = make_lab(d)
    d.cli("launch", "debian", "m", "--kind", "machine", "--init", "app", "--wait", "--", "sleep", "100000")
    d.cli("network", "attach", "m", "lab")
    eth1 = cards(d, "m")["eth1"]["address"]
    assert in_guest(d, "m") == ["eth0", "eth1", "lo"]
    reaches(d, "lab/bench", eth1)
    d.kill()
    d.start()
    wait_for("it is looked at", lambda: d.instance("m")["state"] == "running")
    d.cli("network", "attach", "m", "--name", "eth4")  # in its own network: the answer leaves by it
    d.cli("launch", "debian", "b", "--init", "app", "--", "sleep", "1000")
    reaches(d, "b", cards(d, "m")["eth4"]["address"])

    d.cli("hibernate", "m")
    refused = d.api("POST", "/v1/spaces/home/instances/m/nics", {})
    assert refused.status == 409 and "resume" in refused.body.decode()
    d.cli("resume", "m")
    reaches(d, "lab/bench", eth1)
    reaches(d, "b", cards(d, "m")["eth4"]["address"])
    d.cli("network", "detach", "m", "eth1")
    assert in_guest(d, "m") == ["eth0", "eth4", "lo"] and not pings(d, "lab/bench", eth1)

    d.cli("restart", "m", "--wait", "--force")
    assert in_guest(d, "m") == ["eth0", "eth4", "lo"]
    reaches(d, "b", cards(d, "m")["eth4"]["address"])
    d.cli("network", "detach", "m", "eth4")
    assert in_guest(d, "m") == ["eth0", "lo"]
    wait_for("its jail is as it was", lambda: links(d, "m") == ["eth0", "lo", "tap0", "wire"])
    assert bench
