# SPDX-License-Identifier: Apache-2.0
"""The gateway in front of the real daemon and a real desktop: who may what over HTTPS, WebSocket and VNC, and what outlives whom."""
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import struct
import sys
import time

import pytest
from daemon import Daemon, free_port, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "component"))
from gateway_rfb import Viewer, exactly  # noqa: E402
from gateway_ws import BINARY, CLOSE, TEXT, Refused, WebSocket  # noqa: E402

PASSWORD = "correct horse battery"


class Face:
    """What a person on the network has: an address."""

    def __init__(self, d):
        self.d, self.port, self.vnc = d, free_port(), free_port()

    def request(self, method, path, body=None, headers=None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        c = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=300)
        c.request(method, path, json.dumps(body) if body is not None else None, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def log_in(self, user):
        status, _, data = self.request("POST", "/v1/session", {"user": user, "password": PASSWORD, "token": True})
        assert status == 201, data
        return "Authorization: Bearer " + json.loads(data)["token"]

    def ws(self, instance, verb, *headers):
        return WebSocket(self.port, f"/v1/spaces/home/instances/{instance}/{verb}", list(headers))


@pytest.fixture(scope="module")
def face():
    d = Daemon("face").start("--gateway-user", "nobody")
    f = Face(d)
    try:
        d.start_gateway(f.port, f"127.0.0.1:{f.vnc}")
        for name, role in (("anna", "owner"), ("ben", "viewer"), ("otto", None)):
            assert d.api("POST", "/v1/users", {"name": name, "password": PASSWORD}).status == 201
            if role:
                assert d.api("PUT", f"/v1/spaces/home/members/{name}", {"role": role}).status < 300
        d.cli("launch", "debian", "srv", "--space", "home", "--wait")
        yield f
    finally:
        d.destroy()


@pytest.fixture(scope="module")
def studio(face):
    if not any(i["desktop"] for i in face.d.api("GET", "/v1/images").json["items"]):
        pytest.skip("the image desktop is not built")
    face.d.cli("launch", "desktop", "studio", "--space", "home", "--wait")
    yield "studio"
    face.d.cli("delete", "studio", "--space", "home", "--force")


def test_credentials(face):
    assert face.request("GET", "/healthz")[0] == 200
    assert face.request("GET", "/v1/spaces")[0] == 401, "from the network nobody is root"
    status, headers, _ = face.request("POST", "/v1/session", {"user": "anna", "password": PASSWORD})
    cookie = headers["Set-Cookie"]
    assert status == 201 and "HttpOnly" in cookie and "Secure" in cookie and "SameSite" in cookie, cookie
    cookie = "Cookie: " + cookie.split(";")[0]
    origin = f"Origin: https://localhost:{face.port}"
    ws = face.ws("srv", "console", cookie, origin)
    ws.close()
    for headers in ([cookie], [cookie, "Origin: https://evil.example"], []):
        with pytest.raises(Refused) as e:
            face.ws("srv", "console", *headers)
        assert e.value.status in (401, 403)
    audit = face.d.api("GET", "/v1/audit?limit=50").json["items"]
    assert "127.0.0.1" in [a["from"] for a in audit if a["user"] == "anna"], "the client's address, not the gateway's"


def test_roles(face):
    for user, status in (("ben", 403), ("otto", 404)):
        token = face.log_in(user)
        for verb in ("console", "exec"):
            try:
                ws = face.ws("srv", verb, token)
                ws.send(TEXT, b'{"command":["true"]}')
                opcode, data = ws.recv()
                assert opcode == TEXT and json.loads(data)["error"]["code"] == "forbidden", (user, verb, data)
            except Refused as e:
                assert e.status == status, (user, verb, e)


def run(ws, request, stdin=None):
    ws.send(TEXT, json.dumps(request).encode())
    if stdin is not None:
        ws.send(BINARY, b"\0" + stdin)
        ws.send(TEXT, b'{"eof":true}')
    out, end = b"", None
    while True:
        opcode, data = ws.recv()
        if opcode == BINARY:
            out += data if request.get("tty") else data[1:]
        elif opcode == TEXT:
            end = json.loads(data)
        elif opcode == CLOSE:
            return out, end


def test_exec(face):
    token = face.log_in("anna")
    out, end = run(face.ws("srv", "exec", token), {"command": ["sh", "-c", "wc -c; exit 5"]}, bytes(200000))
    assert out.split() == [b"200000"] and end == {"exit": 5, "signal": 0}
    out, end = run(face.ws("srv", "exec", token), {"command": ["/no/such"]})
    assert end["error"]["code"] == "not-found", end
    ws = face.ws("srv", "exec", token)
    ws.send(TEXT, b'{"shell":true,"tty":true,"cols":80,"rows":24}')
    ws.send(TEXT, b'{"resize":[101,43]}')
    ws.send(BINARY, b"while [ \"$(stty size)\" != '43 101' ]; do sleep 0.1; done; stty size; echo don''e\r")
    seen = b""
    while b"\r\ndone" not in seen:
        opcode, data = ws.recv()
        assert opcode == BINARY
        seen += data
    assert b"43 101" in seen, seen
    ws.send(BINARY, b"exit 7\r")
    while True:
        opcode, data = ws.recv()
        if opcode == TEXT:
            assert json.loads(data) == {"exit": 7, "signal": 0}
            break


def test_streams_outlive_the_daemon(face):
    ws = face.ws("srv", "exec", face.log_in("anna"))
    ws.send(TEXT, b'{"command":["cat"],"tty":false}')
    ws.send(BINARY, b"\0before\n")
    assert ws.recv() == (BINARY, b"\1before\n")
    face.d.kill()
    ws.send(BINARY, b"\0without\n")
    assert ws.recv() == (BINARY, b"\1without\n")
    assert face.request("GET", "/v1/spaces")[0] == 503
    face.d.start("--gateway-user", "nobody")
    ws.send(BINARY, b"\0after\n")
    assert ws.recv() == (BINARY, b"\1after\n")
    ws.send(TEXT, b'{"eof":true}')
    assert ws.recv() == (TEXT, b'{"exit":0,"signal":0}')
    assert face.request("GET", "/v1/spaces")[0] == 401


def rfb(ws):
    """The RFB handshake over the WebSocket; the size of the desktop."""
    assert ws.data(12) == b"RFB 003.008\n"
    ws.send(BINARY, b"RFB 003.008\n")
    assert ws.data(2) == b"\1\1"
    ws.send(BINARY, b"\1")
    assert ws.data(4) == bytes(4)
    ws.send(BINARY, b"\1")
    head = ws.data(24)
    return struct.unpack("!HH", head[:4])


def test_desktop(face, studio):
    token = face.log_in("anna")
    ws = face.ws(studio, "desktop", token, "Sec-WebSocket-Protocol: binary")
    width, height = rfb(ws)
    assert width >= 640 and height >= 480
    ws.close()
    with pytest.raises(Refused) as e:
        face.ws(studio, "desktop", face.log_in("ben"))
    assert e.value.status == 403
    with pytest.raises(Refused) as e:
        face.ws("srv", "desktop", token)
    assert e.value.status in (404, 409), "it has no desktop"


def test_thumbnail(face, studio):
    name, _, token = face.log_in("anna").partition(": ")
    drawn = lambda: len(face.request("GET", f"/v1/spaces/home/instances/{studio}/thumbnail", headers={name: token})[2]) > 5000
    wait_for("a picture of a desktop that is drawn", drawn, step=0.5)
    begun = time.monotonic()
    status, headers, data = face.request("GET", f"/v1/spaces/home/instances/{studio}/thumbnail", headers={name: token})
    assert status == 200 and headers["Content-Type"] == "image/png" and data.startswith(b"\x89PNG"), (status, data[:300])
    assert struct.unpack("!I", data[16:20])[0] <= 480
    print(f"thumbnail: {len(data)} bytes, {(time.monotonic() - begun) * 1000:.0f} ms")
    name, _, token = face.log_in("ben").partition(": ")
    assert face.request("GET", f"/v1/spaces/home/instances/{studio}/thumbnail", headers={name: token})[0] == 403
    assert face.request("GET", "/v1/spaces/home/instances/srv/thumbnail", headers={name: token})[0] == 404


def test_vnc(face, studio):
    v = Viewer(face.vnc, f"anna@home/{studio}".encode(), PASSWORD.encode())
    assert v.failure is None
    (width, height), _ = v.start()
    v.sock.sendall(struct.pack("!BxH", 2, 1) + bytes(4))  # Raw
    v.sock.sendall(struct.pack("!BBHHHH", 3, 0, 0, 0, width, height))
    while (kind := exactly(v.sock, 1)) != b"\0":  # a bell, or words that somebody in it has copied, may come before the picture
        assert kind in b"\2\3", kind
        if kind == b"\3":
            exactly(v.sock, struct.unpack("!xxxI", exactly(v.sock, 7))[0])
    v.close()
    for name, password in ((f"anna@home/{studio}", "wrong"), (f"ben@home/{studio}", PASSWORD), (f"otto@home/{studio}", PASSWORD), ("anna@home/srv", PASSWORD)):
        v = Viewer(face.vnc, name.encode(), password.encode())
        assert v.failure, (name, password)
        v.close()
    sessions = face.d.api("GET", "/v1/users/anna/tokens").json["items"]
    wait_for("the viewer's session is ended", lambda: not [t for t in face.d.api("GET", "/v1/users/anna/tokens").json["items"]
                                                            if t["name"] == "VNC viewer"] or sessions == [])


def test_processes(face):
    status = json.loads((face.d.run / "gateway/status.json").read_text())
    assert status["sandbox"]["uid"] != 0 and status["sandbox"]["seccomp"] and status["sandbox"]["no_new_privs"]
    os.kill(status["streams"], signal.SIGKILL)
    token = face.log_in("anna")

    def again():
        try:
            return run(face.ws("srv", "exec", token), {"command": ["echo", "x"]})[0] == b"x\n"
        except (Refused, OSError, EOFError):
            return False
    wait_for("streams are back", again)
