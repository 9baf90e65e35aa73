# SPDX-License-Identifier: Apache-2.0
"""Images of another architecture: containers under QEMU's user emulator, machines under its whole system's, with the real engines. The
images are built by tests/lib/images.py, as a user would build them."""
import pathlib
import platform
import shutil
import subprocess

import pytest
from daemon import Daemon, wait_for
from oci import directory, entry, layout, tar

ARCH = "aarch64"
REGISTER = "/proc/sys/fs/binfmt_misc/register"
PROGRAM = """#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>
int main(int argc, char **argv)
{
  struct utsname u;
  uname(&u);
  printf("%s %s %d\\n", u.machine, argv[0], argc);
  fflush(stdout);
  if (argc > 1)
    pause();
  return 42;
}"""

pytestmark = [pytest.mark.skipif(platform.machine() == ARCH, reason="it is this machine's own"),
              pytest.mark.skipif(not shutil.which("qemu-aarch64-static"), reason="qemu-user-static is not installed")]


def of_the_host():
    d = pathlib.Path("/proc/sys/fs/binfmt_misc")
    return {f.name: f.read_text() for f in d.iterdir() if f.name != "register"} if d.is_dir() else {}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """An OCI layout with one static program of that architecture."""
    d = tmp_path_factory.mktemp("tiny")
    (d / "p.c").write_text(PROGRAM)
    subprocess.run(["aarch64-linux-gnu-gcc", "-static", "-Os", "-s", "-o", d / "p", d / "p.c"], check=True)
    files = [directory("bin"), entry("bin/tell", (d / "p").read_bytes(), mode=0o755)]
    layout(d / "layout", [tar(files)], {"Cmd": ["/bin/tell"]}, architecture="arm64")
    return d / "layout"


def test_container(own):
    """A whole system: its programs, its init, and that nothing of it is seen on the host or in the image."""
    before = of_the_host()
    own.cli("launch", "debian", "c", "--arch", ARCH, "--wait", "--timeout", "600s")
    i = own.instance("c")
    assert (i["kind"], i["arch"], i["image_name"]) == ("container", ARCH, f"debian-{ARCH}")

    def sh(script, check=True):
        return own.cli("exec", "c", "--", "sh", "-c", script, check=check).stdout.strip()
    assert sh("uname -m; dpkg --print-architecture; systemctl is-system-running --wait").split() == [ARCH, "arm64", "running"]
    assert sh("su -s /bin/sh nobody -c 'id -un'") == "nobody"
    assert sh("ls -d /usr/bin/qemu* /.native /lib64 /usr/lib/x86_64-linux-gnu; grep -rl native /etc/apt", check=False) == ""
    # A set-id program is its file's user's, as it would be without an emulator.
    assert sh("cp /usr/bin/id /usr/local/bin/id; chmod 4755 /usr/local/bin/id; su -s /bin/sh nobody -c '/usr/local/bin/id -u'") == "0"
    commands = [p["command"] for p in own.api("GET", "/v1/spaces/home/instances/c/processes").json["items"]]
    assert "/sbin/init" in commands and not any("qemu" in c for c in commands)

    # A rule that its root writes down is its own.
    sh(f"printf ':mine:M::MINE::/bin/true:' > {REGISTER}; printf MINE > /root/x; chmod +x /root/x; /root/x")
    assert of_the_host() == before
    own.kill()
    own.start()
    assert sh("/root/x; uname -m") == ARCH
    own.cli("restart", "c")
    wait_for("it is back", lambda: own.instance("c")["ready"], 600)
    assert sh("ls /proc/sys/fs/binfmt_misc").split() == ["qemu-aarch64", "register", "status"]
    own.cli("delete", "c", "--force")
    assert of_the_host() == before


