# SPDX-License-Identifier: Apache-2.0
"""An API server on a Unix socket that answers as docs/API.md says, for tests of the command line.

It keeps its objects in memory, runs `exec` on this machine and hands streams over as src/base/wire.h says. What a test wants to
see go wrong it asks for by name: see Fake.faults.
"""
import base64
import datetime
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

import fake_nics
import fake_volumes
from fake_volumes import route
from fake_stream import CONTROL, Refusal, Server, TlsServer, bridge, frame, read_frame, run_exec, send

FIXED = "2026-01-31T08:09:10.123Z"
MIB, GIB = 1 << 20, 1 << 30


def ago(seconds):
    """A time that is as long ago whenever it is told: told() writes it, so that a slow machine sees the same ages."""
    return f"ago {seconds}"


def told(text):
    now = datetime.datetime.now(datetime.timezone.utc)
    return re.sub(r"\bago (\d+)", lambda m: (now - datetime.timedelta(seconds=int(m[1]))).strftime("%Y-%m-%dT%H:%M:%S.000Z"), text)


def instance(name, **more):
    o = {"name": name, "space": "home", "id": "01k0" + name.ljust(22, "0")[:22], "description": None, "kind": "container", "init": "system",
         "model": "micro", "accel": "auto", "arch": "x86_64", "firmware": "uefi", "secure_boot": False, "tpm": False, "hardware": "virtio",
         "iso": None, "iso_name": None, "boot_iso": False, "offline": False,
         "image": "sha256:" + "3f" * 32, "image_name": "debian", "volume": "01k1" + name.ljust(22, "0")[:22], "power": "stopped",
         "state": "stopped", "ready": False, "agent": False, "step": None, "error": None, "cpu": 0, "memory": 0, "pids": 8192, "disk": 20 * GIB,
         "io_read": 0, "io_write": 0, "net_in": 0, "net_out": 0, "priority": 100, "command": None, "env": {}, "cwd": None, "user": None, "restart": "no",
         "autostart": True, "address": "10.83.0.7", "address6": "fd83::7", "mac": "02:00:00:00:00:07", "nics": [], "ports": [], "disks": [], "desktop": False,
         "node": "server", "pid": 0, "started": None, "stopped": None, "exit_code": -1, "exit_signal": 0, "restarts": 0, "usage": None,
         "created": FIXED, "created_by": "anna", "generation": 1, "revision": 7}
    o.update(more)
    return o


def running(name, **more):
    usage = {"cpu": 0.003, "memory": 212 * MIB, "disk": int(1.1 * GIB), "rx": 0, "tx": 0}
    return instance(name, **{"state": "running", "power": "running", "ready": True, "started": ago(4 * 60 + 5), "pid": 4711, "usage": usage, **more})


