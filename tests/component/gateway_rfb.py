# SPDX-License-Identifier: Apache-2.0
"""A desktop to look at (an RFB 3.8 server with one picture) and a viewer that speaks VeNCrypt, both as small as can be."""
import socket
import ssl
import struct
import threading

X509_PLAIN = 262


def exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


class Desktop:
    """Left half red, right half blue, in two rectangles. Counts its visitors; `broken` makes it send nonsense."""

    def __init__(self, width=960, height=600):
        self.width, self.height = width, height
        self.visitors, self.open, self.broken = 0, 0, None
        self.clients = []

    def __call__(self):
        here, there = socket.socketpair()
        threading.Thread(target=self.serve, args=(here,), daemon=True).start()
        return there

    def serve(self, sock):
        self.visitors += 1
        self.open += 1
        try:
            self.speak(sock)
        except (EOFError, OSError):
            pass
        finally:
            self.open -= 1
            sock.close()

    def speak(self, sock):
        sock.sendall(b"RFB 003.008\n")
        exactly(sock, 12)
        if self.broken == "refuses":
            sock.sendall(b"\0" + struct.pack("!I", 4) + b"full")
            return
        sock.sendall(b"\1\1")
        exactly(sock, 1)
        sock.sendall(b"\0\0\0\0")
        self.clients.append(exactly(sock, 1))
        size = (60000, 60000) if self.broken == "size" else (self.width, self.height)
        sock.sendall(struct.pack("!HH", *size) + bytes(16) + struct.pack("!I", 6) + b"studio")
        while True:
            kind = exactly(sock, 1)[0]
            if kind == 0:
                exactly(sock, 19)
            elif kind == 2:
                exactly(sock, 4 * struct.unpack("!xH", exactly(sock, 3))[0])
            elif kind == 3:
                exactly(sock, 9)
                self.update(sock)
            elif kind == 4:  # a key comes back as a bell, so that a round trip can be measured
                exactly(sock, 7)
                sock.sendall(b"\2")
            else:
                raise EOFError

    def update(self, sock):
        half = self.width // 2
        if self.broken == "outside":
            sock.sendall(struct.pack("!BxHHHHHi", 0, 1, self.width - 1, 0, 2, 1, 0) + bytes(8))
            return
        if self.broken == "silent":
            return
        sock.sendall(b"\2" + b"\3\0\0\0" + struct.pack("!I", 3) + b"cut")
        sock.sendall(struct.pack("!BxH", 0, 2))
        if self.broken == "blank":
            half = self.width
        for x, width, pixel in ((0, half, b"\0\0\xff\0"), (half, self.width - half, b"\xff\0\0\0")):
            sock.sendall(struct.pack("!HHHHi", x, 0, width, self.height, 0) + pixel * (width * self.height))


class Viewer:
    """Logs in through VeNCrypt; `failure` holds the reason of a refusal."""

    def __init__(self, port, name, password):
        raw = socket.create_connection(("127.0.0.1", port), 10)
        assert exactly(raw, 12) == b"RFB 003.008\n"
        raw.sendall(b"RFB 003.008\n")
        assert exactly(raw, 2) == b"\1\x13"
        raw.sendall(b"\x13")
        assert exactly(raw, 2) == b"\0\2"
        raw.sendall(b"\0\2")
        assert exactly(raw, 1) == b"\0"
        n = exactly(raw, 1)[0]
        types = struct.unpack(f"!{n}I", exactly(raw, 4 * n))
        assert types == (X509_PLAIN,), types
        raw.sendall(struct.pack("!I", X509_PLAIN))
        assert exactly(raw, 1) == b"\1"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(raw)
        self.sock.sendall(struct.pack("!II", len(name), len(password)) + name + password)
        self.failure = None
        if struct.unpack("!I", exactly(self.sock, 4))[0] != 0:
            self.failure = exactly(self.sock, struct.unpack("!I", exactly(self.sock, 4))[0]).decode()

    def start(self):
        self.sock.sendall(b"\1")
        head = exactly(self.sock, 24)
        name = exactly(self.sock, struct.unpack("!I", head[20:])[0])
        return struct.unpack("!HH", head[:4]), name

    def close(self):
        self.sock.close()
