# SPDX-License-Identifier: Apache-2.0
"""What the fake API stands on: its servers, and the monitor's part of a stream (src/base/wire.h), over a WebSocket too."""
import array
import contextlib
import errno
import fcntl
import itertools
import json
import os
import pty
import shutil
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time

MAGIC = 0x31575450
CONTROL, STREAM, EXIT, ERROR, RESIZE, SIGNAL = 1, 2, 3, 4, 5, 6
TTY = 1


class Refusal(Exception):
    CODES = {"invalid": 400, "unauthenticated": 401, "forbidden": 403, "not-found": 404, "conflict": 409, "stale": 412, "over-quota": 422,
             "rate": 429, "internal": 500, "unreachable": 503, "timeout": 504}

    def __init__(self, code, detail, hint=None, **more):
        super().__init__(detail)
        self.status = self.CODES[code]
        self.body = {"type": "urn:portena:error:" + code, "title": code, "status": self.status, "detail": detail, **more}
        if hint:
            self.body["hint"] = hint


class Quiet:
    """A client that has heard enough is no error."""

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (BrokenPipeError, ConnectionResetError)) and getattr(error, "errno", None) != errno.ENOTCONN:
            super().handle_error(request, client_address)


class Server(Quiet, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class TlsServer(Quiet, socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Each connection has a descriptor by a number of its own, far from all others and not given again for long: a thread that still looks at
    the one before, or closes what was a pipe's, cannot take bytes of its handshake."""
    daemon_threads = True
    allow_reuse_address = True
    numbers = itertools.count()

    def get_request(self):
        request, address = super().get_request()
        with request:
            number = fcntl.fcntl(request.fileno(), fcntl.F_DUPFD_CLOEXEC, 300 + next(self.numbers) % 600)
        return socket.socket(fileno=number), address

    def finish_request(self, request, client_address):
        try:
            request = self.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            return  # whoever does not believe us hangs up
        with request:
            self.RequestHandlerClass(request, client_address, self)


def send(sock, kind, a=0, b=0, text=b"", fds=()):
    head = struct.pack("=5I", MAGIC, kind, a, b, len(text))
    sock.sendmsg([head + text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def run_exec(control, body, faults):
    command = ["sh"] if body.get("shell") else body["command"]
    env = {**os.environ, **body.get("env", {})}
    if shutil.which(command[0]) is None:
        send(control, ERROR, 3, text=f"{command[0]}: there is no such command".encode())
        control.close()
        return
    if body.get("tty"):
        master, slave = pty.openpty()
        os.set_blocking(master, True)
        resize(master, body.get("cols", 80), body.get("rows", 24))
        p = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
                             preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        send(control, STREAM, TTY, fds=[master])
        keep = master
    else:
        pipes = [os.pipe() for _ in range(3)]
        p = subprocess.Popen(command, stdin=pipes[0][0], stdout=pipes[1][1], stderr=pipes[2][1], env=env, start_new_session=True)
        send(control, STREAM, 0, fds=[pipes[0][1], pipes[1][0], pipes[2][0]])
        for fd in sum(pipes, ()):
            os.close(fd)
        keep = -1
    if "monitor-dies" in faults:
        time.sleep(0.2)
        control.close()
        p.kill()
        p.wait()
        return
    threading.Thread(target=listen, args=(control, p, keep), daemon=True).start()
    status = p.wait()
    try:
        send(control, EXIT, max(status, 0), max(-status, 0))
        control.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def listen(control, process, master):
    """What the client says, until it hangs up."""
    while True:
        try:
            message = control.recv(2048)
        except OSError:
            message = b""
        if not message:
            break
        _, kind, a, b, _ = struct.unpack_from("=5I", message)
        if kind == RESIZE and master >= 0:
            resize(master, a, b)
        elif kind == SIGNAL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, a)
    try:
        os.killpg(process.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass
    process.wait()
    control.close()
    if master >= 0:
        os.close(master)


# --- the gateway's part of a stream ---

def frame(code, data):
    n = len(data)
    size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
    return bytes([0x80 | code]) + size + data


def read_frame(f):
    head = f.read(2)
    if len(head) < 2:
        return 8, b""
    n = head[1] & 0x7f
    if n == 126:
        n = struct.unpack(">H", f.read(2))[0]
    elif n == 127:
        n = struct.unpack(">Q", f.read(8))[0]
    assert head[1] & 0x80, "a client masks"
    mask = f.read(4)
    data = bytearray(f.read(n))
    for i in range(4):
        data[i::4] = bytes(c ^ mask[i] for c in data[i::4])
    return head[0] & 15, bytes(data)


def bridge(handler, control, tty):
    lock = threading.Lock()

    def tell(code, data):
        with lock:
            handler.wfile.write(frame(code, data))

    def forward(fd, channel):
        while True:
            try:
                data = os.read(fd, 32768)
            except OSError:
                data = b""
            if not data:
                return
            tell(2, data if tty else bytes([channel]) + data)

    message, fds, _, _ = socket.recv_fds(control, 2048, 4)
    _, kind, a, b, n = struct.unpack_from("=5I", message)
    if kind == ERROR:
        text, _, hint = message[20:20 + n].decode().partition("\n")
        tell(1, json.dumps({"error": {"code": list(Refusal.CODES)[a], "detail": text, "hint": hint or None, "by": "instance"}}).encode())
        tell(8, b"\x03\xe8")
        # Closing with something unread would reset the connection, and the error might be lost on its way.
        while read_frame(handler.rfile)[0] != 8:
            pass
        control.close()
        return
    stdin = fds[0]
    readers = [threading.Thread(target=forward, args=(fd, n + 1), daemon=True) for n, fd in enumerate(fds if tty else fds[1:])]
    for t in readers:
        t.start()

    def listen_web():
        nonlocal stdin
        while True:
            try:
                code, data = read_frame(handler.rfile)
            except (OSError, AssertionError):
                code = 8
            if code == 2:
                os.write(stdin, data if tty else data[1:])
            elif code == 1:
                o = json.loads(data)
                if "resize" in o:
                    send(control, RESIZE, *o["resize"])
                elif "signal" in o:
                    send(control, SIGNAL, getattr(signal, "SIG" + o["signal"]))
                elif "eof" in o and not tty:
                    os.close(stdin)
                    stdin = -1
            elif code == 8:
                control.shutdown(socket.SHUT_RDWR)
                return

    web = threading.Thread(target=listen_web, daemon=True)
    web.start()
    message = control.recv(2048)
    if message:
        _, kind, a, b, _ = struct.unpack_from("=5I", message)
        for t in readers:
            t.join(10)
        tell(1, json.dumps({"exit": a, "signal": b}).encode())
        tell(8, b"\x03\xe8")
        web.join(2)  # the client closes; a reset on our side might overtake what was just said
    # The thread has to be out of the connection before its descriptor is closed and given to the next one.
    with contextlib.suppress(OSError):  # the client has hung up already
        socket.socket.shutdown(handler.connection, socket.SHUT_RD)
    web.join()
    control.close()
    for t in readers:
        t.join(60)
    if not any(t.is_alive() for t in readers):  # one that still reads would read of the next connection, by the same number
        for fd in [f for f in fds[1:] if f >= 0] + ([stdin] if stdin >= 0 else []):
            os.close(fd)
