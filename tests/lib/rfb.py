# SPDX-License-Identifier: Apache-2.0
"""A small RFB client (RFC 6143) over a Unix socket: raw pixels, pointer, keys, clipboard, pictures."""
import select
import socket
import struct
import time
import zlib

KEYS = {"Return": 0xFF0D, "Escape": 0xFF1B, "Control": 0xFFE3, "Shift": 0xFFE1, "Alt": 0xFFE9}
RAW, DESKTOP_SIZE, EXTENDED_SIZE = 0, -223, -308
PACE = 0.1  # seconds between two pictures: the server has 120 a second, and this is a test, not a viewer for people


class Rfb:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(str(path))
        self.s.sendall(self.read(12))
        assert 1 in self.read(self.read(1)[0]), "no security type None"
        self.s.sendall(b"\1")
        assert self.read(4) == b"\0\0\0\0"
        self.s.sendall(b"\1")
        self.width, self.height, _, n = struct.unpack(">HH16sI", self.read(24))
        self.name = self.read(n).decode()
        self.clipboard = None
        self.s.sendall(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.s.sendall(struct.pack(">BxHiii", 2, 3, RAW, DESKTOP_SIZE, EXTENDED_SIZE))
        self.clear()
        self.ask(0)

    def read(self, n):
        out = bytearray()
        while len(out) < n:
            piece = self.s.recv(n - len(out))
            if not piece:
                raise EOFError("the server closed the connection")
            out += piece
        return bytes(out)

    def clear(self):
        self.pixels = bytearray(self.width * self.height * 4)

    def ask(self, incremental=1):
        self.due = None
        self.s.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def rectangle(self):
        x, y, w, h, encoding = struct.unpack(">HHHHi", self.read(12))
        if encoding == RAW:
            data = self.read(w * h * 4)
            for row in range(h):
                at = ((y + row) * self.width + x) * 4
                self.pixels[at:at + w * 4] = data[row * w * 4:(row + 1) * w * 4]
            return True
        if encoding == EXTENDED_SIZE:
            self.read(self.read(4)[0] * 16)
        if (w, h) == (self.width, self.height):  # said again with each whole picture: asking for one then would never end
            return False
        self.width, self.height = w, h
        self.clear()
        self.ask(0)
        return False

    def step(self, timeout):
        """One message, if there is one in time; whether pixels changed. The next picture is asked for PACE after this one."""
        end = time.monotonic() + timeout
        while not select.select([self.s], [], [], max(0, min(end, self.due or end) - time.monotonic()))[0]:
            if self.due and self.due <= time.monotonic():
                self.ask()
            elif time.monotonic() >= end:
                return False
        kind = self.read(1)[0]
        if kind == 0:
            count = struct.unpack(">xH", self.read(3))[0]
            changed = [self.rectangle() for _ in range(count)]
            self.due = time.monotonic() + PACE
            return any(changed)
        if kind == 1:
            self.read(struct.unpack(">xHH", self.read(5))[1] * 6)
        elif kind == 3:
            self.clipboard = self.read(struct.unpack(">xxxI", self.read(7))[0]).decode("latin-1")
        elif kind != 2:
            raise AssertionError(f"message {kind}")
        return False

    def until(self, condition, seconds=120):
        """Follows the screen until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            self.step(0.2)
        return True

    def settle(self, quiet=0.7, seconds=30):
        end = last = time.monotonic()
        while time.monotonic() < end + seconds and time.monotonic() - last < quiet:
            if self.step(quiet):
                last = time.monotonic()

    def pixel(self, x, y):
        at = (y % self.height * self.width + x % self.width) * 4
        return self.pixels[at + 2], self.pixels[at + 1], self.pixels[at]

    def colours(self, step=37):
        return {self.pixel(x, y) for x in range(0, self.width, step) for y in range(0, self.height, step)}

    def keys(self, *names):
        codes = [KEYS.get(n) or ord(n) for n in names]
        for down, order in ((1, codes), (0, reversed(codes))):
            for code in order:
                self.s.sendall(struct.pack(">BBxxI", 4, down, code))

    def type(self, text):
        for c in text:
            self.keys("Return" if c == "\n" else c)
            time.sleep(0.005)

    def click(self, x, y, count=1):
        x, y = x % self.width, y % self.height
        for buttons in [0] + [1, 0] * count:
            self.s.sendall(struct.pack(">BBHH", 5, buttons, x, y))
            time.sleep(0.03)

    def copy(self, text):
        data = text.encode("latin-1")
        self.s.sendall(struct.pack(">BxxxI", 6, len(data)) + data)

    def resize(self, width, height):
        self.s.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0))

    def png(self, path):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        rows = bytearray()
        for y in range(self.height):
            line = self.pixels[y * self.width * 4:(y + 1) * self.width * 4]
            rgb = bytearray(self.width * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = line[2::4], line[1::4], line[0::4]
            rows += b"\0" + rgb
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + chunk(b"IEND", b""))
