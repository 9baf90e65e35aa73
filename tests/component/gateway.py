#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""portena-gateway from outside, in front of an API made for it. TAP on standard output.

gateway.py PROGRAM [NAME…]: only the named tests."""
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import traceback

from gateway_bed import GOOD, HOME, LOOKER, PATIENCE, PORT, ROOT, VNC, Bed, answer, curl, echo, wait
from gateway_rfb import Viewer
from gateway_ws import BINARY, CLOSE, PING, PONG, TEXT, Refused, WebSocket
import gateway_vnc


# ---- HTTPS

def test_pages(bed):
    status, headers, body = answer("/", "--http2")
    assert status == 200 and "Portena" in body
    assert headers["content-type"] == "text/html; charset=utf-8"
    csp = headers["content-security-policy"]
    assert "default-src 'self'" in csp and "frame-ancestors 'none'" in csp and "unsafe" not in csp
    for name, value in {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY",
                        "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
                        "cache-control": "no-cache", "server": "nginx"}.items():
        assert headers[name] == value, (name, headers)
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers, "never for localhost"
    assert "strict-transport-security" in answer("/", "-Hhost: portena.example")[1]
    assert curl("/", "--http2", "-o/dev/null", "-w%{http_version}") == "2"
    assert curl("/", "--http1.1", "-o/dev/null", "-w%{http_version}") == "1.1"
    headers = curl("/assets/a-1.js", "-Haccept-encoding: gzip", "-I")
    assert "content-encoding: gzip" in headers and "immutable" in headers, headers
    assert "let a" in curl("/assets/a-1.js", "--compressed")


def test_pages_hostile(bed):
    for path in ("/missing", "/passwd", "/assets/", "/../../../etc/passwd", "/..%2f..%2fetc/passwd", "/.%00./x"):
        status = int(curl(path, "--path-as-is", "-o/dev/null", "-w%{http_code}"))
        assert status in (400, 403, 404), (path, status)
    assert "root:" not in curl("/passwd")
    assert answer("/", "-XDELETE")[0] == 405
    plain = subprocess.run(["curl", "-s", "-i", f"-m{PATIENCE}", f"http://localhost:{PORT}/"], capture_output=True, text=True).stdout
    assert "301" in plain.split("\n")[0] and f"https://localhost:{PORT}/" in plain, plain


def test_proxy(bed):
    seen = json.loads(curl("/v1/echo", "-Hx-forwarded-for: 6.6.6.6", "-Hforwarded: for=6.6.6.6", "-Hx-real-ip: 6.6.6.6",
                           "-Hx-portena-purpose: thumbnail", "-Hcookie: portena=x", "-Hx-portena: 1", "-Horigin: https://localhost",
                           "-Hif-match: \"7\"", "-Hupgrade: portena-stream/1", "-Hconnection: upgrade", "--http1.1"))
    assert seen["x-forwarded-for"] == "127.0.0.1" and "forwarded" not in seen and "x-real-ip" not in seen, seen
    assert "x-portena-purpose" not in seen and "upgrade" not in seen and "connection" not in seen, seen
    assert seen["cookie"] == "portena=x" and seen["x-portena"] == "1" and seen["if-match"] == '"7"'
    assert seen["host"] == f"localhost:{PORT}" and seen["origin"] == "https://localhost"
    status, headers, body = answer("/v1/spaces/home/instances/nothing", "-H" + GOOD)
    assert status == 404 and headers["content-type"].startswith("application/problem+json")
    assert "default-src 'none'" in headers["content-security-policy"] and json.loads(body)["title"] == "not-found"


def test_events_flow(bed):
    p = subprocess.Popen(["curl", "-skN", f"-m{PATIENCE}", "-H" + GOOD, f"https://localhost:{PORT}/v1/events"], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"data: first\n", "it is passed on before the stream ends, which is later than curl waits"
    p.kill()
    p.wait()


def test_sizes(bed):
    big = bed.path("big")
    with open(big, "wb") as f:
        f.truncate(5 << 20)
    status, _, body = answer("/v1/echo", "-XPOST", "--data-binary", f"@{big}")
    assert status == 413 and json.loads(body)["title"] == "too-large", (status, body)
    status, _, body = answer(f"{HOME}/files?path=/big", "-T", big, "-H" + GOOD)
    assert status == 200 and json.loads(body)["size"] == 5 << 20, body
    assert curl("/v1/echo", "-Hx: " + "y" * 40000, "-o/dev/null", "-w%{http_code}") in ("000", "400"), "HTTP/2 resets the stream"
    assert curl("/v1/echo", "-Hx: " + "y" * 40000, "-o/dev/null", "-w%{http_code}", "--http1.1") == "400"


def test_down_and_back(bed):
    bed.api.stop()
    try:
        down(bed)
    finally:
        bed.api.start()
    for _ in range(20):
        assert answer("/v1/echo")[0] == 200


def down(bed):
    status, headers, body = answer("/v1/echo")
    assert status == 503 and headers["content-type"].startswith("application/problem+json"), (status, headers)
    problem = json.loads(body)
    assert problem["title"] == "unreachable" and problem["status"] == 503 and "hint" in problem
    assert "Portena" in curl("/"), "the pages are there without the daemon"
    try:
        WebSocket(PORT, f"{HOME}/desktop", [GOOD])
        assert False
    except Refused as e:
        assert e.status == 503 and json.loads(e.body)["title"] == "unreachable", e


def test_login_limit(bed):
    body = '{"user":"anna","password":"wrong"}'
    config = "\n".join(f'next\nurl = "https://localhost:{PORT}/v1/session"\ndata = "{{}}"\ninsecure\noutput = /dev/null\n'
                       'write-out = "%{http_code} "' for _ in range(60)).removeprefix("next\n")
    codes = []
    for _ in range(20):  # one round may be too slow for the limit on a busy machine
        codes += subprocess.run(["curl", "-skZ", "-K-"], input=config, capture_output=True, text=True).stdout.split()
        if "429" in codes:
            break
    assert "429" in codes and "401" in codes, codes
    status, headers, body = answer("/v1/session", "-XPOST", "-d{}")
    if status == 429:
        assert headers["retry-after"] == "5" and json.loads(body)["title"] == "rate"
    assert answer("/v1/session")[0] == 401, "looking is not limited"
    time.sleep(1)


def test_tls(bed):
    for version, good in ((ssl.TLSVersion(0x302), False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with socket.create_connection(("127.0.0.1", PORT)) as raw, context.wrap_socket(raw) as s:
                der = s.getpeercert(True)
            assert good, version
        except ssl.SSLError:
            assert not good, version
    fingerprint = hashlib.sha256(der).hexdigest().upper()
    certificate = bed.status()["certificate"]
    assert certificate["fingerprint"].replace(":", "") == fingerprint and not certificate["own"]
    assert "BEGIN CERTIFICATE" in curl("/.well-known/portena/certificate.pem")
    p = subprocess.run(["curl", "-s", "--cacert", bed.path("state/self-cert.pem"), "--pinnedpubkey", certificate["pin"],
                        f"https://localhost:{PORT}/healthz"], capture_output=True, text=True)
    assert "ok" in p.stdout, p.stderr


# ---- WebSocket

def test_ws_refusals(bed):
    cases = [
        (f"{HOME}/desktop", [], 401, "unauthenticated"),
        (f"{HOME}/console", [], 401, "unauthenticated"),
        (f"{HOME}/exec", [], 401, "unauthenticated"),
        (f"{HOME}/desktop", [LOOKER], 403, "forbidden"),
        ("/v1/spaces/home/instances/other/desktop", [GOOD], 404, "not-found"),
        (f"{HOME}/desktop", ["Cookie: portena=pt_1_good"], 403, "forbidden"),
        (f"{HOME}/desktop", ["Cookie: portena=pt_1_good", "Origin: https://evil.example"], 403, "forbidden"),
        (f"{HOME}/desktop", ["Cookie: portena=pt_1_good", f"Origin: http://localhost:{PORT}"], 403, "forbidden"),
        (f"{HOME}/desktop", ["Cookie: portena=pt_1_good", "Origin: null"], 403, "forbidden"),
        (f"{HOME}/desktop", [GOOD, "Origin: https://evil.example"], 403, "forbidden"),
        (f"{HOME}/desktop", [GOOD, "Sec-WebSocket-Version: 8"], 426, "invalid"),
        (f"{HOME}/desktop", [GOOD, "Upgrade: h2c"], 426, "invalid"),
        ("/v1/spaces/Home/instances/studio/desktop", [GOOD], 404, "not-found"),
        ("/v1/spaces/home/instances/%2e%2e/desktop", [GOOD], 404, "not-found"),
        ("/v1/spaces/home/instances/a%2Fb/desktop", [GOOD], 404, "not-found"),
    ]
    for path, headers, status, title in cases:
        try:
            WebSocket(PORT, path, headers).close()
            assert False, (path, headers)
        except Refused as e:
            assert e.status == status and json.loads(e.body)["title"] == title, (path, headers, e)
    for key in ("short", "x" * 24, "AAAAAAAAAAAAAAAAAAAAAAAA"):
        try:
            WebSocket(PORT, f"{HOME}/desktop", [GOOD], key=key)
            assert False, key
        except Refused as e:
            assert e.status == 426


def test_ws_handshake(bed):
    bed.echo = echo
    ws = WebSocket(PORT, f"{HOME}/desktop", ["Cookie: portena=pt_1_good", f"Origin: https://localhost:{PORT}", "Sec-WebSocket-Protocol: binary"],
                   key="dGhlIHNhbXBsZSBub25jZQ==")
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in ws.head and "Sec-WebSocket-Protocol: binary" in ws.head, ws.head
    method, path, headers = [r for r in bed.api.requests if r[1].endswith("/desktop")][-1]
    assert headers["cookie"] == "portena=pt_1_good" and headers["x-forwarded-for"] == "127.0.0.1" and headers["host"] == f"localhost:{PORT}"
    ws.close()
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD, "Sec-WebSocket-Protocol: other"])
    assert "Sec-WebSocket-Protocol" not in ws.head, ws.head
    ws.close()


def test_ws_echo(bed):
    bed.echo = echo
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
        data = os.urandom(size)
        ws.send(BINARY, data)
        assert ws.data(size) == data, size
    data = os.urandom(10000)
    ws.send(BINARY, data[:10], fin=False)
    ws.send(PING, b"between")
    ws.send(0, data[10:5000], fin=False)
    ws.send(0, data[5000:])
    assert ws.recv() == (PONG, b"between")
    assert ws.data(10000) == data
    frame = ws.frame(BINARY, b"slowly")
    for i in range(len(frame)):
        ws.sock.sendall(frame[i:i + 1])
    assert ws.data(6) == b"slowly"
    ws.send(CLOSE, struct.pack("!H", 1000) + b"bye")
    assert ws.close_code() == 1000


def test_ws_violations(bed):
    bed.echo = echo
    F = WebSocket.frame
    cases = [
        ("unmasked", F(BINARY, b"x", mask=False), 1002),
        ("reserved bit", F(BINARY, b"x", rsv=4), 1002),
        ("unknown opcode", F(3, b"x"), 1002),
        ("unknown control", F(11, b"x"), 1002),
        ("continuation of nothing", F(0, b"x"), 1002),
        ("two beginnings", F(BINARY, b"x", fin=False) + F(BINARY, b"x"), 1002),
        ("fragmented ping", F(PING, b"x", fin=False), 0),
        ("long ping", F(PING, b"x" * 126), 0),
        ("bad UTF-8", F(TEXT, b"\xff\xfe"), 1007),
        ("UTF-8 cut off", F(TEXT, b"\xc3"), 1007),
        ("surrogate", F(TEXT, b"\xed\xa0\x80"), 1007),
        ("no message of ours", F(TEXT, b"hello"), 1007),
        ("deep JSON", F(TEXT, b"[" * 5000), 1007),
        ("bad size", F(TEXT, b'{"resize":[0,99999]}'), 1007),
        ("unknown signal", F(TEXT, b'{"signal":"NUCLEAR"}'), 1007),
        ("huge", F(BINARY, b"begin", length=(1 << 20) + 1), 1009),
        ("absurd", F(BINARY, b"begin", length=(1 << 63) - 1), 1009),
        ("negative", F(BINARY, b"", length=(1 << 64) - 1), 0),
        ("huge in pieces", b"".join(F(BINARY if i == 0 else 0, bytes(300000), fin=False) for i in range(4)), 1009),
        ("bad close code", F(CLOSE, struct.pack("!H", 1005)), 1002),
        ("close of one byte", F(CLOSE, b"x"), 0),
    ]
    for name, data, code in cases:  # 0: a close without a code
        ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
        try:
            ws.sock.sendall(data)
        except OSError:
            pass
        got = ws.close_code()
        assert got == code, (name, got)
        ws.close()


def test_ws_ends(bed):
    bed.echo = lambda sock: (sock.sendall(b"last words"), sock.close())
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    assert ws.data(10) == b"last words" and ws.close_code() == 1000
    gone = threading.Event()

    def waits(sock):
        while sock.recv(100):
            pass
        gone.set()
    bed.echo = waits
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    ws.close()
    assert gone.wait(PATIENCE), "the desktop's connection outlives its browser"


def memory(bed):
    with open(f"/proc/{bed.status()['streams']}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def test_ws_slow_reader(bed):
    sent = [0]

    def flood(sock):
        sock.settimeout(2)
        try:
            while True:
                sent[0] += sock.send(bytes(65536))
        except OSError:
            pass
        sock.close()
    bed.echo = flood
    before = memory(bed)
    sockets = [WebSocket(PORT, f"{HOME}/desktop", [GOOD], rcvbuf=4096) for _ in range(10)]
    time.sleep(1.5)
    grown = memory(bed) - before
    assert sent[0] < 200 << 20, f"{sent[0]} bytes went somewhere"
    assert grown < 16 << 10 or bed.sanitized, f"{grown} KiB"
    for ws in sockets:
        ws.close()


def test_ws_slow_desktop(bed):
    release = threading.Event()
    got = [0]

    def stubborn(sock):
        release.wait(PATIENCE)
        while data := sock.recv(1 << 16):
            got[0] += len(data)
    bed.echo = stubborn
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    before = memory(bed)
    sent = [0]

    def pump():
        try:
            for _ in range(64):
                ws.send(BINARY, bytes(1 << 20))
                sent[0] += 1 << 20
        except OSError:
            pass
    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    time.sleep(1)
    assert sent[0] < 30 << 20, "nobody held it back"
    assert memory(bed) - before < 8 << 10 or bed.sanitized
    release.set()
    thread.join(PATIENCE)
    wait(lambda: got[0] == 64 << 20)
    ws.close()


def test_ws_ping_flood(bed):
    bed.echo = echo
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD], rcvbuf=4096)
    before = memory(bed)
    ws.sock.settimeout(1)
    frames = ws.frame(PING, bytes(125)) * 500
    try:
        for _ in range(400):
            ws.sock.sendall(frames)
    except OSError:
        pass
    assert memory(bed) - before < 8 << 10 or bed.sanitized
    ws.close()


def test_ws_speed(bed):
    bed.echo = echo
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    times = []
    for _ in range(300):
        begun = time.perf_counter()
        ws.send(BINARY, b"\4\1\0\0\0\0\0a")
        ws.data(8)
        times.append(time.perf_counter() - begun)
    ws.close()
    print(f"# round trip of a key: median {sorted(times)[150] * 1e6:.0f} µs")

    def video(sock):
        for _ in range(1000):
            sock.sendall(bytes(100000))
        sock.close()
    bed.echo = video
    pid = bed.status()["streams"]
    used = lambda: sum(map(int, open(f"/proc/{pid}/stat").read().split()[13:15])) / os.sysconf("SC_CLK_TCK")
    cpu, begun = used(), time.perf_counter()
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    ws.skip(100_000_000)
    spent = time.perf_counter() - begun
    print(f"# 100 MB of video: {100 / spent:.0f} MB/s, {used() - cpu:.2f} s of cpu in the relay")


# ---- exec and console

def run_exec(request, *frames):
    ws = WebSocket(PORT, f"{HOME}/exec", [GOOD])
    ws.sock.sendall(ws.frame(TEXT, json.dumps(request).encode()) + b"".join(ws.frame(*f) for f in frames))
    out = {1: b"", 2: b""}
    while True:
        opcode, data = ws.recv()
        if opcode == BINARY:
            out[data[0]] += data[1:]
        elif opcode == TEXT:
            end = json.loads(data)
        elif opcode == CLOSE:
            return out[1], out[2], end, struct.unpack("!H", data[:2])[0]


def test_exec(bed):
    assert run_exec({"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}) == (b"out\n", b"err\n", {"exit": 3, "signal": 0}, 1000)
    data = os.urandom(300000)
    out, _, end, _ = run_exec({"command": ["cat"]}, (BINARY, b"\0" + data), (TEXT, b'{"eof":true}'))
    assert out == data and end == {"exit": 0, "signal": 0}
    out, _, end, _ = run_exec({"command": ["sleep", "60"]}, (TEXT, b'{"signal":"TERM"}'))
    assert end == {"exit": 0, "signal": 15}, end
    out, _, end, _ = run_exec({"command": ["head", "-c", "3000000", "/dev/zero"]})
    assert len(out) == 3000000
    for request, code, status in (({"command": ["missing"]}, "not-found", 1008), ({"command": ["refused"]}, "conflict", 1008)):
        *_, end, closed = run_exec(request)
        assert end["error"]["code"] == code and closed == status, (end, closed)


def test_exec_terminal(bed):
    ws = WebSocket(PORT, f"{HOME}/exec", [GOOD])
    ws.send(TEXT, b'{"command":["cat"],"tty":true}')
    ws.send(BINARY, b"hello\r")
    ws.data(7)
    ws.send(TEXT, b'{"resize":[120,40]}')
    wait(lambda: bed.api.resizes[-1:] == [(120, 40)])
    ws.send(TEXT, b'{"eof":true}')
    end = b""
    while True:
        opcode, data = ws.recv()
        if opcode == TEXT:
            end = json.loads(data)
        elif opcode == CLOSE:
            break
    assert end == {"exit": 0, "signal": 0}, end


def test_exec_hostile(bed):
    for first, code in (((BINARY, b"x"), 1007), ((TEXT, b"[]"), 1008), ((TEXT, b"{"), 1008), ((TEXT, b'{"a":1,"a":2}'), 1008)):
        ws = WebSocket(PORT, f"{HOME}/exec", [GOOD])
        ws.send(*first)
        assert ws.close_code() == code, (first, code)
    ws = WebSocket(PORT, f"{HOME}/exec", [GOOD])
    ws.send(TEXT, b'{"command":["cat"]}')
    ws.send(BINARY, b"\1x")
    assert ws.close_code() == 1007, "only standard input can be written"


def test_console(bed):
    ws = WebSocket(PORT, f"{HOME}/console?history=true&evil=%0d%0aX:%20y", [GOOD])
    path = [r[1] for r in bed.api.requests if "/console" in r[1]][-1]
    assert path == f"{HOME}/console?history=true", path
    assert b"console" in ws.data(9)
    ws.send(BINARY, b"hey\r")
    assert b"hey" in ws.data(5)
    ws.close()


# ---- the processes

def tree(bed):
    s = bed.status()
    with open(f"/proc/{s['nginx']}/task/{s['nginx']}/children") as f:
        workers = [int(p) for p in f.read().split()]
    return s["pid"], s["streams"], s["nginx"], workers


def test_memory(bed):
    bed.stop()
    bed.start()
    time.sleep(0.5)
    total, parts = 0, []
    gateway, streams, nginx, workers = tree(bed)
    for pid in [gateway, streams, nginx, *workers]:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            pss = int(re.search(r"Pss:\s+(\d+)", f.read()).group(1))
        parts.append(pss)
        total += pss
    print(f"# idle: {total / 1024:.1f} MiB {parts}")
    assert total <= 18 * 1024 or bed.sanitized


def test_sandbox(bed):
    gateway, streams, nginx, workers = tree(bed)
    for pid in (gateway, streams, nginx, *workers):
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", (pid, status)
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0 or not ROOT
        if ROOT:
            assert status["Uid"].split() == [str(pwd.getpwnam("nobody").pw_uid)] * 4
    s = bed.status()["sandbox"]
    assert s["no_new_privs"] and s["seccomp"] and not s["root"]
    assert os.stat(bed.path("state")).st_mode & 0o777 == 0o700
    assert os.stat(bed.path("state/self-key.pem")).st_mode & 0o777 == 0o600
    assert os.stat(bed.path("run/streams.sock")).st_mode & 0o777 == 0o600


def test_restarts(bed):
    gateway, streams, nginx, workers = tree(bed)
    os.kill(nginx, signal.SIGKILL)
    wait(lambda: bed.status()["nginx"] not in (0, nginx) and "ok" in curl("/healthz"))
    wait(lambda: not any(os.path.exists(f"/proc/{w}") for w in workers))
    os.kill(streams, signal.SIGSEGV)
    wait(lambda: bed.status()["streams"] not in (0, streams))
    bed.echo = echo
    ws = WebSocket(PORT, f"{HOME}/desktop", [GOOD])
    ws.send(BINARY, b"again")
    assert ws.data(5) == b"again"
    ws.close()
    gateway, streams, nginx, workers = tree(bed)
    bed.process.kill()
    bed.process.wait()
    wait(lambda: not any(os.path.exists(f"/proc/{p}") for p in (streams, nginx, *workers)))
    bed.start()
    assert bed.api.path and answer("/v1/echo")[0] == 200


def test_certificates(bed):
    first = bed.status()["certificate"]
    bed.stop()
    bed.start()
    assert bed.status()["certificate"] == first, "made once"
    own = bed.path("own")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", own + ".key", "-out", own + ".pem", "-days", "9",
                    "-subj", "/CN=example"], check=True, capture_output=True)
    shutil.copy(own + ".pem", bed.path("state/cert.pem"))
    shutil.copy(own + ".key", bed.path("state/key.pem"))
    if ROOT:
        shutil.chown(bed.path("state/key.pem"), "nobody")
    bed.process.send_signal(signal.SIGHUP)
    der = subprocess.run(["openssl", "x509", "-in", own + ".pem", "-outform", "der"], capture_output=True, check=True).stdout

    def shown():
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", PORT)) as raw, context.wrap_socket(raw) as s:
            return s.getpeercert(True)
    wait(lambda: shown() == der)

    def over_vnc():
        try:
            return Viewer(VNC, b"anna@home/studio", b"pt_1_good").sock.getpeercert(True) == der
        except OSError:
            return False
    wait(over_vnc)
    bed.stop()
    shutil.copy(bed.path("state/self-cert.pem"), bed.path("state/cert.pem"))
    p = subprocess.run(bed.command(), capture_output=True, text=True, timeout=PATIENCE)
    assert p.returncode == 1 and "is not the key of" in p.stderr, p.stderr
    os.unlink(bed.path("state/cert.pem"))
    p = subprocess.run(bed.command(), capture_output=True, text=True, timeout=PATIENCE)
    assert p.returncode == 1 and "remove both" in p.stderr, p.stderr
    os.unlink(bed.path("state/key.pem"))
    bed.start()
    assert bed.status()["certificate"] == first


def test_command_line(bed):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for change, code, text in (
            ({"listen": f"127.0.0.1:{port}"}, 1, "another program has that port"), ({"listen": "localhost:1"}, 2, "write a number"),
            ({"listen": "none"}, 2, "one address at least"), ({"vnc": "127.0.0.1:99999"}, 2, "write a number"),
            ({"listen": "127.0.0.1:0", "vnc": "none", "state": bed.path("x;}\nserver{")}, 1, "hold only letters"),
            ({"listen": "127.0.0.1:0", "vnc": "none", "api": '/x"$y'}, 1, "hold only letters"), ({"listn": "x"}, 2, "listn"),
            ({"listen": "127.0.0.1:0", "vnc": "none", "run": bed.path("r" * 200)}, 1, "at most"),
        ):
            p = subprocess.run(bed.command(**change), capture_output=True, text=True, timeout=PATIENCE)
            assert p.returncode == code and text in p.stderr, (change, p.returncode, p.stderr)
    if ROOT:
        p = subprocess.run(bed.command(user="no-such-user", listen="127.0.0.1:0", vnc="none"), capture_output=True, text=True, timeout=PATIENCE)
        assert p.returncode == 1 and "useradd" in p.stderr
        p = subprocess.run(bed.command(user="root", listen="127.0.0.1:0", vnc="none"), capture_output=True, text=True, timeout=PATIENCE)
        assert p.returncode == 1 and "must not be" in p.stderr


def main():
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"  # it would ptrace, which the sandbox forbids
    tests = [(n.removeprefix("test_"), f) for n, f in {**vars(gateway_vnc), **globals()}.items() if n.startswith("test_")]
    tests = [t for t in tests if not sys.argv[2:] or t[0] in sys.argv[2:]]
    if not shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        print("1..0 # SKIP nginx is not installed")
        return 0
    bed = Bed(sys.argv[1])
    failed = 0
    print(f"1..{len(tests)}")
    try:
        bed.start()
        for i, (name, test) in enumerate(tests, 1):
            bed.echo = None
            try:
                skip = test(bed)
                print(f"ok {i} {name}" + (f" # SKIP {skip}" if skip else ""), flush=True)
            except Exception:
                failed += 1
                print(f"not ok {i} {name}", flush=True)
                for line in traceback.format_exc().splitlines():
                    print("#", line, flush=True)
        if failed:
            with open(bed.path("log"), errors="replace") as f:
                for line in f.read().splitlines()[-20:]:
                    print("# log:", line[:200])
    finally:
        bed.end()
    return bool(failed)


sys.exit(main())
