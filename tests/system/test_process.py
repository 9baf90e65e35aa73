# SPDX-License-Identifier: Apache-2.0
"""Instances of kind process: programs of every runtime, and the walls around them, with the real engine."""
import errno
import io
import os
import pathlib
import pty
import signal
import subprocess
import tarfile

import pytest
from daemon import BUILD, wait_for

HERE = pathlib.Path(__file__).parent
MODULE = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "hello from wasm\\n") (data (i32.const 96) "written") (data (i32.const 112) "too much is refused\\n")
  (func $say (param $fd i32) (param $at i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (call $say (i32.const 1) (i32.const 64) (i32.const 16))
    (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 96) (i32.const 7) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0)
          (i32.const 16)))
      (then (call $say (i32.load (i32.const 16)) (i32.const 64) (i32.const 16))))
    (if (i32.eq (memory.grow (i32.const 16000)) (i32.const -1)) (then (call $say (i32.const 1) (i32.const 112) (i32.const 20))))
    (drop (call $args (i32.const 20) (i32.const 24)))
    (call $exit (i32.add (i32.const 10) (i32.load (i32.const 20))))))"""
JAVA = """public class Probe {
  public static void main(String[] words) throws Exception {
    Runtime r = Runtime.getRuntime();
    System.out.println("hello from java " + r.maxMemory() / 1048576 + " " + r.availableProcessors() + " " + String.join(",", words));
    java.nio.file.Files.writeString(java.nio.file.Path.of("/data/written"), "x");
    try { new java.net.Socket("127.0.0.1", 80); } catch (java.io.IOException e) { System.out.println("no network"); }
    System.exit(3);
  }
}"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The directory of the programs, each of which a person would have on a laptop."""
    d = tmp_path_factory.mktemp("programs")
    for name, options in (("probe", []), ("probe-static", ["-static"])):
        subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", *options, "-o", d / name, HERE / "probe_process.c"], check=True)
    (d / "probe.wat").write_text(MODULE)
    subprocess.run(["wat2wasm", d / "probe.wat", "-o", d / "module.wasm"], check=True)
    (d / "Probe.java").write_text(JAVA)
    subprocess.run(["javac", "-d", d, d / "Probe.java"], check=True)
    subprocess.run(["jar", "--create", "--file", d / "probe.jar", "--main-class", "Probe", "-C", d, "Probe.class"], check=True)
    return d


def ended(d, name):
    """The instance, once it has ended, and what it had said."""
    wait_for(f"{name} ends", lambda: d.instance(name)["state"] in ("stopped", "failed"))
    return d.instance(name), d.cli("logs", name).stdout


def run(d, program, name, *words, options=(), **limits):
    limits = [x for k, v in limits.items() for x in (f"--{k}", v)]
    d.cli("launch", program, name, "--disk", "64MiB", *options, *limits, "--", *words)
    return ended(d, name)


def test_native(shared, programs, name):
    for n, program in ((name, "probe"), (name + "-s", "probe-static")):
        i, said = run(shared, programs / program, n, "one", "two words")
        assert (i["kind"], i["offline"], i["exit_code"]) == ("process", True, 7)
        assert said == "hello, 3: [one] [two words]\n"
    image = shared.api("GET", "/v1/images/program%2Fprobe").json
    assert (image["format"], image["runtime"], image["kinds"]) == ("program", "native", ["process"])
    again = shared.cli("launch", "program/probe", name + "-c", "--kind", "container", check=False)
    assert again.returncode == 1 and "it runs as process" in again.stderr


@pytest.mark.skipif(not os.access("/usr/bin/node", os.X_OK), reason="no Debian's Node.js here")
def test_webassembly(shared, programs, name):
    i, said = run(shared, programs / "module.wasm", name, "an argument", memory="256MiB")
    assert (i["exit_code"], i["exit_signal"]) == (12, 0), said
    assert said == "hello from wasm\ntoo much is refused\n"
    out = programs / "out"
    shared.cli("cp", f"{name}:/data/written", out)
    assert out.read_text() == "hello from wasm\n"
    small = shared.cli("launch", "program/module.wasm", name + "-small", "--memory", "16MiB", check=False)
    assert small.returncode == 1 and "need 64 MiB" in small.stderr, small.stderr


