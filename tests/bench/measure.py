# SPDX-License-Identifier: Apache-2.0
"""What the parts of the benchmark share: taking times, and asking the kernel for memory. Nothing here judges a figure."""
import array
import os
import pathlib
import statistics
import subprocess
import time

PAGE = os.sysconf("SC_PAGESIZE")
FRAME, PRESENT = (1 << 55) - 1, 1 << 63  # of an entry: Documentation/admin-guide/mm/pagemap.rst


def timed(argv, env=None):
    """Milliseconds from before the start of a command until it has ended."""
    start = time.perf_counter()
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
    took = since(start)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return took


def since(start):
    return (time.perf_counter() - start) * 1000


def first_output(argv, env=None):
    """Milliseconds from before the start of a command until its first byte of output; it is waited for afterwards."""
    start = time.perf_counter()
    with subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as p:
        first = p.stdout.read(1)
        took = since(start)
        _, err = p.communicate()
        if not first:
            raise RuntimeError(f"{' '.join(map(str, argv))}: no output: {err.decode(errors='replace')[-400:]}")
    return took


def parallel(commands, env=None):
    """Milliseconds until all of several commands, started at once, have ended."""
    start = time.perf_counter()
    running = [subprocess.Popen([str(a) for a in c], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
               for c in commands]
    failed = [err.decode(errors="replace")[-400:] for p in running for err in [p.communicate()[1]] if p.returncode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(commands)} failed: {failed[0]}")
    return since(start)


def figures(values):
    """The median is the figure; on a machine with other work on it, the minimum says more about us and the maximum about the others."""
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2), "n": len(values)}


def memory_of(pids, field="Rss"):
    """MiB of the given processes, summed; "Rss", or "Pss": what is shared is counted in parts."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return round(total / 1024, 2)


def resident(pids):
    """MiB of the given processes together, each page counted once however many of them map it: /proc/PID/pagemap says which frame it is."""
    frames = set()
    for pid in pids:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
            for line in maps:
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                if start >= 1 << 47:  # the kernel's own page of system calls
                    continue
                pagemap.seek(start // PAGE * 8)
                entries = array.array("Q", pagemap.read((end - start) // PAGE * 8))
                frames.update(e & FRAME for e in entries if e & PRESENT)
    return round(len(frames) * PAGE / 2**20, 2)


def family(pid):
    """A process and all that descend from it."""
    pids, todo = [], [pid]
    while todo:
        p = todo.pop()
        pids.append(p)
        for thread in pathlib.Path(f"/proc/{p}/task").iterdir():
            todo += [int(c) for c in (thread / "children").read_text().split()]
    return pids


def named(word, under):
    """The processes whose command line has both words in it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line and under.encode() in line:
            found.append(int(pid))
    return found


def group_memory(name):
    """MiB that a control group and those in it are charged for, without page cache that can be dropped: processes, tmpfs, kernel memory."""
    v1, v2 = pathlib.Path("/sys/fs/cgroup/memory") / name, pathlib.Path("/sys/fs/cgroup") / name
    group = v1 if v1.is_dir() else v2
    used = int((group / ("memory.usage_in_bytes" if group == v1 else "memory.current")).read_text())
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    prefix = "total_" if group == v1 else ""
    return (used - int(stat[prefix + "inactive_file"]) - int(stat[prefix + "active_file"])) / 2**20


def group_charge(name):
    """Bytes that a control group is charged with, whatever they are."""
    v1, v2 = pathlib.Path("/sys/fs/cgroup/memory") / name, pathlib.Path("/sys/fs/cgroup") / name
    return int((v1 / "memory.usage_in_bytes" if v1.is_dir() else v2 / "memory.current").read_text())


def available():
    """MiB that the kernel says are free for the taking. The whole machine's: what others do meanwhile is in it."""
    os.sync()
    return next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemAvailable")) / 1024
