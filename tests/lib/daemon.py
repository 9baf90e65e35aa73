# SPDX-License-Identifier: Apache-2.0
"""A Portena of its own for a test: daemon (and gateway, if asked) out of the build directory, with its own state, run directory, control group
and ports, and uplink "none". Several can run side by side. `leftovers()` says what a machine still holds of it."""
import contextlib
import http.client
import json
import os
import pathlib
import random
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


def wait_for(what, condition, seconds=120.0, step=0.02):
    """Waits for a condition with a generous limit: a test never depends on how long something takes, only on that it happens."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {what() if callable(what) else what}")
        time.sleep(step)


def free_port(given=set()):
    """Below those that the kernel gives to whoever asks for any, so that nobody gets it between now and its use; never the same twice."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            if port not in given:
                given.add(port)
                return port


def names_in(directory):
    """What is in a directory; nothing where it has just gone."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=300):
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
    def __init__(self, name="t", images=True, tune=False, base=None, uplink="none", prefix=(), templates="off"):
        self.base = pathlib.Path(base or tempfile.mkdtemp(prefix=f"pt-{name}-", dir="/var/tmp"))
        self.state, self.run = self.base / "state", self.base / "run"
        self.cgroup = re.sub("[^a-z0-9-]", "-", self.base.name.lower())[:40].strip("-")
        self.tune, self.uplink, self.prefix, self.templates = tune, uplink, prefix, templates
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
        argv = [*self.prefix, BUILD / "src/daemon/portenad", "--state", self.state, "--run", self.run, "--libexec", BUILD / "src/helpers", "--uplink", self.uplink,
                "--gateway-user", "nobody", "--templates", self.templates, "--cgroup", self.cgroup, *([] if self.tune else ["--no-tune"]), *extra]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                            start_new_session=True)
        if wait:
            wait_for("portenad answers", self.answers)
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
            code = self.process.wait(300)
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
        wait_for("the gateway listens", listens)

    def stop_gateway(self, how=signal.SIGTERM):
        if self.gateway:
            self.gateway.send_signal(how)
            self.gateway.wait(300)
            self.gateway = None

    def api(self, method, path, body=None, headers=None, timeout=300):
        connection = UnixConnection(self.socket, timeout)
        try:
            raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, raw, {**({"Content-Type": "application/json"} if raw is not None else {}), **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def cli(self, *args, input=None, check=True, timeout=600, binary=False):
        done = subprocess.run([str(BUILD / "src/cli/portena"), *map(str, args)], input=input, capture_output=True, env=self.env, timeout=timeout,
                              text=not binary, **({"stdin": subprocess.DEVNULL} if input is None else {}))
        if check and done.returncode:
            raise AssertionError(f"portena {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n"
                                 f"{self.log.read_text()[-2000:]}")
        return done

    def instance(self, name, space="home"):
        return self.api("GET", f"/v1/spaces/{space}/instances/{name}").json

    def first_login(self, chosen):
        """Changes the password that the first user was given, as a person has to, and returns both."""
        name, password = (self.state / "first-login").read_text().split(None, 1)
        login = self.api("POST", "/v1/session", {"user": name, "password": password.strip(), "token": True}).json["token"]
        changed = self.api("PATCH", f"/v1/users/{name}", {"password": chosen, "current_password": password.strip()},
                           headers={"Authorization": f"Bearer {login}"})
        assert changed.status == 200, changed.body
        return name, chosen

    def kill_all(self):
        """All that is this daemon's but itself ends, at once; also what one of them had begun a moment before its end."""
        def none_left():
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left
        wait_for("all have ended", none_left)

    def processes(self):
        """Whatever runs with this daemon's directory in its arguments or in its control group, but the daemon and its gateway."""
        own = {os.getpid()} | {p.pid for p in (self.process, self.gateway) if p}
        found = {}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            proc = pathlib.Path(f"/proc/{pid}")
            try:
                argv = (proc / "cmdline").read_bytes()
                state = (proc / "stat").read_text().rpartition(")")[2].split()
                if pid in own or state[0] == "Z" or int(state[1]) == (self.gateway.pid if self.gateway else -1):
                    continue
                if str(self.base).encode() in argv or f"/{self.cgroup}/" in (proc / "cgroup").read_text():
                    found[pid] = argv.replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                pass
        return found

    def leftovers(self):
        """Everything on the machine that is this daemon's and not of the daemon itself: once no instance is left, there is nothing.
        While it runs, its own view of RUN and of the mounts is looked at too; it may keep its pool and images mounted then."""
        base, running = str(self.base), self.process and self.process.poll() is None
        found = [f"process {pid} {text}" for pid, text in self.processes().items()]
        view = pathlib.Path(f"/proc/{self.process.pid}/root") if running else pathlib.Path("/")
        mountinfo = f"/proc/{self.process.pid if running else 'self'}/mountinfo"
        kept = tuple(f"{self.run}/{x}" for x in ("pool", "cgroup2", "mnt/img/", "mnt/crun")) if running else ()
        mounts = [line.split()[4] for line in pathlib.Path(mountinfo).read_text().splitlines()]
        found += [f"mount {m}" for m in mounts if m.startswith(base) and m != str(self.state) and not m.startswith(kept or "\0")]
        loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True).stdout
        mine = re.compile(r"/(pool\.xfs|images/[0-9a-f]{64}/rootfs\.erofs)\)")
        found += [f"loop {line}" for line in loops.splitlines() if base in line and not (running and mine.search(line))]
        for where in ("monitor", "net", "crun", "mnt/root", "mnt/half", "mnt/vol", "mnt/files", "pool/volumes", "probe"):
            there = names_in(view / str(self.run / where).lstrip("/"))
            found += [f"file {where}/{x}" for x in there if (where, x) != ("crun", ".cache")]  # of newer ones: compiled filters, nobody's own
        found += [f"file state/{p.name}/{x}" for p in (self.state / "instances", self.state / "pool") for x in names_in(p)
                  if not (p.name == "instances" and self.has_record(x))]
        for root, dirs, _ in os.walk("/sys/fs/cgroup"):
            if self.cgroup in dirs:
                dirs.remove(self.cgroup)
                group = os.path.join(root, self.cgroup)
                found += [f"cgroup {group}/{x}" for x in names_in(group) if os.path.isdir(os.path.join(group, x))]
                found += [] if running or not os.path.isdir(group) else [f"cgroup {group}"]
        return found

    def has_record(self, id):
        """Console histories of instances that still exist stay, also when the daemon has stopped them."""
        return not (self.process and self.process.poll() is None) or any(i["id"] == id for i in self.api("GET", "/v1/instances").json["items"])

    def is_clean(self, seconds=120):
        """Networks go a moment after the last instance of their space."""
        wait_for(lambda: "left: " + "\n  ".join(self.leftovers()), lambda: not self.leftovers(), seconds, 0.05)

    def is_clean_but(self, *names, seconds=120):
        """Nothing of these stopped instances is left on the machine but their volumes and histories."""
        ids = [self.instance(n)["id"] for n in names]
        volumes = [self.instance(n)["volume"] for n in names]

        def left():
            return [x for x in self.leftovers() if any(i in x for i in ids) or any(v in x and not x.startswith("file pool/volumes/") for v in volumes)]
        wait_for(lambda: "left: " + "\n  ".join(left()), lambda: not left(), seconds, 0.05)

    def destroy(self):
        """Ends everything and says what was left."""
        self.stop_gateway()
        try:
            if self.process and self.process.poll() is not None:
                self.process = None
            if self.process is None:
                self.start()
            assert self.drain() == 0, self.log.read_text()[-3000:]
            self.is_clean()
        finally:
            self.kill()
            self.kill_all()
            shutil.rmtree(self.base, ignore_errors=True)