@pytest.mark.skipif(not os.access("/usr/bin/java", os.X_OK), reason="no Debian's Java here")
def test_java(shared, programs, name):
    i, said = run(shared, programs / "probe.jar", name, "a", "b c", memory="512MiB", cpu="1.5")
    assert i["exit_code"] == 3 and said == "hello from java 256 2 a,b c\nno network\n"


def test_walls(shared, programs, name):
    """What the program sees and may is what the jail shows and Landlock and the allow list let; nothing of the node, and nobody else's."""
    other = name + "-o"
    shared.cli("launch", programs / "probe", other, "--disk", "64MiB", "--", "stay")
    hidden = ["/etc/shadow", "/root", "/home", "/var", "/sys", "/run", "/boot", "/opt", "/mnt", str(shared.state), "/proc/1/mem", "/proc/kcore"]
    _, said = run(shared, programs / "probe", name, "walls", *hidden, "/etc/ld.so.cache", "/usr/bin", "/app/program")
    got = {what: int(n) for what, _, n in (l.rpartition(" ") for l in said.splitlines() if not l.startswith("hello"))}
    for path in ("/x", "/usr/x", "/usr/local/x", "/app/x", "/etc/x", "/portena/x", "/dev/x", "/proc/sys/kernel/core_pattern"):
        assert got.pop(f"write:{path}") in (errno.EROFS, errno.EACCES), path
    for path in ("/data/x", "/tmp/x", "/dev/shm/x", "/dev/null"):
        assert got.pop(f"write:{path}") == 0, path
    for path in hidden:
        assert got.pop(f"read:{path}") in (errno.ENOENT, errno.EACCES, errno.EPERM), path
    expected = {"chmod:/app": errno.EROFS, "execute:/data": errno.EACCES, "processes": 2, "clone": errno.ENOSYS, "clone3": errno.ENOSYS,
                "io_uring": errno.ENOSYS, "vmsplice": errno.ENOSYS, "inet": errno.EAFNOSUPPORT, "inet6": errno.EAFNOSUPPORT,
                "raw": errno.EAFNOSUPPORT, "netlink": errno.EAFNOSUPPORT, "audit": errno.EAFNOSUPPORT, "alg": errno.EAFNOSUPPORT,
                "mknod": errno.EACCES,
                **dict.fromkeys(("mount", "umount", "ptrace", "bpf", "unshare", "setns", "chroot", "keyctl", "perf", "userfaultfd", "setuid"), errno.EPERM),
                **dict.fromkeys(("chmod:/data/x", "unix", "read:/etc/ld.so.cache", "read:/usr/bin", "read:/app/program"), 0)}
    assert got == expected
    status = shared.cli("exec", other, "--", "cat", "/proc/self/status").stdout
    fields = dict(l.split(":\t", 1) for l in status.splitlines() if ":\t" in l)
    assert (fields["CapBnd"], fields["CapEff"], fields["NoNewPrivs"], fields["Seccomp"]) == ("0" * 16, "0" * 16, "1", "2")
    assert shared.cli("exec", other, "--", "/app/program", "walls", check=False).stdout.count(f"execute:/data {errno.EACCES}") == 1  # Landlock holds it too


