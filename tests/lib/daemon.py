# SPDX-License-Identifier: Apache-2.0
"""A Portena of its own for a test: daemon (and gateway, if asked) out of the build directory, with its own state, run directory, control group
and ports, and uplink "none". Several can run side by side. `leftovers()` says what a machine still holds of it."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PORTENA_BUILD", TOP / "build"))
IMAGES = BUILD / "check" / "images"


def wait_for(what, condition, seconds=30.0, step=0.02):
    """Waits for a condition with a generous limit: a test never depends on how long something takes, only on that it happens."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {what}")
        time.sleep(step)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=120):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Daemon:
    def __init__(self, name="t", images=True, tune=False, base=None):
        self.base = pathlib.Path(base or tempfile.mkdtemp(prefix=f"pt-{name}-", dir="/var/tmp"))
        self.state, self.run = self.base / "state", self.base / "run"
        self.cgroup = re.sub("[^a-z0-9-]", "-", self.base.name.lower())[:40].strip("-")
        self.tune = tune
        self.process = self.gateway = None
        self.log = self.base / "portenad.log"
        self.base.chmod(0o711)
        self.state.mkdir(exist_ok=True)
        if images and IMAGES.is_dir():
            self.take_images()

    # Images are read-only and named by content, so daemons can share the files of one build.
    def take_images(self):
        for image in IMAGES.iterdir():
            there = self.state / "images" / image.name
            there.mkdir(parents=True, exist_ok=True)
            for file in image.iterdir():
                if not (there / file.name).exists():
                    try:
                        os.link(file, there / file.name)
                    except OSError:
                        shutil.copy2(file, there / file.name)

    @property
    def socket(self):
        return self.run / "api.sock"

    @property
    def env(self):
        return {**os.environ, "PORTENA_DATADIR": str(TOP), "PORTENA_SOCKET": str(self.socket), "HOME": str(self.base), "NO_COLOR": "1"}

    def start(self, *extra, wait=True):
        argv = [BUILD / "src/daemon/portenad", "--state", self.state, "--run", self.run, "--libexec", BUILD / "src/helpers", "--uplink", "none",
                "--gateway-user", "nobody", "--cgroup", self.cgroup, *([] if self.tune else ["--no-tune"]), *extra]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                            start_new_session=True)
        if wait:
            wait_for("portenad answers", self.answers, 60)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"portenad ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        try:
            return self.api("GET", "/healthz").status == 200
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process:
            if self.process.poll() is None:
                self.process.send_signal(how)
            code = self.process.wait(120)
            self.process = None
            return code

    def kill(self):
        return self.stop(signal.SIGKILL)

    def drain(self):
        return self.stop(signal.SIGINT)

    def start_gateway(self, port, vnc="none", user="nobody"):
        argv = [BUILD / "src/gateway/portena-gateway", "--api", self.socket, "--listen", f"127.0.0.1:{port}", "--vnc", vnc, "--state",
                self.state / "gateway", "--run", self.run / "gateway", "--web", TOP / "web/dist", "--user", user]
        with open(self.base / "gateway.log", "a") as log:
            self.gateway = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

        def listens():
            if self.gateway.poll() is not None:
                raise AssertionError((self.base / "gateway.log").read_text()[-3000:])
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_for("the gateway listens", listens, 60)

    def stop_gateway(self, how=signal.SIGTERM):
        if self.gateway:
            self.gateway.send_signal(how)
            self.gateway.wait(30)
            self.gateway = None

    def api(self, method, path, body=None, headers=None, timeout=120):
        connection = UnixConnection(self.socket, timeout)
        try:
            raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, raw, {**({"Content-Type": "application/json"} if raw is not None else {}), **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def cli(self, *args, input=None, check=True, timeout=180, binary=False):
        done = subprocess.run([str(BUILD / "src/cli/portena"), *map(str, args)], input=input, capture_output=True, env=self.env, timeout=timeout,
                              text=not binary, **({"stdin": subprocess.DEVNULL} if input is None else {}))
        if check and done.returncode:
            raise AssertionError(f"portena {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n"
                                 f"{self.log.read_text()[-2000:]}")
        return done

    def instance(self, name, space="home"):
        return self.api("GET", f"/v1/spaces/{space}/instances/{name}").json

    def leftovers(self):
        """Everything on the machine that carries this daemon's name: processes, mounts, loop devices, control groups, namespaces, links."""
        found = []
        base = str(self.base)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if pid != str(os.getpid()) and base.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append("process " + pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text() if pid == str(os.getpid()) else ""
                found += [f"mount {line}" for line in mounts.splitlines() if base in line]
            except OSError:
                pass
        loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout
        found += [f"loop {line}" for line in loops.splitlines() if base in line or self.base.name in line]
        for root, dirs, _ in os.walk("/sys/fs/cgroup"):
            for d in list(dirs):
                if d == self.cgroup:
                    inner = [x for x in os.listdir(os.path.join(root, d)) if os.path.isdir(os.path.join(root, d, x))]
                    found += [f"cgroup {root}/{d}/{x}" for x in inner]
                    dirs.remove(d)
        return found

    def destroy(self):
        """Ends everything and says what was left."""
        self.stop_gateway()
        if self.process is None and self.socket.parent.exists():
            self.start(wait=True)
        self.drain()
        wait_for("nothing is left", lambda: not self.leftovers() or None, 10) if self.leftovers() else None
        left = self.leftovers()
        shutil.rmtree(self.base, ignore_errors=True)
        assert not left, left
