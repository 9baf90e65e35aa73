#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the figures of the speed table as JSON, medians, with podman, LXD or Incus beside us in the same run where they are installed
and answer. Nothing here asserts anything; a quiet machine is yours to provide (the load at start is in the output)."""
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/lib"))
from daemon import BUILD, Daemon, wait_for  # noqa: E402

CLI = str(BUILD / "src/cli/portena")
out = {"host": {"kernel": os.uname().release, "cpus": os.cpu_count(), "load": os.getloadavg()[0]}, "portena": {}, "peers": {}}


def timed(argv, env=None):
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
    took = (time.perf_counter() - start) * 1000
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr}")
    return took


def figures(values):
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2), "n": len(values)}


def parallel(commands, env=None):
    start = time.perf_counter()
    running = [subprocess.Popen(c, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) for c in commands]
    for p in running:
        _, err = p.communicate()
        if p.returncode:
            raise RuntimeError(err.decode())
    return (time.perf_counter() - start) * 1000


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    return 0


def family(pid):
    pids, todo = [], [pid]
    while todo:
        p = todo.pop()
        pids.append(p)
        for t in pathlib.Path(f"/proc/{p}/task").iterdir():
            todo += [int(c) for c in (t / "children").read_text().split()]
    return pids


def is_monitor(pid, d):
    try:
        line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"portena-monitor" in line and str(d.base).encode() in line
    except OSError:
        return False


def available():
    os.sync()
    return next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("MemAvailable")) / 1024


def portena():
    p = out["portena"]
    d = Daemon("bench").start()
    try:
        env, p_ = d.env, lambda *a: [CLI, *a]
        d.cli("launch", "debian", "warm", "--wait")
        d.cli("delete", "warm", "--force")
        launch, ready, stop, delete, app = [], [], [], [], []
        for n in range(15):
            launch.append(timed(p_("launch", "debian", f"l{n}"), env))
            wait_for("ready", lambda: d.instance(f"l{n}")["ready"])
            stop.append(timed(p_("stop", f"l{n}"), env))
            d.cli("delete", f"l{n}")
            ready.append(timed(p_("launch", "debian", f"r{n}", "--wait"), env))
            delete.append(timed(p_("delete", f"r{n}", "--force"), env))
            app.append(timed(p_("launch", "debian", f"a{n}", "--init", "app", "--", "sleep", "1000"), env))
            d.cli("delete", f"a{n}", "--force")
        p["launch_ms"], p["launch_wait_ms"], p["stop_ms"], p["delete_running_ms"] = map(figures, (launch, ready, stop, delete))
        p["app_launch_ms"] = figures(app)
        d.cli("launch", "debian", "e", "--wait")
        p["exec_true_ms"] = figures([timed(p_("exec", "e", "--", "true"), env) for _ in range(40)])
        d.cli("delete", "e", "--force")
        many, gone = [], []
        for n in range(3):
            names = [f"m{n}-{i}" for i in range(20)]
            many.append(parallel([p_("launch", "debian", x) for x in names], env))
            wait_for("all ready", lambda: all(i["ready"] for i in d.api("GET", "/v1/instances").json["items"]), 120)
            gone.append(parallel([p_("delete", x, "--force") for x in names], env))
        p["launch_20_ms"], p["delete_20_ms"] = figures(many), figures(gone)
        time.sleep(3)
        before = available()
        names = [f"i{i}" for i in range(20)]
        for x in names:
            d.cli("launch", "debian", x, "--wait")
        time.sleep(5)
        p["memory_per_idle_instance_mb"] = round((before - available()) / 20, 2)
        monitors = [int(x) for x in os.listdir("/proc") if x.isdigit() and is_monitor(x, d)]
        p["monitor_rss_mb"] = round(statistics.median(map(rss, monitors)), 2)
        p["portenad_rss_mb_20_instances"] = round(rss(d.process.pid), 1)
        for x in names:
            d.cli("delete", x, "--force")
        thousand(d, p)
        d.stop()
        d.start()
        time.sleep(2)
        p["portenad_rss_mb"] = round(rss(d.process.pid), 1)
        gateway(d, p)
    finally:
        d.destroy()


def thousand(d, p):
    for n in range(1000):
        answer = d.api("POST", "/v1/spaces/home/instances", {"name": f"n{n}", "image": "debian", "start": False})
        assert answer.status in (200, 202), answer.body
    wait_for("they are there", lambda: len(d.api("GET", "/v1/instances").json["items"]) == 1000, 120)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        d.api("GET", "/v1/instances")
        times.append((time.perf_counter() - start) * 1000)
    p["list_1000_ms"] = figures(times)
    names = [f"n{n}" for n in range(1000)]
    for n in names:
        d.api("DELETE", f"/v1/spaces/home/instances/{n}")
    wait_for("they are gone", lambda: not d.api("GET", "/v1/instances").json["items"], 300, 0.5)


def gateway(d, p):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    d.start_gateway(port)
    time.sleep(2)
    pids = family(d.gateway.pid)
    p["gateway_rss_mb"] = {pathlib.Path(f"/proc/{x}/comm").read_text().strip() + f"/{n}": round(rss(x), 1) for n, x in enumerate(pids)}
    browser = TOP / "tests/bench/desktop.mjs"
    if browser.exists() and shutil.which("chromium"):
        first = (d.state / "first-login").read_text().split()
        env = {**d.env, "PORTENA_URL": f"https://127.0.0.1:{port}", "PORTENA_USER": first[0], "PORTENA_PASSWORD": first[1], "PORTENA_CLI": CLI}
        done = subprocess.run(["node", str(browser)], env=env, capture_output=True, text=True, timeout=600)
        p["desktop"] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-500:]}


def podman():
    """The same root file system, by podman's fastest way: --rootfs with an overlay."""
    image = next((BUILD / "check/images").iterdir(), None)
    if not shutil.which("podman") or not image:
        return
    r = out["peers"]["podman"] = {"version": subprocess.run(["podman", "--version"], capture_output=True, text=True).stdout.strip()}
    mnt = pathlib.Path("/var/tmp/pt-bench-podman")
    mnt.mkdir(exist_ok=True)
    erofs = min((BUILD / "check/images").glob("*/rootfs.erofs"), key=lambda f: f.stat().st_size)
    subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", str(erofs), str(mnt)], check=True)
    try:
        base = ["podman", "run", "--network=none", "--cgroups=disabled", "-d"]
        launch, execs, delete = [], [], []
        for n in range(10):
            launch.append(timed([*base, "--name", f"ptb{n}", "--rootfs", f"{mnt}:O", "sleep", "1000"]))
            execs.append(timed(["podman", "exec", f"ptb{n}", "true"]))
            delete.append(timed(["podman", "rm", "-f", "-t", "0", f"ptb{n}"]))
        r["launch_app_ms"], r["exec_true_ms"], r["delete_running_ms"] = map(figures, (launch, execs, delete))
    except RuntimeError as e:
        r["error"] = str(e)[:300]
        subprocess.run(["podman", "rm", "-f", "-a", "-t", "0"], capture_output=True)
    finally:
        subprocess.run(["umount", str(mnt)])
        mnt.rmdir()


def lxd_like(tool):
    """Incus or LXD, if its daemon answers and has an image called portena-bench (docs/BENCH.md says how to make it of the same root file system)."""
    if not shutil.which(tool):
        return
    r = out["peers"][tool] = {}
    try:
        r["version"] = subprocess.run([tool, "version"], capture_output=True, text=True, timeout=20).stdout.strip()
        timed([tool, "image", "show", "portena-bench"])
        launch, execs, stop, delete = [], [], [], []
        for n in range(10):
            launch.append(timed([tool, "launch", "portena-bench", f"ptb{n}"]))
            execs.append(timed([tool, "exec", f"ptb{n}", "--", "true"]))
            delete.append(timed([tool, "delete", "-f", f"ptb{n}"]))
        r["launch_ms"], r["exec_true_ms"], r["delete_running_ms"] = map(figures, (launch, execs, delete))
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        r["error"] = str(e)[:300]


def main():
    subprocess.run(["/usr/bin/python3", str(TOP / "tests/lib/images.py")], check=True, stdout=sys.stderr)
    portena()
    podman()
    for tool in ("incus", "lxc"):
        lxd_like(tool)
    print(json.dumps(out, indent=1))


main()