def typed(d, text, *words):
    """What a command says to a person who types this once it has said something, until it ends."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(BUILD / "src/cli/portena", ["portena", *words], d.env)
    said = os.read(terminal, 4096)
    os.write(terminal, text)
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # the terminal's other side is closed
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_console_exec_and_files(shared, programs, name, tmp_path):
    shared.cli("launch", programs / "probe", name, "--disk", "64MiB", "--", "stay")
    wait_for("it speaks, by /dev/stdout", lambda: "here I stay" in shared.cli("logs", name).stdout)
    if len(pathlib.Path("/proc/swaps").read_text().splitlines()) > 1:
        shared.cli("hibernate", name)
        assert shared.instance(name)["state"] == "hibernated"
        shared.cli("resume", name)
    rows = shared.cli("ps", name).stdout
    assert "/app/program stay" in rows and "root" in rows
    done = shared.cli("exec", name, "--", "/app/program", "a", check=False)
    assert (done.returncode, done.stdout) == (7, "hello, 2: [a]\n")
    code, said = typed(shared, b"echo $(tty) $((6*7)); exit 4\r", "shell", name)
    assert code == 4 and "/dev/pts/1 42\r\n" in said, said
    absent = shared.cli("exec", name, "--", "no-such-program", check=False)
    assert absent.returncode == 127 and "no-such-program" in absent.stderr
    (tmp_path / "f").write_text("from outside")
    shared.cli("cp", tmp_path / "f", f"{name}:/data/f")
    assert shared.cli("exec", name, "--", "cat", "/data/f").stdout == "from outside"
    shared.cli("cp", f"{name}:/app/program", tmp_path / "program")
    assert (tmp_path / "program").read_bytes() == (programs / "probe").read_bytes()
    refused = shared.cli("cp", tmp_path / "f", f"{name}:/app/f", check=False)
    assert refused.returncode == 1
    shared.cli("stop", name, "--deadline", "600s")
    i = shared.instance(name)
    assert i["exit_code"] == 128 + signal.SIGTERM
    shared.cli("cp", f"{name}:/data/f", tmp_path / "g")
    assert (tmp_path / "g").read_text() == "from outside"


def test_a_link_in_place_of_its_data(shared, programs, name, tmp_path):
    """The directory that is bound into the jail by its path is looked at before."""
    shared.cli("launch", programs / "probe", name, "--disk", "64MiB", "--no-start", "--", "walls", "/data/shadow")
    files = f"/v1/spaces/home/instances/{name}/files?path="
    assert shared.api("DELETE", files + "/data&recursive=true").status < 300
    assert shared.api("PUT", files + "/data&type=symlink", b"/etc", headers={"Content-Type": "application/octet-stream"}).status < 300
    start = shared.cli("start", name, check=False)
    assert start.returncode == 1 and "/data" in start.stderr, start.stdout
    assert shared.api("DELETE", files + "/data").status < 300
    shared.cli("start", name)
    assert f"read:/data/shadow {errno.ENOENT}" in ended(shared, name)[1]


def test_network(shared, programs, name):
    shared.cli("launch", programs / "probe", name, "--disk", "64MiB", "--network", "--", "serve")
    i = shared.instance(name)
    assert not i["offline"]
    wait_for("it listens", lambda: "listen 0" in shared.cli("logs", name).stdout)
    client, said = run(shared, "program/probe", name + "-c", "get", i["address"], options=["--network"])
    assert (client["exit_code"], said) == (0, "got hello\n")
    client, said = run(shared, "program/probe", name + "-o", "get", i["address"])
    assert (client["exit_code"], said) == (1, "")
    assert shared.cli("exec", name, "--", "cat", "/etc/resolv.conf").stdout.count("nameserver") == 1
    # what runs without a network gets one at its next start
    shared.cli("launch", "program/probe", name + "-l", "--disk", "64MiB", "--user", "user", "--", "stay")
    shared.cli("set", name + "-l", "offline=false")
    assert shared.instance(name + "-l")["error"] is None
    assert shared.cli("exec", name + "-l", "--", "ls", "/proc/sys/net/ipv4/conf").stdout.split() == ["all", "default", "lo"]
    shared.cli("restart", name + "-l")
    assert "eth0" in shared.cli("exec", name + "-l", "--", "ls", "/proc/sys/net/ipv4/conf").stdout
    assert shared.cli("exec", name + "-l", "--", "stat", "-c", "%U", "/data").stdout == "user\n"
    # a published port asks for a network too
    post = {"name": name + "-p", "image": "program/probe", "disk": "64MiB", "start": False, "ports": [{"listen": 17000, "to": 7000}]}
    refused = shared.api("POST", "/v1/spaces/home/instances?wait=30", {**post, "offline": True})
    assert refused.status == 400 and "offline=false" in refused.body.decode(), refused.body


def test_limits(shared, programs, name):
    i, said = run(shared, programs / "probe", name, "eat", memory="32MiB")
    assert i["exit_code"] == 128 + signal.SIGKILL and "ended by signal 9" in said
    i, said = run(shared, "program/probe", name + "-p", "breed", pids="20")
    assert i["exit_code"] == 7 or "children 18" in said, said


def test_restart(shared, programs, name):
    shared.cli("launch", programs / "probe", name, "--disk", "64MiB", "--restart", "on-failure", "--", "again", "2")
    wait_for("it is started again", lambda: "at last" in shared.cli("logs", name).stdout)
    wait_for(lambda: f"that is said: {shared.instance(name)}", lambda: shared.instance(name)["state"] == "running" and shared.instance(name)["restarts"] == 1)


def test_survives_the_daemon(own, programs):
    own.cli("launch", programs / "probe", "one", "--disk", "64MiB", "--", "stay")
    before = own.instance("one")
    own.kill()
    assert pathlib.Path(f"/proc/{before['pid']}").exists()
    own.start()
    wait_for("it is adopted", lambda: own.instance("one")["state"] == "running")
    after = own.instance("one")
    assert (after["pid"], after["restarts"]) == (before["pid"], 0)
    assert "here I stay" in own.cli("logs", "one").stdout
    own.cli("delete", "one", "--force")
    own.is_clean()


def archive(path, *members):
    with tarfile.open(path, "w") as t:
        for name, data, link in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), 0o4755, 1234
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            t.addfile(info, io.BytesIO(data))
    return path


def test_images(shared, programs, name, tmp_path):
    """Directories and tarballs; and what is no program, or a hostile one, is refused with a reason."""
    probe = (programs / "probe").read_bytes()
    (tmp_path / "tree" / "bin").mkdir(parents=True)
    (tmp_path / "tree" / "bin" / "probe").write_bytes(probe)
    (tmp_path / "tree" / "notes").write_text("not a program")
    shared.cli("image", "import", tmp_path / "tree", f"{name}-tree", "--main", "bin/probe")
    assert run(shared, f"{name}-tree", name)[1] == "hello, 1:\n"
    one = archive(tmp_path / "one.tar", ("probe", probe, None), ("notes", b"x", None))
    shared.cli("image", "import", one, f"{name}-tar", "--format", "program")
    shared.cli("launch", f"{name}-tar", f"{name}-t", "--disk", "64MiB", "--", "stay")
    assert shared.cli("exec", f"{name}-t", "--", "stat", "-c", "%u %a", "/app/probe").stdout == "0 755\n"
    foreign = bytearray(probe[:4096])
    foreign[18:20] = b"\xf7\0"
    bad = {
        "text": (b"hello\n", "neither a program nor a tarball"),
        "component.wasm": (b"\0asm\x0d\0\1\0" + bytes(64), "component"),
        "foreign": (bytes(foreign), "another processor"),
        "link.tar": (archive(tmp_path / "l", ("probe", b"", "/usr/bin/env")).read_bytes(), "no program at the top"),
        "out.tar": (archive(tmp_path / "o", ("../probe", probe, None)).read_bytes(), "outside the root"),
        "two.tar": (archive(tmp_path / "w", ("a", probe, None), ("b", probe, None)).read_bytes(), "2 programs"),
    }
    for file, (data, why) in bad.items():
        (tmp_path / file).write_bytes(data)
        done = shared.cli("image", "import", tmp_path / file, f"{name}-bad", "--format", "program", check=False)
        assert done.returncode == 1 and why in done.stderr, (file, done.stderr)
    inside = shared.cli("image", "import", one, f"{name}-bad", "--format", "program", "--main", "../../etc/passwd", check=False)
    assert inside.returncode == 1, inside.stdout
    assert os.listdir(shared.state / "uploads") == []
    cut = shared.cli("launch", tmp_path / "text", f"{name}-x", check=False)
    assert cut.returncode == 2 and "no program" in cut.stderr
