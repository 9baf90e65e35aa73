# SPDX-License-Identifier: Apache-2.0
"""A stand-in for portenad: just enough of docs/API.md on a Unix socket to test the gateway against.

One user, anna (password "secret"), with the tokens pt_1_good (may do all) and pt_1_viewer (may only look); one space, home,
with the instance studio. What streams lead to is given by the test: `desktop` is a callable that returns a socket."""
import array
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import threading

MAGIC = 0x31575450
CONTROL, STREAM, EXIT, ERROR, RESIZE, SIGNAL = 1, 2, 3, 4, 5, 6
TTY = 1


def wire(sock, kind, a=0, b=0, text=b"", fds=()):
    head = struct.pack("=5I", MAGIC, kind, a, b, len(text))
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([head + text], ancillary)


class FakeApi:
    def __init__(self, path, desktop):
        self.path, self.desktop = path, desktop
        self.requests = []  # (method, path, headers)
        self.resizes, self.signals, self.sessions = [], [], set()
        self.uploaded = 0
        self.listener = None
        self.connections = set()
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for conn in list(self.connections):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        self.connections.add(conn)
        try:
            stream = conn.makefile("rb")
            while self.one(conn, stream):
                pass
        except (OSError, ValueError):
            pass
        finally:
            self.connections.discard(conn)
            conn.close()

    def one(self, conn, stream):
        line = stream.readline().decode()
        if not line:
            return False
        method, path, _ = line.split(" ", 2)
        headers = {}
        while (line := stream.readline().decode()) not in ("\r\n", ""):
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.requests.append((method, path, headers))
        body = b""
        if path.endswith("/files?path=/big"):
            self.uploaded = 0
        if "content-length" in headers:
            left = int(headers["content-length"])
            while left > 0:
                piece = stream.read(min(left, 1 << 16))
                left -= len(piece)
                self.uploaded += len(piece)
                if len(body) < 1 << 20:
                    body += piece
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(stream.readline(), 16):
                body += stream.read(size + 2)[:-2]
            stream.readline()
        self.route(conn, method, path, headers, body)
        return headers.get("connection", "").lower() != "close" and "upgrade" not in headers

    def answer(self, conn, status, value, extra=""):
        body = json.dumps(value).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        conn.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)

    def problem(self, conn, status, title, detail, extra=""):
        self.answer(conn, status, {"type": f"urn:portena:error:{title}", "title": title, "status": status, "detail": detail}, extra)

    def who(self, headers):
        cookie = re.search(r"portena=(\S+)", headers.get("cookie", ""))
        token = cookie.group(1) if cookie else headers.get("authorization", "").removeprefix("Bearer ")
        if token in self.sessions:
            return "good"
        return {"pt_1_good": "good", "pt_1_viewer": "viewer"}.get(token)

    def route(self, conn, method, path, headers, body):
        bare = path.split("?")[0]
        if bare == "/healthz":
            return self.answer(conn, 200, {"status": "ok"})
        if bare == "/v1/echo":
            return self.answer(conn, 200, headers)
        if bare == "/v1/session" and method == "POST":
            return self.log_in(conn, json.loads(body))
        who = self.who(headers)
        if not who:
            return self.problem(conn, 401, "unauthenticated", "who are you?", "WWW-Authenticate: Bearer\r\n")
        if bare == "/v1/session" and method == "DELETE":
            self.sessions.discard(headers.get("authorization", "").removeprefix("Bearer "))
            return self.answer(conn, 200, {})
        if bare == "/v1/events":
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            conn.sendall(b"e\r\ndata: first\n\n\n\r\n")
            return threading.Event().wait(600)
        if bare.endswith("/files") and method == "PUT":
            return self.answer(conn, 200, {"size": self.uploaded})
        found = re.fullmatch(r"/v1/spaces/home/instances/studio(?:/(\w+))?", bare)
        if not found:
            return self.problem(conn, 404, "not-found", "there is no such thing")
        verb = found.group(1)
        if verb is None:
            return self.answer(conn, 200, {"name": "studio", "id": "01hstudio", "state": "running", "desktop": True})
        if who == "viewer":
            return self.problem(conn, 403, "forbidden", "a viewer may not")
        if headers.get("upgrade") != "portena-stream/1":
            return self.problem(conn, 400, "invalid", "ask for an upgrade")
        if method == "POST" and headers.get("x-portena") != "1":
            return self.problem(conn, 403, "forbidden", "X-Portena is missing")
        request = json.loads(body) if method == "POST" else {}
        if request.get("command") == ["missing"]:
            return self.problem(conn, 404, "not-found", "there is no program called missing")
        conn.sendall(b"HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n")
        if verb == "desktop":
            return self.hand_over(conn, STREAM, self.desktop())
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hand_over(conn, CONTROL, there)
        self.monitor(here, verb, request)

    def hand_over(self, conn, kind, sock):
        wire(conn, kind, fds=[sock.fileno()])
        sock.close()

    def log_in(self, conn, body):
        if body.get("user") == "slow":
            return self.problem(conn, 429, "rate", "wait", "Retry-After: 7\r\n")
        if (body.get("user"), body.get("password")) == ("otto", "secret"):
            return self.answer(conn, 401, {"title": "unauthenticated", "detail": "code", "code_required": True})
        if (body.get("user"), body.get("password")) != ("anna", "secret"):
            return self.problem(conn, 401, "unauthenticated", "the user or the password is wrong")
        token = f"pt_{len(self.requests)}_session"
        self.sessions.add(token)
        self.answer(conn, 201, {"token": token, "expires": "2030-01-01T00:00:00Z"})

    def monitor(self, sock, verb, request):
        if request.get("command") == ["refused"]:
            return wire(sock, ERROR, 4, text=b"the instance has stopped")
        command = request.get("command") or ["sh", "-c", "echo console; cat"]
        if verb == "console" or request.get("tty"):
            pid, master = pty.fork()
            if pid == 0:
                os.execvp(command[0], command)
            wire(sock, STREAM, TTY, fds=[master])
            threading.Thread(target=self.control, args=(sock, pid), daemon=True).start()
            status = os.waitpid(pid, 0)[1]
            os.close(master)
        else:
            p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wire(sock, STREAM, 0, fds=[p.stdin.fileno(), p.stdout.fileno(), p.stderr.fileno()])
            for f in (p.stdin, p.stdout, p.stderr):
                f.close()
            threading.Thread(target=self.control, args=(sock, p.pid), daemon=True).start()
            code = p.wait()
            status = code << 8 if code >= 0 else -code
        wire(sock, EXIT, os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
        sock.shutdown(socket.SHUT_RDWR)

    def control(self, sock, pid):
        while len(data := sock.recv(2048)) >= 20:
            _, kind, a, b, _ = struct.unpack("=5I", data[:20])
            if kind == RESIZE:
                self.resizes.append((a, b))
            elif kind == SIGNAL:
                self.signals.append(a)
                os.kill(pid, a)
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            pass
