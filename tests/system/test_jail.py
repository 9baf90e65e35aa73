# SPDX-License-Identifier: Apache-2.0
"""What a tool inside portena-jail can and cannot do: it runs as root of its own ids, and is tried as an attacker."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from daemon import BUILD, wait_for  # noqa: E402

BASE = 0x6F000000


@pytest.fixture
def jail(tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def run(script, *options, tool=("sh", "-c")):
        return subprocess.run([BUILD / "src/helpers/portena-jail", "--ids", str(BASE), "--rw", f"{work}=/job", *options, "--", *tool, script],
                              capture_output=True, text=True, timeout=300)

    run.work = work
    return run


def test_status_and_streams(jail):
    p = jail("echo out; echo err >&2; exit 7")
    assert (p.returncode, p.stdout, p.stderr) == (7, "out\n", "err\n")
    assert jail("kill -9 $$").returncode == 137
    assert jail("x", tool=("no-such-tool",)).returncode == 125


def test_ids(jail):
    p = jail("id -u; touch /job/root; touch /job/other; chown 1000:65535 /job/other; cat /proc/self/uid_map")
    assert p.stdout.split() == ["0", "0", str(BASE), "65536"]
    assert (jail.work / "root").stat().st_uid == BASE
    st = (jail.work / "other").stat()
    assert (st.st_uid, st.st_gid) == (BASE + 1000, BASE + 65535)


def test_sees_little(jail, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    p = jail(f"ls /; ls -d /etc/shadow /root /home {secret} /var/lib/dpkg /etc/apt/auth.conf.d /etc/ssh 2>/dev/null; ls /proc | grep -c '^[0-9]'")
    *names, processes = p.stdout.split()
    assert set(names) <= {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr", "var", "job"}
    assert int(processes) <= 6


def test_writes_only_its_directory(jail):
    for path in ("/x", "/usr/x", "/etc/x", "/var/x", "/dev/x", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/x"):
        assert jail(f"echo 1 > {path}").returncode != 0, path
    assert jail("echo 1 > /job/x && echo 1 > /tmp/x && echo 1 > /run/x").returncode == 0
    assert jail("echo 1 > /etc/hosts").returncode != 0


def test_no_network_unless_asked(jail):
    show = "cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' '"
    assert jail(show).stdout.split() == ["lo"]
    # Other tests make and remove links meanwhile.
    wait_for("it sees the links of the host", lambda: sorted(os.listdir("/sys/class/net")) == sorted(jail(show, "--net").stdout.split()))


@pytest.mark.parametrize("build", [False, True])
def test_capabilities(jail, build):
    p = jail("grep -E 'Cap(Eff|Bnd|Prm)|NoNewPrivs|Seccomp:' /proc/self/status", *(["--build"] if build else []))
    values = dict(line.split(":\t") for line in p.stdout.splitlines())
    allowed = 0x8000001F if not build else 0x8000001F | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 21
    for key in ("CapEff", "CapPrm", "CapBnd"):
        assert int(values[key], 16) & ~allowed == 0, (key, values[key])
    assert values["NoNewPrivs"] == "1" and values["Seccomp"] == "2"


SYSCALLS = """
import ctypes, errno, os, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
numbers = dict(x86_64=dict(ptrace=101, bpf=321, keyctl=250, io_uring_setup=425, userfaultfd=323, perf_event_open=298, kexec_load=246,
                           init_module=175, setns=308, open_by_handle_at=304, reboot=169, unshare=272, mount=165, chroot=161, fsopen=430,
                           clone3=435, umount2=166, swapon=167, process_vm_readv=310),
               aarch64=dict(ptrace=117, bpf=280, keyctl=219, io_uring_setup=425, userfaultfd=282, perf_event_open=241, kexec_load=104,
                            init_module=105, setns=268, open_by_handle_at=265, reboot=142, unshare=97, mount=40, chroot=51, fsopen=430,
                            clone3=435, umount2=39, swapon=224, process_vm_readv=270))[platform.machine()]