def test_app(shared, tiny, name):
    shared.cli("image", "import", f"oci:{tiny}", f"tiny-{ARCH}", "--arch", "arm64")
    image = shared.api("GET", f"/v1/images/tiny?arch={ARCH}").json
    assert (image["arch"], image["names"]) == (ARCH, [f"tiny-{ARCH}"])
    shared.cli("launch", "tiny", name, "--arch", "arm64", check=False)
    wait_for("it ends", lambda: shared.instance(name)["state"] in ("stopped", "failed"))
    assert (shared.instance(name)["exit_code"], shared.cli("logs", name).stdout) == (42, f"{ARCH} /bin/tell 1\n")
    shared.cli("launch", f"tiny-{ARCH}", name + "-2", "--", "/bin/tell", "wait")
    done = shared.cli("exec", name + "-2", "--", "/bin/tell", check=False)
    assert (done.returncode, done.stdout) == (42, f"{ARCH} /bin/tell 1\n")


@pytest.mark.skipif(not shutil.which("qemu-system-aarch64"), reason="qemu-system-arm is not installed")
def test_machine(shared, name):
    """The whole computer emulated; then the same volume as a container."""
    shared.cli("launch", "debian", name, "--arch", ARCH, "--kind", "machine", "--wait", "--timeout", "600s", timeout=700)
    said = shared.cli("exec", name, "--", "sh", "-c", "uname -rm; echo kept > /root/file; sync").stdout
    assert said.endswith("arm64 aarch64\n")
    # It cannot be given more while it runs, but sleeps as any machine.
    answer = shared.api("PATCH", f"/v1/spaces/home/instances/{name}", {"cpu": 9, "memory": 4 << 30}).json
    assert answer["applies"] == {"cpu": "at the next start", "memory": "at the next start"}
    shared.cli("set", name, "cpu=0", "memory=0")
    shared.cli("hibernate", name)
    shared.cli("resume", name)
    assert shared.cli("exec", name, "--", "cat", "/root/file").stdout == "kept\n"
    shared.cli("stop", name)
    shared.cli("set", name, "kind=container")
    shared.cli("start", name, "--wait")
    assert shared.cli("exec", name, "--", "sh", "-c", "uname -m; cat /root/file").stdout == f"{ARCH}\nkept\n"


def test_refusals(shared, name):
    for arch, code, text, hint in (("vax", 400, "arch: vax", "portena doctor"), ("s390x", 404, "no image debian for s390x", "build debian --arch s390x")):
        answer = shared.api("POST", "/v1/spaces/home/instances", {"name": name, "image": "debian", "arch": arch})
        assert answer.status == code and text in answer.json["detail"] and hint in answer.json["hint"], answer.body
    answer = shared.api("POST", "/v1/spaces/home/instances", {"name": name, "image": f"debian-{ARCH}", "arch": platform.machine()})
    assert answer.status == 404 and f"debian-{ARCH} for" in answer.json["detail"]
    done = shared.cli("image", "build", "debian", "--arch", "vax", check=False)
    assert done.returncode and "vax is no architecture" in done.stderr and "riscv64" in done.stderr


def test_without_emulator():
    """A server that has none says what to install, and makes nothing."""
    hide = """for f in /usr/bin/qemu-*; do case $f in *system* | *img | *io | *nbd | *daemon | *pr-helper) ;;
                *) mount --bind /dev/null "$f" ;; esac; done; exec "$@\""""
    d = Daemon("bare", prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"]).start()
    try:
        for args in (("launch", "debian", "c", "--arch", ARCH), ("image", "build", "debian", "--arch", ARCH)):
            done = d.cli(*args, check=False)
            assert done.returncode and "need an emulator" in done.stderr and "apt install" in done.stderr and "qemu-user-static" in done.stderr
        items = {i["check"]: i for i in d.api("GET", "/v1/doctor").json["items"]}
        assert items["architectures"]["state"] == "warn" and "qemu-user-static" in items["architectures"]["hint"]
        assert d.api("GET", "/v1/instances").json["items"] == []
    finally:
        d.destroy()
