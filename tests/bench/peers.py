# SPDX-License-Identifier: Apache-2.0
"""What others take for the same with the same root file system, on the same machine in the same run, where they are installed."""
import pathlib
import shutil
import subprocess
import tempfile

from daemon import IMAGES
from measure import figures, first_output, parallel, timed

MANY = 20


def rootfs():
    """The built-in `debian`: the smaller of the two."""
    return min(IMAGES.glob("*/rootfs.erofs"), key=lambda f: f.stat().st_size)


def first_line(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=20).stdout.strip().replace("\n", ", ")


def podman(out, rounds):
    """By its fastest way: --rootfs with an overlay over our image's mount, and no network at all. It keeps no volume of a limited size."""
    at = pathlib.Path(tempfile.mkdtemp(prefix="pt-podman-", dir="/var/tmp"))
    lower = at / "lower"
    lower.mkdir()
    out["version"] = first_line("podman", "--version")
    # crun refuses the mixed control group layout, and so the groups are left out there.
    groups = [] if not pathlib.Path("/sys/fs/cgroup/unified").is_dir() else ["--cgroups=disabled"]
    base = ["podman", "--root", at / "root", "--runroot", at / "run", "--tmpdir", at / "tmp"]
    flags = ["run", "--network=none", *groups]
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


def lxd_like(tool):
    """Incus or LXD, if its daemon answers and has the image portena-bench (tests/bench/peer-image.sh makes it of our root file system)."""
    def measure(out, rounds):
        out["version"] = first_line(tool, "version")
        timed([tool, "image", "show", "portena-bench"])
        launch, wait, execs, stop, delete, many, gone = [], [], [], [], [], [], []
        up = ["--", "sh", "-c", "until [ \"$(systemctl is-system-running)\" = running ]; do sleep 0.01; done"]
        for n in range(rounds):
            launch.append(timed([tool, "launch", "portena-bench", f"b{n}"]))
            wait.append(launch[-1] + timed([tool, "exec", f"b{n}", *up]))
            execs += [timed([tool, "exec", f"b{n}", "--", "true"]) for _ in range(3)]
            stop.append(timed([tool, "stop", f"b{n}"]))
            timed([tool, "start", f"b{n}"])
            delete.append(timed([tool, "delete", "-f", f"b{n}"]))
        for n in range(2):
            names = [f"m{n}-{i}" for i in range(MANY)]
            many.append(parallel([[tool, "launch", "portena-bench", x] for x in names]))
            gone.append(parallel([[tool, "delete", "-f", x] for x in names]))
        for key, values in (("launch_ms", launch), ("launch_wait_ms", wait), ("exec_true_ms", execs), ("stop_ms", stop), ("delete_running_ms", delete),
                            ("launch_20_ms", many), ("delete_20_ms", gone)):
            out[key] = figures(values)
    return measure


PEERS = {"podman": podman, "incus": lxd_like("incus"), "lxc": lxd_like("lxc")}


def run(out, rounds):
    for tool, measure in PEERS.items():
        if not shutil.which(tool):
            out[tool] = {"skipped": "not installed"}
            continue
        out[tool] = {}
        try:
            measure(out[tool], rounds)
        except (RuntimeError, subprocess.SubprocessError) as e:
            out[tool]["error"] = str(e)[:400]
