# SPDX-License-Identifier: Apache-2.0
"""An instance's network while it runs: how fast it may be."""
import subprocess
import sys

from daemon import wait_for

MIB = 1 << 20
# Sends as much as it can to PORT of ADDRESS, or (without one) says how much came in SECONDS, or says so early once it was BYTES.
PUMP = """
import socket, sys, time
address, seconds, most = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
if address:
    s = socket.create_connection((address, 5001), 60)
    try:
        while True: s.send(bytes(65536))
    except OSError: sys.exit()
l = socket.create_server(("", 5001)); print("listens", flush=True); s = l.accept()[0]; s.settimeout(0.2)
begun, got = time.monotonic(), 0
while got < most and time.monotonic() - begun < seconds:
    try: got += len(s.recv(1 << 20))
    except TimeoutError: pass
print(got, time.monotonic() - begun)
"""


def pump(d, name, *args, **kw):
    argv = ["nsenter", "-t", str(d.instance(name)["pid"]), "-n", "/usr/bin/python3", "-c", PUMP, *map(str, args)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr, text=True, **kw)


def transfer(d, source, to, seconds, most=1 << 40):
    """What came, in which time. Both ends are programs of the node's in the instances' namespaces."""
    receiver = pump(d, to, "", seconds, most)
    assert receiver.stdout.readline() == "listens\n"
    sender = pump(d, source, d.instance(to)["address"], 0, 0)
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
