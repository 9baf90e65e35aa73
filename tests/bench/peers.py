# SPDX-License-Identifier: Apache-2.0
"""What others take for the same with the same root file system, on the same machine in the same run, where they are installed."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from daemon import IMAGES  # noqa: E402
from measure import family, figures, first_output, memory_of, parallel, timed  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
MANY = 20


def rootfs():
    """The built-in `debian` for this machine."""
    def ours(file):
        manifest = json.loads((file.parent / "manifest.json").read_text())
        return manifest["source"] == "recipe:debian" and manifest.get("arch") == os.uname().machine
    return next(filter(ours, IMAGES.glob("*/rootfs.erofs")))


def first_line(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout.strip().replace("\n", ", ")


def podman(out, rounds):
    """By its fastest way: --rootfs with an overlay over our image's mount, and no network at all. It keeps no volume of a limited size."""
    at = pathlib.Path(tempfile.mkdtemp(prefix="pt-podman-", dir="/var/tmp"))
    lower = at / "lower"
    lower.mkdir()
    out["version"] = first_line("podman", "--version")
    base = ["podman", "--cgroup-manager=cgroupfs", "--root", at / "root", "--runroot", at / "run", "--tmpdir", at / "tmp"]
    # It would raise limits, which takes a capability that a host may lack.
    flags = ["run", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", rootfs(), lower], check=True)
    try:
        app, launch, execs, stop, delete, many, gone = [], [], [], [], [], [], []
        for n in range(rounds):
            app.append(first_output([*base, *flags, "--rm", "--rootfs", f"{lower}:O", "echo", "x"]))
            launch.append(timed([*base, *flags, "-d", "--name", f"b{n}", "--rootfs", f"{lower}:O", "sleep", "1000"]))
            execs += [timed([*base, "exec", f"b{n}", "true"]) for _ in range(3)]
            delete.append(timed([*base, "rm", "-f", "-t", "0", f"b{n}"]))
        for n in range(2):
            names = [f"m{n}-{i}" for i in range(MANY)]
            many.append(parallel([[*base, *flags, "-d", "--name", x, "--rootfs", f"{lower}:O", "sleep", "1000"] for x in names]))
            gone.append(parallel([[*base, "rm", "-f", "-t", "0", x] for x in names]))
        for key, values in (("app_first_output_ms", app), ("app_launch_ms", launch), ("exec_true_ms", execs), ("delete_running_ms", delete),
                            ("launch_20_ms", many), ("delete_20_ms", gone)):
            out[key] = figures(values)
    finally:
        subprocess.run([*map(str, base), "rm", "-f", "-a", "-t", "0"], capture_output=True)
        subprocess.run(["umount", lower])
        shutil.rmtree(at, ignore_errors=True)


@contextlib.contextmanager
def private_daemon(tool):
    """A daemon of the peer's for this run alone, in a mount namespace of its own; everything of it is gone afterwards."""
    at = pathlib.Path(tempfile.mkdtemp(prefix=f"pt-{tool}-", dir="/var/tmp"))
    at.chmod(0o711)  # the guests are users without rights
    argv = ["unshare", "-m", "--propagation", "private", HERE / "peer-daemon.sh", tool, at / "state"]
    daemon = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if daemon.stdout.readline() != "ready\n":
            daemon.wait(60)
            raise RuntimeError(f"its daemon does not start here: {daemon.stderr.read().strip()[-400:]}")
        yield {**os.environ, "LXD_DIR": str(at / "state"), "INCUS_DIR": str(at / "state")}, daemon.pid
    finally:
        daemon.stdin.close()
        daemon.wait(60)
        for group in pathlib.Path("/sys/fs/cgroup").glob("*/lxc.*"):
            subprocess.run(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], capture_output=True)
        shutil.rmtree(at, ignore_errors=True)


def lxd_like(daemon, client):
    """By a daemon of our own (peer-daemon.sh), with the image that peer-image.sh makes of our root file system."""
    def measure(out, rounds):
        out["version"] = first_line(client, "--version")
        with private_daemon(daemon) as (env, pid):
            timed([HERE / "peer-image.sh", client, rootfs()], env)
            lxd_cycle(client, env, out, rounds)
            out["daemon_rss_mb"] = memory_of([p for p in family(pid) if b"--logfile" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()])
    return measure


def lxd_cycle(tool, env, out, rounds):
    launch, wait, execs, stop, delete, many, gone = [], [], [], [], [], [], []
    up = ["--", "sh", "-c", "until [ \"$(systemctl is-system-running)\" = running ]; do sleep 0.01; done"]
    timed([tool, "launch", "portena-bench", "warm"], env)
    for n in range(rounds):
        launch.append(timed([tool, "launch", "portena-bench", f"b{n}"], env))
        wait.append(launch[-1] + timed([tool, "exec", f"b{n}", *up], env))
        execs += [timed([tool, "exec", f"b{n}", "--", "true"], env) for _ in range(3)]
        stop.append(timed([tool, "stop", f"b{n}"], env))
        timed([tool, "start", f"b{n}"], env)
        delete.append(timed([tool, "delete", "-f", f"b{n}"], env))
    for n in range(2):
        names = [f"m{n}-{i}" for i in range(MANY)]
        many.append(parallel([[tool, "launch", "portena-bench", x] for x in names], env))
        gone.append(parallel([[tool, "delete", "-f", x] for x in names], env))
    timed([tool, "delete", "-f", "warm"], env)
    for key, values in (("launch_ms", launch), ("launch_wait_ms", wait), ("exec_true_ms", execs), ("stop_ms", stop), ("delete_running_ms", delete),
                        ("launch_20_ms", many), ("delete_20_ms", gone)):
        out[key] = figures(values)


PEERS = {"podman": ("podman", podman), "incus": ("incus", lxd_like("incus", "incus")), "lxd": ("lxc", lxd_like("lxd", "lxc"))}


def run(out, rounds):
    """Each in a mount namespace of its own without the version 2 tree of a mixed control group layout, which neither crun nor liblxc takes."""
    alone = 'mountpoint -q /sys/fs/cgroup/unified && umount -l /sys/fs/cgroup/unified; exec "$@"'
    for name, (program, _) in PEERS.items():
        if not shutil.which(program):
            out[name] = {"skipped": f"{program} is not installed"}
            continue
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", alone, "-", sys.executable, __file__, name, str(rounds)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out[name] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-600:]}


def main():
    out = {}
    try:
        PEERS[sys.argv[1]][1](out, int(sys.argv[2]))
    except (RuntimeError, subprocess.SubprocessError) as e:
        out["error"] = str(e)[-400:]
    print(json.dumps(out))


if __name__ == "__main__":
    main()