for name, number in numbers.items():
    ctypes.set_errno(0)
    r = libc.syscall(number, 0x10000000 if name == "unshare" else 0, 0, 0, 0, 0, 0)
    print(name, r, errno.errorcode.get(ctypes.get_errno(), 0))
import socket
for family in (socket.AF_VSOCK, socket.AF_PACKET, socket.AF_ALG):
    try:
        socket.socket(family, socket.SOCK_STREAM)
        print("family", int(family), "opened")
    except OSError:
        pass
"""


def test_system_calls(jail):
    p = jail(SYSCALLS, tool=("/usr/bin/python3", "-c"))
    assert p.returncode == 0, p.stderr
    for line in p.stdout.splitlines():
        name, result, err = line.split()
        assert err == ("ENOSYS" if name == "clone3" else "EPERM"), line


def test_build_may_mount_but_gain_nothing(jail):
    p = jail("mkdir -p /job/m && mount -t tmpfs x /job/m && echo mounted; unshare -U true || echo no-user-namespace;"
             "mount -o remount,rw /usr && touch /usr/escape; mount --bind /usr /job/m && touch /job/m/escape;"
             "mknod /job/sda b 8 0 && head -c1 /job/sda; cat /proc/1/root/etc/shadow", "--build")
    assert "mounted" in p.stdout and "no-user-namespace" in p.stdout and "root:" not in p.stdout
    assert not pathlib.Path("/usr/escape").exists() and not (jail.work / "sda").exists()


def test_private_input_is_readable_and_read_only(jail, tmp_path):
    file = tmp_path / "input"
    file.write_text("hello")
    file.chmod(0o600)
    os.chown(file, 1000, 1000)
    p = jail("cat /in; stat -c %u /in; echo x > /in; cat", "--ro", f"{file}=/in", "--input", file)
    assert p.stdout == "hello1000\nhello" and file.read_text() == "hello"


def test_rw_refuses_a_symlink(jail, tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    p = jail("true", "--rw", f"{tmp_path}/link=/etc2")
    assert p.returncode == 125 and os.stat("/etc").st_uid == 0


@pytest.mark.parametrize("options", [["--ids", "5"], ["--ids", "-1"], ["--ids", "4294967295"], ["--bogus", "1"], ["--rw", "x"], ["--ro", "/etc=../x"],
                                     ["--ro", "/etc=/a/../../x"], ["--file-max", "x"], ["--memory", "x"], ["--ids"]])
def test_wrong_options(options):
    p = subprocess.run([BUILD / "src/helpers/portena-jail", *options, "--", "true"], capture_output=True, text=True)
    assert p.returncode == 125 and p.stderr


def test_limits(jail):
    assert jail("head -c 3000 /dev/zero > /job/x", "--file-max", "2000").returncode != 0
    assert (jail.work / "x").stat().st_size == 2000
    assert int(jail("ulimit -c").stdout) == 0
    assert jail("ulimit -v", "--memory", str(1 << 30)).stdout.strip() == str(1 << 20)


def test_all_ends_together(jail):
    """The tool's end ends what it left behind; our end ends the tool."""
    mark = f"sleep 98{os.getpid() % 1000:03}"

    def running():
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if p.read_bytes().replace(b"\0", b" ").strip().decode() == mark:
                    found.append(p)
            except (OSError, UnicodeDecodeError):
                pass
        return found

    assert jail(f"setsid {mark} >/dev/null 2>&1 & exit 0").returncode == 0
    wait_for("what it left behind ends", lambda: not running())
    p = subprocess.Popen([BUILD / "src/helpers/portena-jail", "--ids", str(BASE), "--rw", f"{jail.work}=/job", "--", "sh", "-c", f"{mark}; true"])
    wait_for("it runs", running)
    p.send_signal(signal.SIGKILL)
    p.wait()
    wait_for("the tool ends with its jail", lambda: not running())


def test_speed(jail):
    """A tool costs little more than itself."""
    times = []
    for _ in range(10):
        start = time.monotonic()
        assert jail("true", tool=("true",)).returncode == 0
        times.append(time.monotonic() - start)
    print(f"a jail's median: {sorted(times)[5] * 1000:.0f} ms")
