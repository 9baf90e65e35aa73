# SPDX-License-Identifier: Apache-2.0
"""Pictures of desktops and viewers of them: the part of gateway.py that speaks RFB."""
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time
import zlib

from gateway_bed import GOOD, HOME, LOOKER, PATIENCE, PORT, VNC, answer, curl, wait
from gateway_rfb import Viewer, exactly


# ---- thumbnails

def png_pixel(data, x, y):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack("!IIBB", data[16:26])
    assert (depth, kind) == (8, 2)
    at, idat = 8, b""
    while at < len(data):
        n, name = struct.unpack("!I4s", data[at:at + 8])
        if name == b"IDAT":
            idat += data[at + 8:at + 8 + n]
        at += 12 + n
    raw, stride, rows = zlib.decompress(idat), 3 * width + 1, [bytes(3 * width)]
    for r in range(height):
        line = bytearray(raw[r * stride + 1:(r + 1) * stride])
        for i in range(len(line)):
            left, up = line[i - 3] if i >= 3 else 0, rows[-1][i]
            line[i] = (line[i] + {0: 0, 1: left, 2: up}[raw[r * stride]]) & 255
        rows.append(bytes(line))
    return (width, height), tuple(rows[y + 1][3 * x:3 * x + 3])


def test_thumbnail(bed):
    bed.echo = None
    path = bed.path("thumb.png")
    begun = time.monotonic()
    assert curl(f"{HOME}/thumbnail", "-H" + GOOD, "-o", path, "-w%{http_code} %{content_type}") == "200 image/png"
    print(f"# a thumbnail of 960 by 600: {(time.monotonic() - begun) * 1000:.0f} ms with curl's start")
    with open(path, "rb") as f:
        data = f.read()
    size, left = png_pixel(data, 10, 10)
    assert size == (480, 300) and left == (255, 0, 0), (size, left)
    assert png_pixel(data, 470, 290)[1] == (0, 0, 255)
    visitors = bed.desktop.visitors
    etag = re.search(r"(?i)etag: (\S+)", curl(f"{HOME}/thumbnail", "-H" + GOOD, "-o/dev/null", "-D-")).group(1)
    assert bed.desktop.visitors == visitors or time.monotonic() - begun > 4, "the picture is kept for a few seconds"
    assert curl(f"{HOME}/thumbnail", "-H" + GOOD, f"-Hif-none-match: {etag}", "-w%{http_code}") == "304"
    wait(lambda: bed.desktop.open == 0)
    assert bed.desktop.clients[-1] == b"\1", "it shares the desktop"
    status, headers, body = answer(f"{HOME}/thumbnail", "-H" + LOOKER)
    assert status == 403, "who may not open the desktop does not see it"
    assert answer(f"{HOME}/thumbnail")[0] == 401
    assert answer(f"{HOME}/thumbnail", "-XPOST", "-H" + GOOD)[0] == 405
    purpose = [r[2].get("x-portena-purpose") for r in bed.api.requests if r[1].endswith("/desktop")]
    assert purpose[-1] == "thumbnail"


def test_thumbnail_crowd(bed):
    time.sleep(4.1)
    visitors, began = bed.desktop.visitors, time.monotonic()
    many = [subprocess.Popen(["curl", "-sk", "-H" + GOOD, "-o/dev/null", "-w%{http_code}", f"https://localhost:{PORT}{HOME}/thumbnail"],
                             stdout=subprocess.PIPE, text=True) for _ in range(15)]
    assert [p.communicate()[0] for p in many] == ["200"] * 15
    looks = 1 + int((time.monotonic() - began) / 4)  # a picture is good for 4 s, and 15 of curl may take longer here
    assert bed.desktop.visitors - visitors in range(1, looks + 1), "one look for all"


def test_thumbnail_hostile(bed):
    for broken, size in (("size", None), ("outside", None), ("refuses", None), ("silent", None), ("blank", None), (None, (1, 1)), (None, (40, 3000))):
        time.sleep(4.1)
        bed.desktop.broken = broken
        if size:
            bed.desktop.width, bed.desktop.height = size
        status = int(curl(f"{HOME}/thumbnail", "-H" + GOOD, "-o/dev/null", "-w%{http_code}"))
        plain = broken == "blank" or size == (1, 1)  # one colour: nothing has been drawn yet
        assert status == (404 if plain else 200 if size else 504 if broken == "silent" else 400), (broken, size, status)
    bed.desktop.broken, bed.desktop.width, bed.desktop.height = None, 960, 600


# ---- VNC

def test_vnc(bed):
    viewer = Viewer(VNC, b"anna@home/studio", b"secret")
    assert viewer.failure is None
    assert viewer.start() == ((960, 600), b"studio")
    assert len(bed.api.sessions) == 1
    viewer.sock.sendall(b"\4" + bytes(7))
    assert exactly(viewer.sock, 1) == b"\2"
    viewer.sock.sendall(struct.pack("!BBHHHH", 3, 0, 0, 0, 960, 600))
    exactly(viewer.sock, 12 + 4 + 24 + 960 * 600 * 4)
    viewer.close()
    wait(lambda: not bed.api.sessions and bed.desktop.open == 0)
    viewer = Viewer(VNC, b"anna@home/studio", b"pt_1_good")
    assert viewer.failure is None and not bed.api.sessions
    viewer.close()


