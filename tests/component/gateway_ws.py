# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client that can also misbehave: frames are sent exactly as they are asked for."""
import base64
import os
import socket
import ssl
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


class WebSocket:
    def __init__(self, port, path, headers=(), key=None, rcvbuf=None):
        raw = socket.socket()
        if rcvbuf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        raw.settimeout(120)
        raw.connect(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(raw)
        key = key or base64.b64encode(os.urandom(16)).decode()
        names = {h.split(":")[0].lower() for h in headers}
        lines = [f"GET {path} HTTP/1.1", f"Host: localhost:{port}", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
        if "upgrade" not in names:
            lines.append("Upgrade: websocket")
        if "sec-websocket-version" not in names:
            lines.append("Sec-WebSocket-Version: 13")
        self.sock.sendall(("\r\n".join(lines + list(headers)) + "\r\n\r\n").encode())
        self.buffer = bytearray()
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        status = int(self.head.split(" ")[1])
        if status != 101:
            while not self.buffer.endswith(b"}"):
                self.more()
            self.sock.close()
            raise Refused(status, self.buffer.decode())

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    @staticmethod
    def frame(opcode, data=b"", fin=True, mask=True, rsv=0, length=None):
        n = len(data) if length is None else length
        first = (0x80 if fin else 0) | rsv << 4 | opcode
        bit = 0x80 if mask else 0
        if n < 126:
            head = struct.pack("!BB", first, bit | n)
        elif n < 65536:
            head = struct.pack("!BBH", first, bit | 126, n)
        else:
            head = struct.pack("!BBQ", first, bit | 127, n)
        if not mask:
            return head + data
        key = os.urandom(4)
        whole = (key * (len(data) // 4 + 1))[:len(data)]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(data), "big")
        return head + key + masked

    def send(self, opcode, data=b"", **kw):
        self.sock.sendall(self.frame(opcode, data, **kw))

    def recv(self):
        """(opcode, data) of the next frame; the server does not fragment."""
        first, second = self.take(2)
        n = second & 0x7F
        assert not second & 0x80, "a server must not mask"
        if n == 126:
            n = struct.unpack("!H", self.take(2))[0]
        elif n == 127:
            n = struct.unpack("!Q", self.take(8))[0]
        return first & 0x0F, self.take(n)

    def data(self, n):
        """n bytes of binary messages; pings are left unanswered."""
        out = bytearray()
        while len(out) < n:
            opcode, data = self.recv()
            assert opcode == BINARY, (opcode, data)
            out += data
        return bytes(out)

    def skip(self, n):
        while n > 0:
            opcode, data = self.recv()
            assert opcode == BINARY, (opcode, data)
            n -= len(data)

    def close_code(self):
        """Reads on until the close frame: its code; None where the connection ends without one."""
        try:
            while True:
                opcode, data = self.recv()
                if opcode == CLOSE:
                    return struct.unpack("!H", data[:2])[0] if data else 0
        except (EOFError, OSError):
            return None

    def close(self):
        self.sock.close()
