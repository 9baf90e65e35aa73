#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""portena on a terminal, in pipes and against a bad server: what transcripts cannot show."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

import fake_api

PORTENA = os.path.abspath(sys.argv.pop(1))
# What a terminal would obey, but for colours, clearing to the end of a line or screen, and the cursor's home and sight.
HOSTILE = re.compile(rb"\x1b(?!\[[0-9;]*m|\[K|\[J|\[H|\[\?25[hl]|\[\?1049[hl]|\[\d+;1H)|[\x00-\x06\x07\x0b\x0c\x0e-\x1a\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]")


PATIENCE = 120  # seconds: reached only by what never comes
RESIZED = 'echo ready; while [ "$(stty size)" != "33 101" ]; do sleep 0.05; done; stty size; read x; echo got $x; exit 9'


class Terminal:
    """portena with a terminal of its own."""

    def __init__(self, env, *args, columns=80, rows=24):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(PORTENA, ["portena", *args], env)
        self.size(columns, rows)
        self.out = b""

    def size(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def read(self, until=None, timeout=PATIENCE):
        """Collects output until the pattern shows, or the end."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if until and re.search(until, self.out):
                return self.out
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    if until:
                        raise AssertionError(f"ended without {until!r}: {self.out!r}")
                    return self.out
                self.out += data
        raise AssertionError(f"timed out, want {until!r}, have {self.out!r}")

    def type(self, data):
        os.write(self.fd, data)

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ECHO

    def wait(self):
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fake = fake_api.Fake()

    @classmethod
    def tearDownClass(cls):
        cls.fake.close()

    def setUp(self):
        self.fake.reset()
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")}
        self.env = {**keep, "HOME": self.home.name, "PORTENA_SOCKET": self.fake.socket, "TZ": "UTC", "TERM": "xterm"}

    def run_cli(self, *args, **more):
        return subprocess.run([PORTENA, *args], env={**self.env, **more.pop("env", {})}, capture_output=True, timeout=PATIENCE, **more)


class OnATerminal(Case):
    def test_table_has_colours_and_fits(self):
        self.fake.instances[("home", "long")] = fake_api.running("long", image_name="registry.example/team/a-rather-long-name-of-an-image:2026-11")
        t = Terminal(self.env, "list")
        out = t.read()
        self.assertEqual(t.wait(), 0)
        self.assertIn(b"\x1b[32mrunning\x1b[0m", out)
        plain = re.sub(rb"\x1b\[[0-9;]*m", b"", out).decode()
        self.assertLessEqual(max(len(line) for line in plain.split("\r\n")), 80)
        self.assertIn("…", plain)

    def test_no_color(self):
        t = Terminal({**self.env, "NO_COLOR": "1"}, "list")
        out = t.read()
        self.assertEqual(t.wait(), 0)
        self.assertNotIn(b"\x1b", out)

    def test_launch_tells_and_draws(self):
        self.fake.faults = {"slow"}
        t = Terminal(self.env, "launch", "desktop", "atelier", "--memory", "1G")
        out = t.read().decode()
        self.assertEqual(t.wait(), 0)
        self.assertIn("Creating atelier in space home … image desktop (3 d old), 1 GiB memory, disk 20 GiB", out)
        self.assertIn("█", out)
        self.assertIn("atelier is running at 10.83.0.20. Open it: https://server:8443/#/desktop/home/atelier", out)

    def test_control_c_leaves_it_going(self):
        t = Terminal(self.env, "image", "build", "office")
        t.read(rb"Building image office")
        t.type(b"\x03")
        out = t.read()
        self.assertEqual(t.wait(), 1)
        self.assertIn(b"portena op cancel 01k3op", out)

    def test_help_fits(self):
        table = json.loads(self.run_cli("__commands").stdout)["commands"]
        for words in [[], *([c["name"].split()[0]] for c in table), *(c["name"].split() for c in table if not c["hidden"])]:
            out = self.run_cli("help", *words).stdout.decode()
            self.assertLessEqual(max(map(len, out.splitlines()), default=0), 80, (words, max(out.splitlines(), key=len, default="")))

    def test_launch_offers_to_build(self):
        t = Terminal(self.env, "launch", "office", "papers")
        t.read(rb"Build it now\?.*\[y/N\] ")
        t.type(b"n\r")
        out = t.read()
        self.assertEqual(t.wait(), 1)
        self.assertIn(b"portena image build office", out)
        t = Terminal(self.env, "launch", "office", "papers")
        t.read(rb"\[y/N\] ")
        t.type(b"y\r")
        out = t.read()
        self.assertEqual(t.wait(), 0)
        self.assertIn(b"Building image office", out)
        self.assertIn(b"papers is running", out)

    def test_delete_asks(self):
        t = Terminal(self.env, "delete", "db")
        t.read(rb"Delete db \(container, stopped\) and its disk of 20 GiB\? \[y/N\] ")
        t.type(b"\r")
        t.read()
        self.assertEqual(t.wait(), 1)
        self.assertIn(("home", "db"), self.fake.instances)

    def test_password_is_not_shown(self):
        t = Terminal(self.env, "login", "local", "--user", "anna")
        t.read(rb"Password: ")
        t.type(b"correct horse\r")
        out = t.read()
        self.assertEqual(t.wait(), 0)
        self.assertNotIn(b"correct", out)
        path = os.path.join(self.home.name, ".config/portena/servers.json")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(json.load(open(path))["servers"]["local"]["token"], "pt_id_secret")
        os.chmod(path, 0o644)
        r = self.run_cli("list")
        self.assertEqual(r.returncode, 4)
        self.assertIn(b"chmod 600", r.stderr)

    def test_top_gives_the_screen_back(self):
        t = Terminal(self.env, "top")
        t.read(rb"firefox")
        self.assertTrue(t.is_raw())
        t.type(b"m")
        t.type(b"q")
        out = t.read()
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 0)
        self.assertTrue(out.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"), out[-60:])
        self.assertIsNone(HOSTILE.search(out), HOSTILE.search(out))

    def test_top_ends_by_signal(self):
        t = Terminal(self.env, "top", "studio")
        t.read(rb"firefox")
        os.kill(t.pid, signal.SIGTERM)
        t.read()
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 0)


class Streams(Case):
    def test_exec_has_a_terminal(self):
        t = Terminal(self.env, "exec", "studio", "--", "sh", "-c", RESIZED, columns=90, rows=30)
        t.read(rb"ready")
        self.assertTrue(t.is_raw())
        t.size(101, 33)
        t.read(rb"33 101")
        t.type(b"hello\r")
        out = t.read()
        self.assertIn(b"got hello", out)
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 9)
        self.assertEqual(self.fake.last_exec["env"]["TERM"], "xterm")

    def test_terminal_comes_back_after_a_signal(self):
        t = Terminal(self.env, "exec", "studio", "--", "sh", "-c", "echo ready; exec sleep 30")
        t.read(rb"ready")
        os.kill(t.pid, signal.SIGTERM)
        t.read()
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 128 + signal.SIGTERM)

    def test_control_c_reaches_the_command(self):
        t = Terminal(self.env, "shell", "studio")
        t.type(b"echo re''ady\r")
        t.read(rb"ready")
        t.type(b"sleep 30\r")
        time.sleep(0.3)
        t.type(b"\x03")
        t.type(b"exit 4\r")
        t.read()
        self.assertEqual(t.wait(), 4)

    def test_console_detaches(self):
        t = Terminal(self.env, "console", "studio")
        t.read(rb"Leave it with Ctrl-\][\s\S]*welcome")
        t.type(b"hi there\x1d")
        out = t.read()
        self.assertIn(b"Left the console of studio", out)
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 0)

    def test_a_signal_ends_the_looking_at_a_console(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(sig=sig):
                p = subprocess.Popen([PORTENA, "console", "studio"], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(p.stdout.readline(), b"welcome\r\n")
                p.send_signal(sig)
                self.assertEqual(p.wait(timeout=PATIENCE), 128 + sig)
                p.stdin.close()
                p.stdout.close()

    def test_an_operation_is_followed_through_a_restart_of_the_server(self):
        self.fake.faults = {"slow", "restarts"}
        r = self.run_cli("launch", "debian", "web2", stdin=subprocess.DEVNULL)
        self.assertEqual((r.returncode, b"web2 is running" in r.stdout + r.stderr), (0, True), r.stderr)
        self.assertGreater(sum(path.startswith("/v1/operations/") for _, path, _ in self.fake.requests), 3)

    def test_what_was_cut_off_may_be_done(self):
        self.fake.faults = {"cut"}
        r = self.run_cli("stop", "studio", stdin=subprocess.DEVNULL)
        self.assertEqual((r.returncode, r.stdout), (5, b""))
        self.assertIn(b"may be done all the same; see:  portena op list", r.stderr)
        r = self.run_cli("show", "studio")
        self.assertEqual(r.returncode, 0)

    def test_bytes_pass_whole(self):
        data = os.urandom(3 << 20)
        r = self.run_cli("exec", "studio", "cat", input=data)
        self.assertEqual((r.returncode, r.stdout == data), (0, True))
        with tempfile.TemporaryFile() as f, tempfile.TemporaryFile() as out:
            f.write(data)
            f.seek(0)
            r = subprocess.run([PORTENA, "exec", "studio", "--", "sh", "-c", "cat; exit 3"], env=self.env, stdin=f, stdout=out, timeout=PATIENCE)
            out.seek(0)
            self.assertEqual((r.returncode, out.read() == data), (3, True))

    def test_output_before_a_quick_end_is_kept(self):
        for _ in range(20):
            r = self.run_cli("exec", "studio", "--", "sh", "-c", "head -c 200000 /dev/zero; echo e >&2", stdin=subprocess.DEVNULL)
            self.assertEqual((r.returncode, len(r.stdout), r.stderr), (0, 200000, b"e\n"))

    def test_a_child_that_lingers_is_not_waited_for(self):
        begin = time.monotonic()
        r = self.run_cli("exec", "studio", "--", "sh", "-c", "sleep 300 & echo done")
        self.assertEqual((r.returncode, r.stdout), (0, b"done\n"))
        self.assertLess(time.monotonic() - begin, 200)

    def test_closed_output_ends_the_command(self):
        p = subprocess.Popen([PORTENA, "exec", "studio", "yes"], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.read(10)
        p.stdout.close()
        self.assertIn(p.wait(timeout=PATIENCE), (1, 128 + signal.SIGPIPE))

    def test_signals_are_passed_on(self):
        p = subprocess.Popen([PORTENA, "exec", "studio", "--", "sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done"], env=self.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.readline()
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(p.wait(timeout=PATIENCE), 5)
        p.stdout.close()

    def test_three_interrupts_get_out(self):
        p = subprocess.Popen([PORTENA, "exec", "studio", "--", "sh", "-c", "trap '' INT; echo ready; exec sleep 20"], env=self.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.readline()
        for _ in range(600):  # two that come before the first was heard are one
            p.send_signal(signal.SIGINT)
            time.sleep(0.2)
            if p.poll() is not None:
                break
        self.assertEqual(p.wait(timeout=PATIENCE), 130)
        p.stdout.close()

    def test_closed_input_goes_through(self):
        r = self.run_cli("exec", "studio", "wc", "-c", input=b"12345")
        self.assertEqual(r.stdout.strip(), b"5")

    def test_copy_keeps_trees(self):
        d = self.home.name
        os.makedirs(d + "/tree/sub")
        with open(d + "/tree/run.sh", "w") as f:
            f.write("#!/bin/sh\n")
        os.chmod(d + "/tree/run.sh", 0o750)
        os.symlink("../run.sh", d + "/tree/sub/link")
        with open(d + "/tree/sub/big", "wb") as f:
            f.write(os.urandom(1 << 20))
        for args in (["tree", "studio:/etc/"], ["studio:/etc/tree", "back"], ["studio:/etc/tree", "web:/second"], ["web:/second", "again"]):
            r = self.run_cli("cp", *args, cwd=d)
            self.assertEqual((r.returncode, r.stderr.split(b",")[0]), (0, b"3 files"), r.stderr)
        self.assertEqual(subprocess.run(["diff", "-r", "--no-dereference", "tree", "back"], cwd=d).returncode, 0)
        self.assertEqual(subprocess.run(["diff", "-r", "--no-dereference", "tree", "again"], cwd=d).returncode, 0)
        self.assertEqual(os.stat(d + "/again/run.sh").st_mode & 0o777, 0o750)
        self.assertEqual(os.readlink(d + "/again/sub/link"), "../run.sh")
        self.assertEqual([n for n in os.listdir(d) if n.startswith(".portena")], [])


class BadServers(Case):
    EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp\u009b31m" + "x" * 500

    def test_nothing_of_a_name_is_obeyed(self):
        self.fake.instances[("home", "evil")] = fake_api.running(self.EVIL, image_name=self.EVIL, description=self.EVIL, address=self.EVIL,
                                                                  state=self.EVIL, step=self.EVIL, error=self.EVIL, created_by=self.EVIL)
        self.fake.images[0]["names"] = [self.EVIL]
        self.fake.images[0]["os"] = self.EVIL
        self.fake.recipes[0].update(name=self.EVIL, description=self.EVIL)
        self.fake.spaces["home"].update(description=self.EVIL, members={self.EVIL: self.EVIL}, role=self.EVIL)
        self.fake.users["anna"].update(full_name=self.EVIL)
        self.fake.operation(self.EVIL, self.EVIL)["step"] = self.EVIL
        for args in (["list"], ["list", "-a"], ["show", "evil"], ["image", "list"], ["image", "list", "-q"], ["image", "recipes"], ["space", "list"],
                     ["space", "show"], ["space", "members"], ["user", "list"], ["whoami"], ["op", "list"], ["list", "-q"], ["list", "--json"],
                     ["space", "list", "--json"], ["ps"], ["logs", "studio"], ["nothing\x1b[2J"], ["show", "\x1b[2J"], ["list", "--\x1b[2J"],
                     ["image", "show", "\x1b[2J"], ["set", "studio", "\x1b[2J=1"], ["exec", "studio", "-T", "no\x1b[2J"]):
            t = Terminal(self.env, *args)
            out = t.read()
            t.wait()
            self.assertTrue(out, args)
            self.assertIsNone(HOSTILE.search(out.replace(b"\r\n", b"\n")), (args, out[:2000]))

    def test_json_is_the_same_for_programs(self):
        self.fake.instances[("home", "evil")] = fake_api.running("evil", description="é\u009b\u202e\x1b")
        r = self.run_cli("show", "evil", "--json")
        self.assertEqual(json.loads(r.stdout)["description"], "é\u009b\u202e\x1b")
        self.assertIn("é".encode(), r.stdout)
        self.assertNotIn(b"\xc2\x9b", r.stdout)

    def serve(self, answer, close=True):
        """A socket that answers every connection with these bytes."""
        path = os.path.join(self.home.name, "bad.sock")
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(8)
        self.addCleanup(s.close)

        def run():
            while True:
                try:
                    c, _ = s.accept()
                except OSError:
                    return
                c.recv(65536)
                try:
                    c.sendall(answer)
                except OSError:
                    pass
                if close:
                    c.close()

        threading.Thread(target=run, daemon=True).start()
        self.env["PORTENA_SOCKET"] = path
        self.env["PORTENA_SPACE"] = "home"

    def check(self, answer, args=("list",), codes=(1, 5)):
        self.serve(answer)
        r = self.run_cli(*args)
        self.assertIn(r.returncode, codes, r.stderr)
        self.assertRegex(r.stderr, rb"^portena: ")
        self.assertNotIn(b"\x1b", r.stderr)
        return r.stderr

    def test_empty(self):
        self.check(b"")

    def test_cut_in_the_middle(self):
        self.check(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"items\":[")

    def test_no_json(self):
        self.check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x1b[2", codes=(1, 2, 5))

    def test_deep_json(self):
        body = b"[" * 100000
        self.check(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, codes=(1, 2, 5))

    def test_wrong_types_do_no_harm(self):
        body = json.dumps({"items": [1, None, "x", [], {"name": 7, "state": {}, "usage": [], "ports": {"a": 1}, "cpu": "x"}, {}]}).encode()
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        for args in ("list", "image list", "image recipes", "space list", "user list", "token list anna", "volume list", "network show", "ps", "op list",
                     "audit", "doctor", "node", "whoami", "show x", "space show", "space members", "user show a", "image show x", "quota", "start x",
                     "launch a b", "image prune", "version", "desktop x", "delete x -n", "top --once"):
            r = self.run_cli(*args.split())
            self.assertIn(r.returncode, (0, 1, 2, 3), (args, r.stderr))
            self.assertNotIn(b"Sanitizer", r.stderr)
            self.assertNotIn(b"CRITICAL", r.stderr, args)

    def test_error_without_words(self):
        said = self.check(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", codes=(5,))
        self.assertIn(b"503", said)

    def test_error_with_escapes(self):
        body = json.dumps({"title": "conflict", "detail": "no\x1b[2J\nhint\x07", "hint": "a\x1b]0;x\x07\nb"}).encode()
        self.check(b"HTTP/1.1 409 x\r\nContent-Length: %d\r\n\r\n" % len(body) + body, codes=(1,))

    def test_stream_without_a_descriptor(self):
        self.check(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n" + struct.pack("=5I", 0x31575450, 1, 0, 0, 0),
                   ("exec", "studio", "true"), codes=(1, 2, 5))

    def test_stream_of_nonsense(self):
        self.check(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: portena-stream/1\r\n\r\n" + b"\xff" * 64, ("exec", "studio", "true"),
                   codes=(1, 2, 5))


class OverHttps(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.url = cls.fake.serve_tls()

    def setUp(self):
        super().setUp()
        del self.env["PORTENA_SOCKET"]

    def login(self, *more):
        return self.run_cli("login", self.url, "--user", "anna", *more, input=b"correct horse\n")

    def servers(self):
        return json.load(open(os.path.join(self.home.name, ".config/portena/servers.json")))

    def test_nobody_here_to_believe(self):
        r = self.login()
        self.assertEqual(r.returncode, 4)
        self.assertIn(b"--fingerprint ", r.stderr)
        self.assertEqual([q for q in self.fake.requests if q[0] == "POST"], [])

    def fingerprint(self):
        out = subprocess.run(["openssl", "x509", "-in", self.fake.dir + "/tls.pem", "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True)
        return out.stdout.strip().partition("=")[2]

    def test_wrong_fingerprint(self):
        r = self.login("--fingerprint", "AB:CD")
        self.assertEqual(r.returncode, 4)
        self.assertEqual([q for q in self.fake.requests if q[0] == "POST"], [])

    def test_login_and_work(self):
        r = self.login("--fingerprint", self.fingerprint())
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"You are anna at " + self.url.encode(), r.stdout)
        entry = self.servers()["servers"][self.url]
        self.assertEqual((entry["token"], entry["fingerprint"]), ("pt_id_secret", self.fingerprint()))
        self.assertEqual(self.run_cli("list", "-q").stdout, b"studio\ndb\nweb\n")
        r = self.run_cli("show", "nobody")
        self.assertEqual(r.returncode, 3)
        self.assertIn(b"no instance called nobody", r.stderr)
        r = self.run_cli("desktop", "studio")
        self.assertEqual(r.stdout.decode().strip(), self.url + "/#/desktop/home/studio")
        self.assertEqual(self.run_cli("events", "-n", "2").returncode, 0)
        self.assertEqual(self.run_cli("logs", "studio").returncode, 0)
        with open(self.home.name + "/f", "wb") as f:
            f.write(os.urandom(300000))
        r = self.run_cli("cp", "f", "studio:/f", cwd=self.home.name)
        self.assertEqual(r.returncode, 0, r.stderr)
        r = self.run_cli("cp", "studio:/f", "-")
        self.assertEqual(r.stdout, open(self.home.name + "/f", "rb").read())
        self.assertEqual(self.run_cli("logout").returncode, 0)
        self.assertNotIn("token", self.servers()["servers"][self.url])

    def test_streams(self):
        r = self.login("--fingerprint", self.fingerprint())
        self.assertEqual(r.returncode, 0, r.stderr)
        r = self.run_cli("exec", "studio", "--", "sh", "-c", "cat; echo oops >&2; exit 7", input=b"hello\n")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (7, b"hello\n", b"oops\n"))
        data = os.urandom(1 << 20)
        r = self.run_cli("exec", "studio", "cat", input=data)
        self.assertEqual((r.returncode, r.stdout == data), (0, True))
        r = self.run_cli("exec", "studio", "--", "sh", "-c", "kill -9 $$")
        self.assertEqual(r.returncode, 137)
        r = self.run_cli("exec", "studio", "no-such-command")
        self.assertEqual((r.returncode, r.stderr), (127, b"portena: studio: no-such-command: there is no such command\n"))
        r = self.run_cli("exec", "nothing-here", "true")
        self.assertEqual(r.returncode, 3, r.stderr)
        self.assertIn(b"no instance called nothing-here", r.stderr)
        r = self.run_cli("exec", "db", "true")
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn(b"portena start db", r.stderr)
        p = subprocess.Popen([PORTENA, "exec", "studio", "--", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"], env=self.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        p.stdout.readline()
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(timeout=PATIENCE), 5)
        p.stdout.close()

    def test_server_gone_in_the_middle(self):
        self.login("--fingerprint", self.fingerprint())
        self.fake.faults = {"monitor-dies"}
        r = self.run_cli("exec", "studio", "sleep", "5")
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertIn(b"before the end was known", r.stderr)

    def test_terminal(self):
        self.login("--fingerprint", self.fingerprint())
        t = Terminal(self.env, "exec", "studio", "--", "sh", "-c", RESIZED)
        t.read(rb"ready")
        t.size(101, 33)
        t.read(rb"33 101")
        t.type(b"hello\r")
        out = t.read()
        self.assertIn(b"got hello", out)
        self.assertFalse(t.is_raw())
        self.assertEqual(t.wait(), 9)
        t = Terminal(self.env, "console", "studio")
        t.read(rb"welcome")
        t.type(b"\x1d")
        t.read(rb"Left the console")
        self.assertEqual(t.wait(), 0)

    def test_another_key_is_refused(self):
        self.login("--fingerprint", self.fingerprint())
        path = os.path.join(self.home.name, ".config/portena/servers.json")
        settings = self.servers()
        settings["servers"][self.url]["pin"] = "sha256//" + "A" * 43 + "="
        with open(path, "w") as f:
            json.dump(settings, f)
        self.fake.requests.clear()
        for args in (["list"], ["exec", "studio", "true"]):
            r = self.run_cli(*args)
            self.assertEqual(r.returncode, 4, r.stderr)
            self.assertIn(b"another one", r.stderr)
        self.assertEqual(self.fake.requests, [])

    def test_asks_on_a_terminal(self):
        t = Terminal(self.env, "login", self.url, "--user", "anna")
        t.read(rb"SHA-256 [0-9A-F:]{95}[\s\S]*\[y/N\] ")
        t.type(b"y\r")
        t.read(rb"Password: ")
        t.type(b"correct horse\r")
        t.read()
        self.assertEqual(t.wait(), 0)

    def test_authorities(self):
        r = self.login("--cert", self.fake.dir + "/tls.pem")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotIn("pin", self.servers()["servers"][self.url])
        self.assertEqual(self.run_cli("list", "-q").returncode, 0)
        self.fake.certificate(self.fake.dir + "/other.pem")
        r = self.login("--cert", self.fake.dir + "/other.pem")
        self.assertEqual(r.returncode, 4)

    def test_nobody_there(self):
        r = self.run_cli("login", "https://localhost:1", "--user", "anna", input=b"x\n")
        self.assertEqual(r.returncode, 5)


class Completion(Case):
    def complete(self, *words):
        r = self.run_cli("__complete", str(len(words) - 1), "--", *words)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout.decode().split()

    def test_words(self):
        self.assertIn("launch", self.complete(""))
        self.assertEqual(self.complete("sta"), ["start"])
        self.assertIn("create", self.complete("space", ""))
        self.assertEqual(self.complete("space", "member", "a"), ["add"])
        self.assertEqual(self.complete("show", "st"), ["studio"])
        self.assertEqual(self.complete("show", "home/d"), ["home/db"])
        self.assertEqual(self.complete("launch", "off"), ["office"])
        self.assertEqual(self.complete("launch", "--mem"), ["--memory"])
        self.assertEqual(self.complete("list", "--space", ""), ["home"])
        self.assertEqual(self.complete("set", "studio", "mem"), ["memory="])
        self.assertEqual(self.complete("cp", "stu"), ["studio:", ":files"])
        self.assertEqual(self.complete("exec", "studio", "--", "l"), [])

    def test_no_server(self):
        self.env["PORTENA_SOCKET"] = "/nowhere"
        self.assertEqual(self.complete("show", "st"), [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