class Fake:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="portena-fake-")
        self.socket = os.path.join(self.dir, "api.sock")
        self.requests = []
        self.faults = set()
        self.tls = None
        self.reset()
        self.server = Server(self.socket, Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def serve_tls(self):
        """The gateway's part: the same API over HTTPS, streams over WebSocket. The address."""
        self.certificate(self.dir + "/tls.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.dir + "/tls.pem")
        self.tls = TlsServer(("127.0.0.1", 0), Handler)
        self.tls.fake = self
        self.tls.context = context
        threading.Thread(target=self.tls.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return "https://localhost:%d" % self.tls.server_address[1]

    @staticmethod
    def certificate(path):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path + ".key", "-out", path],
                       check=True, capture_output=True)
        with open(path, "a") as f:
            f.write(open(path + ".key").read())

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        if self.tls:
            self.tls.shutdown()
            self.tls.server_close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def reset(self):
        self.data_volumes = {}
        self.requests.clear()
        self.faults.clear()
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/hostname").write_text("studio\n")
        self.instances = {("home", i["name"]): i for i in (
            running("studio", image_name="desktop", desktop=True, address="10.83.0.12", memory=2 * GIB, cpu=2,
                    ports=[{"protocol": "tcp", "listen": 8080, "to": 80, "address": None}]),
            instance("db", error=None, stopped=FIXED, exit_code=1, description="Orders"),
            running("web", init="app", image_name="alpine", command=["sh", "-c", "echo hi"], address="10.83.0.9", ready=False))}
        self.spaces = {"home": {"name": "home", "id": "01k2", "description": None, "subnet": "10.83.0.0/24", "prefix6": "fd83::/64",
                                "members": {"anna": "owner", "ben": "viewer"},
                                "quota": {"instances": 10, "cpu": 0, "memory": 8 * GIB, "disk": 100 * GIB},
                                "used": {"instances": 3, "cpu": 2.5, "memory": 6 * GIB, "disk": 60 * GIB}, "role": "owner", "created": FIXED,
                                "revision": 3}}
        self.images = [self.image("desktop", 620 * MIB, desktop=True, used_by=["home/studio"]), self.image("debian", 180 * MIB, used_by=["home/db"]),
                       self.image("alpine", 8 * MIB, init="app")]
        self.recipes = [{"name": "debian", "description": "Debian with systemd", "image": self.images[1]["digest"]},
                        {"name": "desktop", "description": "XFCE, Firefox, files, terminal", "image": self.images[0]["digest"]},
                        {"name": "office", "description": "The desktop with LibreOffice", "image": None},
                        {"name": "kernel", "description": "What machines start from", "image": None}]
        self.users = {"anna": {"name": "anna", "full_name": "Anna Ahl", "admin": True, "disabled": False, "totp": True, "must_change": False,
                               "created": FIXED, "last_login": FIXED, "revision": 1}}
        self.operations = {}

    @property
    def root(self):
        return pathlib.Path(self.dir) / "root"

    @staticmethod
    def image(name, size, **more):
        digest = "sha256:" + (name.encode().hex() * 16)[:64]
        return {"digest": digest, "names": [name], "source": "recipe:" + name, "arch": "x86_64", "os": "Debian GNU/Linux 12",
                "description": "The " + name, "size": size, "created": ago(3 * 86400 + 60), "init": "system", "desktop": False,
                "format": "rootfs", "runtime": "native", "firmware": "uefi", "disk": 0, "kinds": ["container", "machine"], "used_by": [], **more}

    @classmethod
    def other_images(cls):
        return [cls.image("setup", 900 * MIB, format="iso", kinds=["machine"], desktop=True, os=None, source="file:setup.iso"),
                cls.image("office-pc", 1400 * MIB, format="disk", kinds=["machine"], firmware="bios", disk=32 * GIB, os=None, source="file:office.vmdk"),
                cls.image("converter", 2 * MIB, format="program", runtime="wasm", kinds=["process"], init="app", os=None, source="file:converter.wasm")]

    def operation(self, kind, target, seconds=0.0, total=0, fails=None, then=None):
        op = {"id": "01k3op%020d" % len(self.operations), "kind": kind, "target": target, "space": "home", "user": "anna", "state": "running",
              "progress": 0, "done": 0, "total": total, "unit": "bytes" if total else None, "step": "begin", "created": ago(90), "ended": None,
              "error": None, "result": None}
        self.operations[op["id"]] = op

        world = self.operations

        def run():
            steps = ["fetch packages", "unpack", "make the file system"]
            for n, step in enumerate(steps):
                op.update(step=step, progress=n * 1000 // len(steps), done=total * n // len(steps))
                time.sleep(seconds / len(steps))
            if world is not self.operations:
                return  # it is of an earlier test
            if fails:
                op.update(state="failed", error=fails)
            else:
                op.update(state="done", progress=1000, done=total)
                if then:
                    then(op)
            op["ended"] = FIXED

        if seconds:
            threading.Thread(target=run, daemon=True).start()
        else:
            run()
        return op


class Handler(fake_volumes.Volumes, fake_nics.Nics, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    # --- plumbing ---

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while True:
                size = int(self.rfile.readline(), 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, obj=None, headers=(), raw=None, kind="application/json"):
        data = raw if raw is not None else b"" if obj is None else told(json.dumps(obj, ensure_ascii=False)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")  # as it will: a client that reuses the connection would race with its end
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if data:
            self.wfile.write(data)

    def handle_one(self):
        self.fake = self.server.fake
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.data = self.body()
        self.fake.requests.append((self.command, self.path, self.data))
        self.close_connection = True
        if "garbage" in self.fake.faults:
            self.wfile.write(b"\x1b]0;pwned\x07 what?\r\n\r\n")
            return
        looks = sum(path.startswith("/v1/operations/") for _, path, _ in self.fake.requests)
        if "cut" in self.fake.faults and self.command != "GET" or "restarts" in self.fake.faults and 0 < looks < 4:
            return  # the connection closes without an answer
        try:
            if isinstance(self.connection, ssl.SSLSocket) and self.path != "/v1/session" or "token" in self.fake.faults:
                if self.headers.get("Authorization") != "Bearer pt_id_secret":
                    raise Refusal("unauthenticated", "who are you?", "portena login")
            if self.headers.get("Upgrade") == "websocket":
                self.websocket(url.path)
                return
            handlers = [h for h in (getattr(type(self), n) for n in dir(type(self))) if hasattr(h, "route") and h.route[0] == self.command]
            for h in sorted(handlers, key=lambda h: h.route[1].groups):  # "/images/recipes" before "/images/{ref}"
                found = h.route[1].match(url.path)
                if found:
                    h(self, **{k: urllib.parse.unquote(v) for k, v in found.groupdict().items()})
                    return
            raise Refusal("not-found", "there is nothing at " + url.path)
        except Refusal as r:
            self.answer(r.status, r.body, kind="application/problem+json")

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_one

    def json(self):
        return json.loads(self.data or b"{}")

    def find(self, space, name):
        i = self.fake.instances.get((space, name))
        if not i:
            raise Refusal("not-found", f"space {space} has no instance called {name}", "portena list")
        return i

    def find_space(self, name):
        if name not in self.fake.spaces:
            raise Refusal("not-found", f"there is no space called {name}", "portena space list")
        return self.fake.spaces[name]

    # --- server ---

    @route("GET", "/v1")
    def r_root(self):
        self.answer(200, {"name": "server", "version": "0.1.0", "api": 1})

    @route("GET", "/v1/session")
    def r_session(self):
        if "logged-out" in self.fake.faults:
            raise Refusal("unauthenticated", "who are you?", "portena login")
        self.answer(200, {"user": self.fake.users["anna"], "spaces": [{"name": s, "role": "owner"} for s in self.fake.spaces],
                          "server": {"name": "server", "version": "0.1.0"}})

    @route("POST", "/v1/session")
    def r_login(self):
        b = self.json()
        if b.get("password") != "correct horse":
            raise Refusal("unauthenticated", "that name and password do not belong together")
        if "code" not in b and "totp" in self.fake.faults:
            raise Refusal("unauthenticated", "a code is wanted", code_required=True)
        self.answer(201, {"token": "pt_id_secret", "expires": FIXED, "user": self.fake.users["anna"]})

    @route("DELETE", "/v1/session")
    def r_logout(self):
        self.answer(204)

    @route("GET", "/v1/node")
    def r_node(self):
        self.answer(200, {"name": "server", "cpus": 4, "memory": 16 * GIB, "version": "0.1.0", "uplink": "eth0",
                          "pool": {"size": 500 * GIB, "used": 60 * GIB}, "instances": 3, "load": [0.5, 0.25, 0.1],
                          "pressure": {"cpu": 0.5, "memory": 0, "io": 1.25}, "url": "https://server:8443"})

    @route("GET", "/v1/doctor")
    def r_doctor(self):
        self.answer(200, {"items": [{"check": "engine", "state": "ok", "detail": "crun 1.8.1", "hint": None},
                                    {"check": "inotify", "state": "warn", "detail": "128 watches", "hint": "sysctl fs.inotify.max_user_instances=8192"},
                                    {"check": "clock", "state": "bad", "detail": "2 min behind", "hint": "apt install chrony"}]})

    # --- instances ---

    @route("GET", "/v1/instances")
    def r_all(self):
        self.answer(200, {"items": list(self.fake.instances.values()), "revision": 9})

    @route("GET", "/v1/spaces/{s}/instances")
    def r_list(self, s):
        self.find_space(s)
        self.answer(200, {"items": [i for (space, _), i in self.fake.instances.items() if space == s], "revision": 9})

    @route("POST", "/v1/spaces/{s}/instances")
    def r_create(self, s):
        b = self.json()
        self.find_space(s)
        names = {n: i for i in self.fake.images for n in i["names"]}
        old = self.fake.instances.get((s, b["name"]))
        if old:
            raise Refusal("conflict", f"space {s} has an instance called {b['name']} already ({old['kind']}, {old['state']})",
                          f"choose another name, or remove it first:  portena delete {b['name']}")
        if b["image"] not in names:
            raise Refusal("not-found", f"there is no image called {b['image']}", "see what there is:  portena image list")
        if b.get("memory", 0) > 2 * GIB:
            raise Refusal("over-quota", f"{b['name']}: memory {b['memory'] // GIB} GiB is over what is left of space {s}'s quota (6 of 8 GiB in use)",
                          f"nothing was changed; ask for up to 2 GiB more, or raise the quota:  portena quota {s} memory=70G")
        image = names[b["image"]]
        make = instance if b.get("start") is False else running
        new = make(b["name"], image_name=b["image"], desktop=image["desktop"], init=image["init"], address="10.83.0.20",
                   **{k: v for k, v in b.items() if k in ("cpu", "memory", "disk", "env", "ports", "command", "restart", "autostart", "kind", "model", "accel", "arch",
                                                    "firmware", "secure_boot", "tpm", "hardware", "iso_name", "boot_iso", "offline")})
        if new["kind"] == "machine":
            new.update(guest_cpus=2, guest_memory=new["memory"] or 512 * MIB)
        op = self.fake.operation("launch", f"spaces/{s}/instances/{b['name']}", 1.2 if "slow" in self.fake.faults else 0,
                                 fails={"code": "internal", "detail": f"{b['name']}: crun says no", "hint": f"portena logs {b['name']}"}
                                 if "launch-fails" in self.fake.faults else None)
        self.fake.instances[(s, b["name"])] = new
        self.answer(202, {**new, "operation": op})

    @route("GET", "/v1/spaces/{s}/instances/{i}")
    def r_get(self, s, i):
        self.answer(200, self.find(s, i), [("ETag", '"7"')])

    @route("PATCH", "/v1/spaces/{s}/instances/{i}")
    def r_patch(self, s, i):
        b = self.json()
        o = self.find(s, i)
        if self.headers.get("If-Match", '"7"') != '"7"' or "stale" in self.fake.faults:
            raise Refusal("stale", f"{i}: somebody else changed it in between", "look at it and try again:  portena show " + i)
        if b.get("memory", 0) > 8 * GIB:
            raise Refusal("over-quota", f"{i}: memory 64 GiB is over what is left of space {s}'s quota (6 of 8 GiB in use)",
                          f"nothing was changed; ask for up to 2 GiB more, or raise the quota:  portena quota {s} memory=70G")
        if "name" in b:
            self.fake.instances[(s, b["name"])] = self.fake.instances.pop((s, i))
        o.update(b)
        self.answer(200, {**o, "applies": {k: "at the next start" if k in ("env", "command") or (k == "cpu" and float(b[k]) > 16) else "now" for k in b}})

    @route("DELETE", "/v1/spaces/{s}/instances/{i}")
    def r_delete(self, s, i):
        o = self.find(s, i)
        if o["state"] == "running" and self.query.get("force") != "true":
            raise Refusal("conflict", f"{i}: it is running, nothing was deleted", f"stop it first, or:  portena delete {i} --force")
        del self.fake.instances[(s, i)]
        self.answer(202, {**o, "operation": self.fake.operation("delete", f"spaces/{s}/instances/{i}")})

    @route("POST", "/v1/spaces/{s}/instances/{i}/actions")
    def r_action(self, s, i):
        o = self.find(s, i)
        to = {"start": "running", "stop": "stopped", "restart": "running", "pause": "paused", "resume": "running",
              "hibernate": "hibernated"}[self.json()["action"]]
        o.update(state=to, power=to, freed=410 << 20 if to == "hibernated" else 0)
        seconds = 1.5 if "slow" in self.fake.faults else 0
        self.answer(202, {**o, "operation": self.fake.operation(self.json()["action"], f"spaces/{s}/instances/{i}", seconds)})

    @route("GET", "/v1/spaces/{s}/instances/{i}/logs")
    def r_logs(self, s, i):
        self.find(s, i)
        self.answer(200, raw=b"\x1b[32mok\x1b[0m started\n\x1b]0;title\x07\x1b[2Jx\xc2\x9b31mred\n", kind="text/plain")

    def processes(self, name):
        return [{"instance": name, "pid": 1, "ppid": 0, "user": "root", "state": "S", "cpu_usec": 7_000_000, "memory": 12 * MIB, "started": ago(245),
                 "command": "/sbin/init"},
                {"instance": name, "pid": 42, "ppid": 1, "user": "user", "state": "R", "cpu_usec": int(time.monotonic() * 500_000), "memory": 200 * MIB,
                 "started": ago(100), "command": "firefox --private \x1b]0;x\x07"}]

    @route("GET", "/v1/spaces/{s}/instances/{i}/processes")
    def r_ps(self, s, i):
        self.find(s, i)
        self.answer(200, {"items": self.processes(i)})

    @route("GET", "/v1/spaces/{s}/processes")
    def r_ps_all(self, s):
        self.answer(200, {"items": self.processes("studio") + self.processes("web")})

    # --- files: backed by a directory here ---

    @route("GET", "/v1/spaces/{s}/instances/{i}/files")
    def r_file(self, s, i):
        self.find(s, i)
        p = self.fake.root / self.query["path"].lstrip("/")
        if "evil-listing" in self.fake.faults and p.is_dir():
            items = [{"name": "../../escaped", "type": "file", "size": 1, "mode": "0644"}]
            self.answer(200, {"items": items}, [("X-Portena-Type", "directory"), ("X-Portena-Mode", "0755")])
            return
        follow = self.query.get("follow") != "false"
        if not (p.exists() if follow else os.path.lexists(p)):
            raise Refusal("not-found", f"{self.query['path']}: there is no such file")
        st = p.stat() if follow else p.lstat()
        kind = "symlink" if p.is_symlink() and not follow else "directory" if p.is_dir() else "file"
        headers = [("X-Portena-Type", kind), ("X-Portena-Mode", "%04o" % (st.st_mode & 0o7777)), ("X-Portena-Uid", "0"), ("X-Portena-Gid", "0")]
        if kind == "directory":
            items = [{"name": c.name, "type": "symlink" if c.is_symlink() else "directory" if c.is_dir() else "file", "size": c.lstat().st_size,
                      "mode": "%04o" % (c.lstat().st_mode & 0o7777)} for c in sorted(p.iterdir())]
            self.answer(200, {"items": items}, headers)
        else:
            self.answer(200, raw=os.readlink(p).encode() if kind == "symlink" else p.read_bytes(), headers=headers, kind="application/octet-stream")

    @route("PUT", "/v1/spaces/{s}/instances/{i}/files")
    def r_put(self, s, i):
        self.find(s, i)
        p = self.fake.root / self.query["path"].lstrip("/")
        if not p.parent.is_dir():
            raise Refusal("not-found", f"{p.parent.name}: there is no such directory")
        kind = self.query.get("type", "file")
        if kind == "directory":
            p.mkdir(exist_ok=True)
        elif kind == "symlink":
            p.unlink(missing_ok=True)
            p.symlink_to(self.data.decode())
        else:
            p.write_bytes(self.data)
        if kind != "symlink":
            p.chmod(int(self.query["mode"], 8))
        self.answer(201)

    # --- streams ---

    def websocket(self, path):
        """As docs/API.md has streams over WebSocket: the first text is the body of an exec."""
        found = re.match(r"^/v1/spaces/(\w+)/instances/([\w-]+)/(exec|console)$", path)
        if not found:
            raise Refusal("not-found", "there is nothing at " + path)
        if self.find(found[1], found[2])["state"] != "running":
            raise Refusal("conflict", f"{found[2]} is stopped", f"start it first:  portena start {found[2]}")
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        head = b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        early = frame(9, b"ping")  # a frame glued to the handshake's answer
        self.wfile.write(head + early)
        body = {"command": ["sh", "-c", "trap '' INT TERM; echo welcome; cat"], "tty": True, "cols": 80, "rows": 24}
        if found[3] == "exec":
            while True:
                code, data = read_frame(self.rfile)
                if code == 1:
                    break
            body = json.loads(data)
            self.fake.last_exec = body
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        threading.Thread(target=run_exec, args=(ours, body, self.fake.faults), daemon=True).start()
        bridge(self, theirs, bool(body.get("tty")))

    def hand_over(self, kind, fd):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n")
        self.wfile.flush()
        send(self.connection, kind, 0, 0, fds=[fd])

    @route("POST", "/v1/spaces/{s}/instances/{i}/exec")
    def r_exec(self, s, i):
        o = self.find(s, i)
        if o["state"] != "running":
            raise Refusal("conflict", f"{i} is {o['state']}", f"start it first:  portena start {i}")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hand_over(CONTROL, theirs.fileno())
        theirs.close()
        self.server.fake.last_exec = self.json()
        threading.Thread(target=run_exec, args=(ours, self.json(), self.fake.faults), daemon=True).start()

    @route("GET", "/v1/spaces/{s}/instances/{i}/console")
    def r_console(self, s, i):
        self.find(s, i)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hand_over(CONTROL, theirs.fileno())
        theirs.close()
        threading.Thread(target=run_exec, args=(ours, {"command": ["sh", "-c", "echo welcome; cat"], "tty": True, "cols": 80, "rows": 24},
                                                self.fake.faults), daemon=True).start()

    # --- images, operations ---

    def all_images(self):
        return self.fake.images + (self.fake.other_images() if "many-formats" in self.fake.faults else [])

    def find_image(self, ref):
        for i in self.all_images():
            if ref in i["names"] or i["digest"].startswith(ref) or i["digest"][7:].startswith(ref):
                return i
        raise Refusal("not-found", f"there is no image called {ref}", "see what there is:  portena image list")

    @route("GET", "/v1/images")
    def r_images(self):
        self.answer(200, {"items": self.all_images(), "revision": 4})

    @route("GET", "/v1/images/recipes")
    def r_recipes(self):
        self.answer(200, {"items": self.fake.recipes})

    @route("POST", "/v1/images/prune")
    def r_prune(self):
        gone = [i for i in self.fake.images if not i["used_by"]]
        self.fake.images = [i for i in self.fake.images if i["used_by"]]
        self.answer(200, {"removed": [i["digest"] for i in gone], "freed": sum(i["size"] for i in gone)})

    @route("POST", "/v1/images")
    def r_make(self):
        source = self.json()["source"] if self.headers["Content-Type"] == "application/json" else "file:" + self.query["name"]
        name = self.query.get("name") or source.rpartition(":")[2]
        if source == "docker://gone.example/x":
            fails = {"code": "unreachable", "detail": "registry gone.example does not answer", "hint": "nothing was kept; try again"}
        else:
            fails = None

        def then(op):
            kernel = {"format": "kernel", "kinds": []} if name == "kernel" else {}
            made = self.server.fake.image(name, 700 * MIB, desktop=not kernel, **kernel)
            self.server.fake.images.append(made)
            for r in self.server.fake.recipes:
                if r["name"] == name:
                    r["image"] = made["digest"]
            op["result"] = "images/" + made["digest"][:19]

        op = self.fake.operation("image-build", "images/" + name, 0.9, 400 * MIB, fails, then)
        self.answer(202, {"operation": op}, [("Location", "/v1/operations/" + op["id"])])

    @route("GET", "/v1/images/{ref}")
    def r_image(self, ref):
        self.answer(200, self.find_image(ref))

    @route("PATCH", "/v1/images/{ref}")
    def r_name_image(self, ref):
        i = self.find_image(ref)
        i.update(self.json())
        self.answer(200, i)

    @route("DELETE", "/v1/images/{ref}")
    def r_delete_image(self, ref):
        i = self.find_image(ref)
        if ref in i["names"] and len(i["names"]) > 1:
            i["names"].remove(ref)
            return self.answer(204)
        if i["used_by"]:
            raise Refusal("conflict", f"image {ref} is in use by {', '.join(i['used_by'])}", "delete those first")
        self.fake.images.remove(i)
        self.answer(204)

    @route("GET", "/v1/operations")
    def r_ops(self):
        self.answer(200, {"items": list(self.fake.operations.values()), "revision": 5})

    @route("GET", "/v1/operations/{o}")
    def r_op(self, o):
        op = self.fake.operations.get(o)
        if not op:
            raise Refusal("not-found", f"there is no operation {o}", "portena op list")
        end = time.monotonic() + float(self.query.get("wait", 0))
        while op["state"] == "running" and time.monotonic() < end:
            time.sleep(0.01)
        self.answer(200, op)

    @route("DELETE", "/v1/operations/{o}")
    def r_cancel(self, o):
        self.answer(202, self.fake.operations[o])

    # --- spaces ---

    @route("GET", "/v1/spaces")
    def r_spaces(self):
        self.answer(200, {"items": list(self.fake.spaces.values()), "revision": 3})

    @route("POST", "/v1/spaces")
    def r_new_space(self):
        b = self.json()
        self.fake.spaces[b["name"]] = {**self.fake.spaces["home"], "members": {}, **b}
        self.answer(201, self.fake.spaces[b["name"]])

    @route("GET", "/v1/spaces/{s}")
    def r_space(self, s):
        self.answer(200, self.find_space(s))

    @route("PATCH", "/v1/spaces/{s}")
    def r_set_space(self, s):
        o = self.find_space(s)
        for k, v in self.json().items():
            o[k] = {**o[k], **v} if isinstance(v, dict) else v
        self.answer(200, o)

    @route("DELETE", "/v1/spaces/{s}")
    def r_del_space(self, s):
        self.find_space(s)
        if any(space == s for space, _ in self.fake.instances) and self.query.get("force") != "true":
            raise Refusal("conflict", f"space {s} has 3 instances", f"delete them first, or:  portena space delete {s} --force")
        del self.fake.spaces[s]
        self.answer(200, {})

    @route("PUT", "/v1/spaces/{s}/members/{u}")
    def r_member(self, s, u):
        self.find_space(s)["members"][u] = self.json()["role"]
        self.answer(200, self.find_space(s))

    @route("DELETE", "/v1/spaces/{s}/members/{u}")
    def r_no_member(self, s, u):
        self.find_space(s)["members"].pop(u, None)
        self.answer(204)

    @route("GET", "/v1/spaces/{s}/network")
    def r_network(self, s):
        self.answer(200, {"subnet": "10.83.0.0/24", "prefix6": "fd83::/64", "uplink": "eth0",
                          "leases": [{"name": "studio", "address": "10.83.0.12", "mac": "02:00:00:00:00:0c", "state": "running"}],
                          "ports": [{"instance": "studio", "protocol": "tcp", "listen": 8080, "to": 80, "address": None}]})

    # --- users ---

    @route("GET", "/v1/users")
    def r_users(self):
        self.answer(200, {"items": list(self.fake.users.values()), "revision": 1})

    @route("POST", "/v1/users")
    def r_new_user(self):
        b = self.json()
        if len(b.pop("password")) < 8:
            raise Refusal("invalid", "password: at least 8 characters", "nothing was changed")
        self.fake.users[b["name"]] = {**self.fake.users["anna"], "admin": False, "totp": False, "last_login": None, "full_name": None, **b}
        self.answer(201, self.fake.users[b["name"]])

    @route("GET", "/v1/users/{u}")
    def r_user(self, u):
        if u not in self.fake.users:
            raise Refusal("not-found", f"there is no user called {u}", "portena user list")
        self.answer(200, self.fake.users[u])

    @route("PATCH", "/v1/users/{u}")
    def r_set_user(self, u):
        self.answer(200, self.fake.users[u])

    @route("DELETE", "/v1/users/{u}")
    def r_del_user(self, u):
        self.fake.users.pop(u)
        self.answer(204)

    @route("POST", "/v1/users/{u}/totp")
    def r_totp(self, u):
        self.answer(200, {"secret": "JBSWY3DP", "uri": "otpauth://totp/portena:" + u})

    @route("PUT", "/v1/users/{u}/totp")
    def r_prove(self, u):
        if self.json()["code"] != "123456":
            raise Refusal("invalid", "that is not the code of now", "wait for the next one")
        self.answer(204)

    @route("DELETE", "/v1/users/{u}/totp")
    def r_no_totp(self, u):
        if self.json().get("password") != "correct horse":
            raise Refusal("forbidden", "password: it is not the present password")
        self.answer(204)

    @route("GET", "/v1/users/{u}/tokens")
    def r_tokens(self, u):
        self.answer(200, {"items": [{"id": "k1", "user": u, "kind": "api", "name": "backup", "scope": "read", "created": FIXED, "expires": FIXED,
                                     "last_used": None, "last_from": None}], "revision": 1})

    @route("POST", "/v1/users/{u}/tokens")
    def r_token(self, u):
        self.answer(201, {"token": "pt_k2_s3cret", "id": "k2", "name": self.json()["name"], "expires": FIXED})

    @route("DELETE", "/v1/users/{u}/tokens/{t}")
    def r_del_token(self, u, t):
        self.answer(204)

    # --- events, audit ---
    @route("GET", "/v1/events")
    def r_events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b": hello\n\n")
        for n in range(3):
            e = {"time": FIXED, "type": "status", "space": "home", "object": "spaces/home/instances/studio", "action": "running", "data": {}}
            self.wfile.write(f"event: status\nid: {n}\ndata: {json.dumps(e)}\n\n".encode())
            self.wfile.flush()

    @route("GET", "/v1/audit")
    def r_audit(self):
        if "forbidden" in self.fake.faults:
            raise Refusal("forbidden", "the audit log is for administrators")
        self.answer(200, {"items": [{"id": "a1", "time": FIXED, "user": "anna", "from": "192.0.2.7", "method": "POST", "path": "/v1/x",
                                     "object": "spaces/home/instances/studio", "action": "launch", "outcome": "ok", "detail": None},
                                    {"id": "a0", "time": FIXED, "user": "ben", "from": "192.0.2.8", "method": "DELETE", "path": "/v1/x",
                                     "object": "spaces/home", "action": "delete", "outcome": "forbidden", "detail": "viewer"}]})
