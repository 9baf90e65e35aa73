#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the figures of the speed table as JSON on the standard output and as a table on the other, with the floor (crun driven by a script)
and podman, LXD or Incus, libvirt and QEMU alone beside us in the same run where they are installed and answer. Nothing here asserts anything; a quiet machine is yours to
provide: the load before and after is in the output. docs/BENCH.md says what each figure is."""
import argparse
import json
import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/lib"), str(TOP / "tests/bench")]
import machines  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402

ROWS = (("launch returns", "launch_ms", "≤ 70"), ("launch --wait: systemd running", "launch_wait_ms", "≤ 200"),
        ("app to its first output", "app_first_output_ms", "≤ 40"), ("20 launches at once", "launch_20_ms", "≤ 800"), ("exec … true", "exec_true_ms", "≤ 10"),
        ("graceful stop", "stop_ms", "≤ 150"), ("delete of a running one", "delete_running_ms", "≤ 80"), ("delete of 20 running", "delete_20_ms", "≤ 1500"),
        ("portenad, MiB resident", "portenad_rss_mb", "≤ 18"), ("gateway and nginx, MiB", "gateway_mb", "≤ 18"),
        ("an idle systemd instance, MiB", "memory_per_idle_instance_mb", "≤ 6.5"), ("desktop: click to full frame", "desktop_ms", "≤ 1500"),
        ("key to canvas change", "key_ms", "≤ 14"), ("hibernate a desktop", "hibernate_ms", "≤ 600"), ("its answer after resume", "resume_answer_ms", "≤ 50"),
        ("memory given back, %", "hibernate_given_back_percent", "≥ 90"), ("list of 1,000 by API", "list_1000_ms", "≤ 15"),
        ("machine: start until QMP runs", "machine_start_ms", ""), ("  over plain QEMU", "machine_start_over_plain_ms", "≤ 30"),
        ("machine from its template", "template_launch_ms", "≤ 300"), ("  private memory of each of 8, MiB", "template_private_mb", "≤ 80"),
        ("machine of 512 MB: hibernate", "machine_hibernate_ms", "≤ 150"), ("  resume", "machine_resume_ms", "≤ 150"), ("  resume, written out", "machine_resume_written_ms", "≤ 150"),
        ("container to machine", "to_machine_ms", "≤ 300"), ("machine to container", "to_container_ms", "≤ 300"))


def short(value):
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    if "median" in value:
        return f"{value['median']:g} ({value['min']:g})"
    return f"{value['sum']:g}"


def table(out):
    columns = {"portena": out["portena"], "floor": out["floor"], **out["peers"]}
    columns = {k: v for k, v in columns.items() if any(key in v for _, key, _ in ROWS)}
    print(f"{'median (minimum), ms':34}{'reach':>8}" + "".join(f"{c:>18}" for c in columns), file=sys.stderr)
    for text, key, reach in ROWS:
        print(f"{text:34}{reach:>8}" + "".join(f"{short(v.get(key)):>18}" for v in columns.values()), file=sys.stderr)


def floor(rounds):
    """In a mount namespace of its own, so that whatever happens nothing stays mounted."""
    done = subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable, TOP / "tests/bench/floor.py", peers.rootfs(), str(rounds)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-600:]}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=15, help="of each figure (15)")
    p.add_argument("--parts", default="", help=f"only these of ours, with commas: {', '.join(ours.PARTS)}, machine")
    p.add_argument("--no-peers", action="store_true", help="ours alone")
    o = p.parse_args()
    subprocess.run([sys.executable, TOP / "tests/lib/images.py"], check=True, stdout=sys.stderr)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    out = {"host": {"kernel": os.uname().release, "cpu": cpu, "cpus": os.cpu_count(), "load_before": os.getloadavg()[0]}, "portena": {}, "floor": {}, "peers": {}}
    parts = o.parts.split(",") if o.parts else None
    ours.run(out["portena"], o.rounds, parts)
    machines.run(out["portena"], None if o.no_peers else out["peers"], o.rounds, parts)
    if not o.no_peers:
        out["floor"] = floor(o.rounds)
        peers.run(out["peers"], o.rounds)
    out["host"]["load_after"] = os.getloadavg()[0]
    table(out)
    print(json.dumps(out, indent=1))


main()
