# SPDX-License-Identifier: Apache-2.0
"""The gateway with all around it, for gateway.py and gateway_vnc.py."""
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from gateway_api import FakeApi
from gateway_rfb import Desktop

HOME = "/v1/spaces/home/instances/studio"
GOOD, LOOKER = "Authorization: Bearer pt_1_good", "Authorization: Bearer pt_1_viewer"
ROOT = os.geteuid() == 0
PATIENCE = 120  # seconds: reached only by what never comes


def free_port():
    """Below those that the kernel gives to whoever asks for any, so that nobody gets it between now and its use."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


PORT = free_port()
VNC = next(port for port in iter(free_port, None) if port != PORT)


class Bed:
    """The gateway with all around it."""

    def __init__(self, program):
        self.program = program
        with open(program, "rb") as f:  # an allocator that keeps what was freed says nothing about memory
            self.sanitized = b"__asan_init" in f.read()
        self.dir = tempfile.mkdtemp(prefix="pt-gw-")
        os.chmod(self.dir, 0o755)
        os.mkdir(self.path("home"), 0o700)  # closed to the gateway's user, as homes are
        web = self.path("home/web")
        os.makedirs(web + "/assets")
        pages = {"index.html": "<!doctype html><title>Portena</title>", "assets/a-1.js": "let a = 1;\n" * 100, "icon.svg": "<svg/>"}
        for name, text in pages.items():
            with open(f"{web}/{name}", "w") as f:
                f.write(text)
        subprocess.run(["gzip", "-k", f"{web}/assets/a-1.js"], check=True)
        os.symlink("/etc/passwd", web + "/passwd")
        self.desktop = Desktop()
        self.echo = False
        self.api = FakeApi(self.path("api.sock"), self.stream)
        self.process = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def stream(self):
        if not self.echo:
            return self.desktop()
        here, there = socket.socketpair()
        threading.Thread(target=self.echo, args=(here,), daemon=True).start()
        return there

    def command(self, **change):
        options = {"api": self.path("api.sock"), "state": self.path("state"), "run": self.path("run"), "web": self.path("home/web"),
                   "user": "nobody", "listen": f"127.0.0.1:{PORT}", "vnc": f"127.0.0.1:{VNC}", **change}
        return [self.program] + [f"--{k}={v}" for k, v in options.items()]

    def start(self):
        self.log = open(self.path("log"), "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        wait(lambda: curl("/healthz", "-o/dev/null", "-w%{http_code}") == "200")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0

    def status(self):
        with open(self.path("run/status.json")) as f:
            return json.load(f)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        shutil.rmtree(self.dir)


def wait(what):
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never comes"
        time.sleep(0.02)


def curl(path, *args, text=True):
    p = subprocess.run(["curl", "-sk", f"-m{PATIENCE}", *args, f"https://localhost:{PORT}{path}"], capture_output=True, text=text)
    return p.stdout


def answer(path, *args):
    """(status, headers in lower case, body)"""
    head, _, body = curl(path, "-i", *args).replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split(" ")[1]), headers, body


def echo(sock):
    try:
        while data := sock.recv(1 << 16):
            sock.sendall(data)
    except OSError:
        pass
    sock.close()
