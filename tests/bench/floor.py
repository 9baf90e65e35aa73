#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""floor.py ROOTFS.erofs ROUNDS: the floor under our figures: crun driven by a script that does the least with the same root file system. An
overlay on a reflinked ext4 volume, a network namespace with a veth pair, systemd; no API, no record, no user namespace, no seccomp, no limits.
Run in a mount namespace of its own (run.py does); prints JSON."""
import concurrent.futures
import ctypes
import fcntl
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from measure import figures, first_output, since

LIBC = ctypes.CDLL(None, use_errno=True)
FICLONE = 0x40049409
CAPS = [f"CAP_{c}" for c in ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
                             "AUDIT_WRITE NET_ADMIN SYS_ADMIN SYS_PTRACE IPC_OWNER LINUX_IMMUTABLE SYS_NICE SYS_BOOT SYS_TTY_CONFIG").split()]


def mount(source, target, kind, options="", flags=0):
    if LIBC.mount(str(source).encode(), str(target).encode(), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {source} {target}")


def umount(target):
    LIBC.umount2(str(target).encode(), 2)


def sh(*argv):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True).stdout.strip()


class Floor:
    def __init__(self, erofs):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="pt-floor-", dir="/var/tmp"))
        self.group = self.base.name
        self.lower, self.pool = self.base / "lower", self.base / "pool"
        self.lower.mkdir()
        self.pool.mkdir()
        sh("mount", "-t", "erofs", "-o", "loop,ro", erofs, self.lower)
        sh("truncate", "-s", "20G", self.base / "pool.xfs")
        sh("mkfs.xfs", "-q", "-m", "reflink=1", self.base / "pool.xfs")
        sh("mount", "-o", "loop", self.base / "pool.xfs", self.pool)
        sh("truncate", "-s", "10G", self.pool / "template")
        sh("mkfs.ext4", "-q", "-O", "^has_journal", self.pool / "template")
        if pathlib.Path("/sys/fs/cgroup/unified").is_dir():  # the runtime wants one layout or the other
            umount("/sys/fs/cgroup/unified")
        self.v2 = self.base / "cgroup2"
        self.v2.mkdir()
        mount("cgroup2", self.v2, "cgroup2")
        self.runtime = ["crun", "--root", str(self.base / "crun"), "--cgroup-manager=cgroupfs"]

    def config(self, name, args, system):
        tmpfs = [{"destination": d, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", m]} for d, m in
                 (("/run", "mode=755"), ("/run/lock", "mode=1777"), ("/tmp", "mode=1777"))]
        mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777"]},
                  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
                  {"destination": "/sys/fs/cgroup", "type": "cgroup2", "source": "cgroup2", "options": ["rw"]}]
        if system:
            mounts += [*tmpfs, {"destination": "/run/host/notify", "type": "bind", "source": str(self.base / f"{name}.notify"), "options": ["bind"]}]
        env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", *(["container=oci", "NOTIFY_SOCKET=/run/host/notify"] if system else [])]
        caps = {k: CAPS for k in ("bounding", "effective", "permitted", "inheritable")}
        return {"ociVersion": "1.0.0", "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": args, "env": env, "cwd": "/", "capabilities": caps},
                "root": {"path": str(self.base / name / "rootfs")}, "hostname": name, "mounts": mounts,
                "linux": {"cgroupsPath": f"/{self.group}/{name}", "namespaces": [{"type": t} for t in ("pid", "mount", "uts", "ipc", "cgroup", "network")]}}

    def launch(self, name, args=("/sbin/init",), system=True, out=subprocess.DEVNULL):
        """Returns when the first process runs; for a system, with the socket at which it says that it is up."""
        at, volume, leaf = self.base / name, self.pool / f"{name}.img", self.v2 / self.group / name
        (at / "rootfs").mkdir(parents=True)
        (at / "volume").mkdir()
        leaf.mkdir(parents=True)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(self.base / f"{name}.notify"))
        with open(self.pool / "template") as a, open(volume, "w") as b:
            fcntl.ioctl(b.fileno(), FICLONE, a.fileno())
        sh("mount", "-o", "loop", volume, at / "volume")
        for d in ("upper", "work"):
            (at / "volume" / d).mkdir()
        mount("overlay", at / "rootfs", "overlay", f"lowerdir={self.lower},upperdir={at}/volume/upper,workdir={at}/volume/work")
        (at / "config.json").write_text(json.dumps(self.config(name, list(args), system)))
        def join():
            (leaf / "cgroup.procs").write_text("0")
        subprocess.run([*self.runtime, "create", "--bundle", str(at), "--pid-file", str(at / "pid"), name], check=True, preexec_fn=join,
                       stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
        if system:
            pid = (at / "pid").read_text()
            sh("ip", "link", "add", f"pf{pid}", "type", "veth", "peer", "name", "eth0", "netns", pid)
        sh(*self.runtime, "start", name)
        return notify

    def ready(self, notify):
        notify.settimeout(60)
        while b"READY=1" not in notify.recv(4096):
            pass
        notify.close()

    def stop(self, name):
        fd = os.pidfd_open(int((self.base / name / "pid").read_text()))
        sh(*self.runtime, "kill", name, "37")  # RTMIN+3
        select.select([fd], [], [], 30)
        os.close(fd)

    def delete(self, name):
        at = self.base / name
        sh(*self.runtime, "delete", "--force", name)
        umount(at / "rootfs")
        sh("umount", at / "volume")
        (self.pool / f"{name}.img").unlink()
        subprocess.run(["find", self.v2 / self.group / name, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], capture_output=True)
        shutil.rmtree(at)
        (self.base / f"{name}.notify").unlink()

    def close(self):
        for at in self.base.glob("*/pid"):  # of a round that failed
            subprocess.run([*self.runtime, "delete", "--force", at.parent.name], capture_output=True)
        for root in [self.v2, *pathlib.Path("/sys/fs/cgroup").iterdir()]:
            subprocess.run(["find", root / self.group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], capture_output=True)
        for line in reversed(open("/proc/self/mounts").read().splitlines()):
            if line.split()[1].startswith(f"{self.base}/"):
                umount(line.split()[1])
        shutil.rmtree(self.base)


def clock(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return since(start), result


def main(erofs, rounds):
    f, out = Floor(erofs), {}
    launch, wait, stop, delete, app, execs, many, gone = [], [], [], [], [], [], [], []
    try:
        for n in range(rounds):
            start = time.perf_counter()
            notify = f.launch(f"s{n}")
            launch.append(since(start))
            f.ready(notify)
            wait.append(since(start))
            execs += [clock(sh, *f.runtime, "exec", f"s{n}", "true")[0] for _ in range(4)]
            stop.append(clock(f.stop, f"s{n}")[0])
            f.delete(f"s{n}")
            f.ready(f.launch(f"s{n}"))
            delete.append(clock(f.delete, f"s{n}")[0])
            app.append(output(f, f"a{n}"))
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            for n in range(max(3, rounds // 4)):
                names = [f"m{n}-{i}" for i in range(20)]
                took, sockets = clock(lambda: list(pool.map(f.launch, names)))
                many.append(took)
                for s in sockets:
                    f.ready(s)
                gone.append(clock(lambda: list(pool.map(f.delete, names)))[0])
        for key, values in (("launch_ms", launch), ("launch_wait_ms", wait), ("stop_ms", stop), ("delete_running_ms", delete),
                            ("app_first_output_ms", app), ("exec_true_ms", execs), ("launch_20_ms", many), ("delete_20_ms", gone)):
            out[key] = figures(values)
    finally:
        f.close()
    print(json.dumps(out))


def output(f, name):
    """`crun run` of an echo in a tree that is mounted already, to its first byte."""
    at = f.base / name
    (at / "rootfs").mkdir(parents=True)
    (at / "up").mkdir()
    mount("tmpfs", at / "up", "tmpfs")
    (at / "up/u").mkdir()
    (at / "up/w").mkdir()
    mount("overlay", at / "rootfs", "overlay", f"lowerdir={f.lower},upperdir={at}/up/u,workdir={at}/up/w")
    (at / "config.json").write_text(json.dumps(f.config(name, ["echo", "x"], False)))
    took = first_output([*f.runtime, "run", "--bundle", at, name])
    umount(at / "rootfs")
    umount(at / "up")
    shutil.rmtree(at)
    return took


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