def test_vnc_refusals(bed):
    for name, password, reason in (
        (b"anna@home/studio", b"wrong", "the user or the password is wrong"),
        (b"otto@home/studio", b"secret", "API token"),
        (b"anna@home/studio", b"pt_1_viewer", "may not"),
        (b"anna@home/studio", b"pt_0_nobody", "who are you"),
        (b"anna@home/other", b"secret", "no such thing"),
        (b"anna", b"secret", "USER@SPACE/INSTANCE"),
        (b"anna@home", b"secret", "USER@SPACE/INSTANCE"),
        (b"anna@../etc", b"secret", "space name"),
        (b"\"{}@home/studio", b"secret", "user name"),
        (b"", b"", "USER@SPACE/INSTANCE"),
        (b"slow@home/studio", b"secret", "wait"),
    ):
        viewer = Viewer(VNC, name, password)
        assert viewer.failure and reason in viewer.failure, (name, viewer.failure)
        viewer.close()
    wait(lambda: not bed.api.sessions)


def test_vnc_hostile(bed):
    V = b"RFB 003.008\n"
    for name, data in (
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n"), ("nothing", b""), ("3.3", b"RFB 003.003\n"), ("3.7", b"RFB 003.007\n"), ("digits", b"RFB 0x3.008\n"),
        ("no newline", b"RFB 003.008x"), ("security none", V + b"\1"), ("vnc auth", V + b"\2"), ("zero", V + b"\0"),
        ("VeNCrypt 0.1", V + b"\x13\0\1"), ("VeNCrypt 9.9", V + b"\x13\x09\x09"), ("TLSPlain", V + b"\x13\0\2" + struct.pack("!I", 259)),
        ("X509None", V + b"\x13\0\2" + struct.pack("!I", 260)), ("no TLS", V + b"\x13\0\2" + struct.pack("!I", 262) + b"\xff" * 500),
        ("TLS cut off", V + b"\x13\0\2" + struct.pack("!I", 262) + b"\x16\x03\x01\x40\x00\x01"),
    ):
        with socket.create_connection(("127.0.0.1", VNC), PATIENCE) as s:
            s.sendall(data)
            got = b""
            s.shutdown(socket.SHUT_WR)
            while piece := s.recv(4096):
                got += piece
            assert got.startswith(V), (name, got)
            if name in ("3.3", "3.7"):
                assert b"VeNCrypt" in got
    raw = Viewer.__new__(Viewer)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for plain in (struct.pack("!II", 0xFFFFFFFF, 4), struct.pack("!II", 1025, 1), struct.pack("!II", 3, 1) + b"a\0bx", struct.pack("!II", 2, 1) + b"\xff\xffx"):
        with socket.create_connection(("127.0.0.1", VNC), PATIENCE) as s:
            s.sendall(V + b"\x13\0\2" + struct.pack("!I", 262))
            exactly(s, 12 + 2 + 2 + 1 + 5 + 1)
            with context.wrap_socket(s) as t:
                t.sendall(plain)
                try:
                    assert t.recv(100) == b"", plain
                except OSError:
                    pass
    viewer = Viewer(VNC, b"anna@home/studio", b"secret")
    assert viewer.failure is None, "still there"
    viewer.close()


def crowd():
    """How many of 70 at once are sent away."""
    held = [socket.create_connection(("127.0.0.1", VNC), PATIENCE) for _ in range(70)]
    refused = 0
    for s in held:
        try:
            refused += exactly(s, 12) != b"RFB 003.008\n"
        except (EOFError, OSError):
            refused += 1
    for s in held:
        s.close()
    assert refused >= 70 - 64, refused
    return refused


def test_vnc_crowd(bed):
    wait(lambda: crowd() == 70 - 64)  # one more is sent away for each of before that has not ended yet

    def again():
        try:
            viewer = Viewer(VNC, b"anna@home/studio", b"pt_1_good")
        except (EOFError, OSError):
            return False
        viewer.close()
        return viewer.failure is None
    wait(again)


def test_vnc_real_viewer(bed):
    if not (shutil.which("xtigervncviewer") and shutil.which("Xvfb")):
        return "tigervnc-viewer or xvfb is not installed"
    told, tells = os.pipe()
    screen = subprocess.Popen(["Xvfb", "-displayfd", str(tells), "-nolisten", "tcp"], stderr=subprocess.DEVNULL, pass_fds=[tells])
    os.close(tells)
    with os.fdopen(told) as f:
        number = int(f.readline())
    visitors = bed.desktop.visitors
    home = bed.path("viewer")
    os.makedirs(home, exist_ok=True)
    viewer = subprocess.Popen(["xtigervncviewer", "-SecurityTypes=X509Plain", f"-X509CA={bed.path('state/self-cert.pem')}", f"localhost::{VNC}"],
                              env={"DISPLAY": f":{number}", "HOME": home, "VNC_USERNAME": "anna@home/studio", "VNC_PASSWORD": "secret",
                                   "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait(lambda: bed.desktop.visitors > visitors)
        time.sleep(0.5)
        assert viewer.poll() is None, viewer.stderr.read()
    finally:
        viewer.kill()
        viewer.wait()
        screen.terminate()
        screen.wait()
