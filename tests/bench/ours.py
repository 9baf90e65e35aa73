# SPDX-License-Identifier: Apache-2.0
"""Portena's own figures: everything through the command line or the API of a daemon of its own, as a user would."""
import http.client
import json
import pathlib
import shutil
import socket
import statistics
import subprocess
import time

import measure
from daemon import BUILD, TOP, Daemon, wait_for
from rfb import Rfb
from measure import figures, first_output, memory_of, parallel, timed

CLI = BUILD / "src/cli/portena"
MANY = 20


def run(out, rounds, what):
    d = Daemon("bench", tune=True).start()
    try:
        d.cli("launch", "debian", "warm", "--wait")
        for name, part in PARTS.items():
            if not what or name in what:
                part(d, out, rounds)
    finally:
        d.destroy()


def cycle(d, out, rounds):
    """One instance at a time: launched, stopped, launched until it is ready, deleted while it runs; and an app."""
    env, launch, ready, stop, delete, app = d.env, [], [], [], [], []
    for n in range(rounds):
        launch.append(timed([CLI, "launch", "debian", f"l{n}"], env))
        wait_for("ready", lambda name=f"l{n}": d.instance(name)["ready"])
        stop.append(timed([CLI, "stop", f"l{n}"], env))
        d.cli("delete", f"l{n}")
        ready.append(timed([CLI, "launch", "debian", f"r{n}", "--wait"], env))
        delete.append(timed([CLI, "delete", f"r{n}", "--force"], env))
        app.append(app_output(d, f"a{n}"))
        d.cli("delete", f"a{n}", "--force")
    out["launch_ms"], out["launch_wait_ms"], out["stop_ms"], out["delete_running_ms"] = map(figures, (launch, ready, stop, delete))
    out["app_first_output_ms"] = figures(app)


def app_output(d, name):
    """From before the command until its output is in the instance's history: an upper bound, as that is asked for after the command has ended."""
    start = time.perf_counter()
    timed([CLI, "launch", "debian", name, "--init", "app", "--", "sh", "-c", "echo here; exec sleep 1000"], d.env)
    while b"here" not in d.api("GET", f"/v1/spaces/home/instances/{name}/logs").body:
        pass
    return measure.since(start)


def first_in_space(d, out, rounds):
    """As cycle()'s launch, but the space's network (namespace, bridge, rules, DHCP and DNS) has to be made too."""
    times = []
    d.cli("space", "create", "cold")
    for _ in range(max(3, rounds // 2)):
        times.append(timed([CLI, "launch", "debian", "one", "--space", "cold"], d.env))
        d.cli("delete", "one", "--space", "cold", "--force")
    d.cli("space", "delete", "cold", "--yes")
    out["launch_first_in_space_ms"] = figures(times)


def execs(d, out, rounds):
    for _ in range(5):
        d.cli("exec", "warm", "--", "true")
    out["exec_true_ms"] = figures([timed([CLI, "exec", "warm", "--", "true"], d.env) for _ in range(rounds * 4)])
    out["exec_first_output_ms"] = figures([first_output([CLI, "exec", "warm", "--", "echo", "x"], d.env) for _ in range(rounds)])


def crowd(d, out, rounds):
    """Twenty at once: all run when the last command has ended; then deleted at once, as they run."""
    many, ready, gone = [], [], []
    for n in range(max(3, rounds // 4)):
        names = [f"m{n}-{i}" for i in range(MANY)]
        start = time.perf_counter()
        many.append(parallel([[CLI, "launch", "debian", x] for x in names], d.env))
        wait_for("all ready", lambda: all(i["ready"] for i in d.api("GET", "/v1/instances").json["items"]), 120, 0.005)
        ready.append(measure.since(start))
        gone.append(parallel([[CLI, "delete", x, "--force"] for x in names], d.env))
    out["launch_20_ms"], out["launch_20_ready_ms"], out["delete_20_ms"] = map(figures, (many, ready, gone))


def memory(d, out, rounds):
    """What one idle systemd guest costs: the charge of its control group, its monitor, and what the daemon and the network's helpers grew by."""
    def ours():
        return memory_of(measure.family(d.process.pid), "Pss")
    time.sleep(2)
    free, before = measure.available(), ours()
    names = [f"i{i}" for i in range(MANY)]
    for x in names:
        d.cli("launch", "debian", x, "--wait")
    time.sleep(6)
    ids = [d.instance(x)["id"] for x in names]
    groups = statistics.median(measure.group_memory(f"{d.cgroup}/{i}") for i in ids)
    monitors = measure.named("portena-monitor", str(d.base))
    monitor = statistics.median(memory_of([p], "Pss") for p in monitors)
    grown = max(0, ours() - before) / MANY
    out["memory_per_idle_instance_mb"] = {"sum": round(groups + monitor + grown, 2), "group": round(groups, 2), "monitor_pss": round(monitor, 2),
                                          "monitor_rss": statistics.median(memory_of([p]) for p in monitors), "daemon_growth": round(grown, 2),
                                          "by_memavailable": round((free - measure.available()) / MANY, 2)}
    out["portenad_rss_mb_20_instances"] = memory_of([d.process.pid])
    parallel([[CLI, "delete", x, "--force"] for x in names], d.env)


def listing(d, out, rounds):
    """A thousand instances, 200 in each of five spaces, by one connection that is kept, as the console has it; and by the command."""
    spaces = [f"bench{n}" for n in range(5)]
    for space in spaces:
        d.cli("space", "create", space)
        for n in range(200):
            answer = d.api("POST", f"/v1/spaces/{space}/instances", {"name": f"n{n}", "image": "debian", "start": False})
            assert answer.status in (200, 202), answer.body
    wait_for("they are there", lambda: len(d.api("GET", "/v1/instances").json["items"]) >= 1000, 120)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(d.socket))
    times = []
    for _ in range(30):
        start = time.perf_counter()
        connection.request("GET", "/v1/instances")
        body = connection.getresponse().read()
        times.append(measure.since(start))
    connection.close()
    assert len(json.loads(body)["items"]) >= 1000
    out["list_1000_ms"] = figures(times)
    out["list_1000_cli_ms"] = figures([timed([CLI, "list", "--json", "--all"], d.env) for _ in range(10)])
    for space in spaces:
        d.api("DELETE", f"/v1/spaces/{space}?force=true&wait=300", timeout=400)


def hibernate(d, out, rounds):
    """A desktop that has been drawn and is left alone, a fresh one each time: memory that came back once is little the next time. Its answer is
    that to a new viewer's handshake, from before the request to resume; the picture is its first whole one."""
    sleep, answer, picture, back = [], [], [], []
    for n in range(max(3, rounds // 3)):
        d.cli("launch", "desktop", f"h{n}", "--wait")
        i = d.instance(f"h{n}")
        socket = pathlib.Path(f"/proc/{i['pid']}/root/run/portena/rfb.sock")
        wait_for("it listens", socket.exists)
        screen = Rfb(socket)
        screen.until(lambda: len(screen.colours()) > 50, 60)
        screen.s.close()
        time.sleep(3)
        sleep.append(timed([CLI, "hibernate", f"h{n}"], d.env))
        freed = d.instance(f"h{n}")["freed"]
        back.append(100 * freed / (freed + measure.group_charge(f"{d.cgroup}/{i['id']}")))
        start = time.perf_counter()
        answered = d.api("POST", f"/v1/spaces/home/instances/h{n}/actions?wait=30", {"action": "resume"}).json
        screen = Rfb(socket)
        answer.append(measure.since(start))
        screen.until(lambda: len(screen.colours()) > 50, 60)
        picture.append(measure.since(start))
        screen.s.close()
        assert answered["state"] == "running", answered
        d.cli("delete", f"h{n}", "--force")
    out["hibernate_ms"], out["resume_answer_ms"], out["resume_picture_ms"], out["hibernate_given_back_percent"] = map(figures, (sleep, answer, picture, back))


def idle(d, out, rounds):
    """The daemons, started afresh with one instance running, and left alone for a moment."""
    d.stop()
    d.start()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    d.start_gateway(port)
    time.sleep(5)
    out["portenad_rss_mb"] = memory_of([d.process.pid])
    gateway = measure.family(d.gateway.pid)
    names = [pathlib.Path(f"/proc/{p}/comm").read_text().strip() for p in gateway]
    out["gateway_mb"] = {"sum": measure.resident(gateway), "rss_sum": memory_of(gateway),
                         "each_rss": [f"{name} {memory_of([p])}" for name, p in zip(names, gateway)]}
    desktop(d, out, port, rounds)
    d.stop_gateway()


def desktop(d, out, port, rounds):
    if not shutil.which("chromium") or not shutil.which("node") or not (TOP / "tests/browser/node_modules").is_dir():
        out["desktop"] = {"skipped": "needs chromium, node and tests/browser/node_modules"}
        return
    user, password = d.first_login("a password of the tests")
    env = {**d.env, "PORTENA_URL": f"https://127.0.0.1:{port}", "PORTENA_USER": user, "PORTENA_PASSWORD": password, "PORTENA_CLI": str(CLI),
           "PORTENA_ROUNDS": str(max(3, rounds // 3))}
    done = subprocess.run(["node", TOP / "tests/bench/desktop.mjs"], env=env, capture_output=True, text=True, timeout=900)
    out["desktop"] = json.loads(done.stdout) if done.returncode == 0 else {"error": (done.stderr or done.stdout)[-800:]}
    if done.returncode == 0:
        for key in ("desktop_ms", "key_ms", "key_terminal_ms"):
            out[key] = figures(out["desktop"].pop(key))


PARTS = {"cycle": cycle, "first": first_in_space, "exec": execs, "crowd": crowd, "memory": memory, "hibernate": hibernate, "list": listing, "idle": idle}
