# SPDX-License-Identifier: Apache-2.0
"""What `portena` says over a real daemon: not each word (tests/component/golden has those), but that what it says is true."""
import json
import os
import pty
import re
import subprocess
import termios

from daemon import BUILD, wait_for


def rows(text):
    """A table as a list of dicts; columns are as wide as their headings say."""
    head, *lines = [l for l in text.splitlines() if l.strip()]
    starts = [m.start() for m in re.finditer(r"(?:^|(?<=  ))\S", head)]
    names = [head[a:b].strip() for a, b in zip(starts, starts[1:] + [None])]
    return [dict(zip(names, (line[a:b].strip() for a, b in zip(starts, starts[1:] + [None])))) for line in lines]


def test_list_and_show(shared, name):
    shared.cli("launch", "debian", name, "--memory", "300M", "--cpu", "0.5", "--wait")
    [row] = [r for r in rows(shared.cli("list").stdout) if r["NAME"] == name]
    assert (row["KIND"], row["STATE"], row["IMAGE"], row["ADDRESS"]) == ("container", "running", "debian", shared.instance(name)["address"])
    shown = shared.cli("show", name).stdout
    assert "300 MiB" in shown and "0.5" in shown and "ready" in shown
    assert name in shared.cli("list", "-q").stdout.split()
    assert json.loads(shared.cli("show", name, "--json").stdout)["id"] == shared.instance(name)["id"]

    def measured():
        [row] = [r for r in rows(shared.cli("list").stdout) if r["NAME"] == name]
        return row["MEMORY"].endswith("MiB") and row["DISK"] != "–"
    wait_for("it is measured", measured)


def test_processes(shared, name):
    shared.cli("launch", "debian", name, "--wait")
    busy = ["sh", "-c", "while :; do :; done"]
    shared.cli("exec", name, "--", "systemd-run", "-q", *busy)
    ps = wait_for("systemd has executed it", lambda: [r for r in [rows(shared.cli("ps", name).stdout)] if any("while" in p["COMMAND"] for p in r)])[0]
    assert ps[0]["PID"] == "1" and ps[0]["COMMAND"].endswith("init") and any("while" in r["COMMAND"] for r in ps)
    every = rows(shared.cli("ps").stdout)
    assert any(r["COMPUTER"] == name and "while" in r["COMMAND"] for r in every)

    def on_top():  # how much of a processor it gets is the others' affair
        first = rows("\n".join(shared.cli("top", name, "--once").stdout.splitlines()[1:]))[0]
        return "while" in first["COMMAND"] and float(first["CPU"].split()[0]) > 0
    wait_for("what is busy is on top", on_top)


def test_logs(shared, name):
    shared.cli("launch", "debian", name, "--init", "app", "--", "sh", "-c", "for n in 1 2 3; do echo line $n; done")
    wait_for("it has spoken", lambda: "line 3" in shared.cli("logs", name).stdout)
    wait_for("it has ended", lambda: shared.instance(name)["state"] == "stopped")
    assert [l.strip() for l in shared.cli("logs", name).stdout.splitlines()] == ["line 1", "line 2", "line 3"]


def test_logs_followed(shared, name):
    """Every line once, also where all are the same."""
    loop = "read x; i=0; while [ $i -lt 3000 ]; do echo tick; i=$((i+1)); [ $((i % 500)) = 0 ] && sleep 0.3; done; echo end; read y"
    shared.cli("launch", "debian", name, "--init", "app", "--", "sh", "-c", loop)
    p = subprocess.Popen([str(BUILD / "src/cli/portena"), "logs", "-f", name], stdout=subprocess.PIPE, env=shared.env, text=True)
    master, slave = pty.openpty()
    console = subprocess.Popen([str(BUILD / "src/cli/portena"), "console", name, "--no-history"], stdin=slave, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=shared.env)
    wait_for("the terminal is raw", lambda: not termios.tcgetattr(master)[3] & termios.ICANON)  # what is typed earlier may be thrown away
    os.write(master, b"\n")
    lines = []
    while not lines or lines[-1] != "end":
        line = p.stdout.readline()
        assert line, lines[-3:]
        lines.append(line.strip())
    assert lines.count("tick") == 3000, lines.count("tick")
    shared.cli("delete", name, "--force")
    assert p.wait(300) == 0 and console.wait(300) is not None
    os.close(master)
    os.close(slave)


def test_volumes(shared, name):
    shared.cli("launch", "debian", name, "--disk", "1G")
    [row] = [r for r in rows(shared.cli("volume", "list").stdout) if r["COMPUTER"] == name]
    assert row["SIZE"] == "1 GiB" and row["POOL"] == "local"
    assert row["ID"] == shared.instance(name)["volume"]
    assert "2 GiB" in shared.cli("volume", "grow", name, "2G").stdout
    assert "2 GiB" in shared.cli("volume", "show", name).stdout
    small = shared.cli("volume", "grow", name, "1G", check=False)
    assert small.returncode in (1, 2) and "only grows" in small.stderr


def test_operations(shared, name):
    shared.cli("launch", "debian", name)
    op = next(r for r in rows(shared.cli("op", "list").stdout) if r["TARGET"] == f"home/{name}")
    assert (op["KIND"], op["STATE"], op["USER"]) == ("launch", "done", "root")
    assert f"launch home/{name}" in shared.cli("op", "show", op["ID"]).stdout
    ended = shared.cli("op", "cancel", op["ID"], check=False)
    assert ended.returncode == 1 and "ended" in ended.stderr


def test_events_and_audit(shared, name):
    mark = shared.cli("events", "--since", "0", "-n", "1", "--json").stdout
    assert json.loads(mark.splitlines()[0])["type"]
    shared.cli("launch", "debian", name)
    shared.cli("stop", name)
    told = subprocess.Popen([str(BUILD / "src/cli/portena"), "events", "--since", "0"], stdout=subprocess.PIPE, env=shared.env, text=True)
    assert any(f"home/{name}" in line for line in told.stdout)  # it tells on and on
    told.kill()
    told.wait()
    trail = rows(shared.cli("audit", "--object", f"spaces/home/instances/{name}").stdout)
    assert [r["ACTION"] for r in trail][:2] == ["stop", "launch"] and {r["OUTCOME"] for r in trail} == {"ok"}
    assert shared.cli("delete", "no-such-one", check=False).returncode == 3
    refused = rows(shared.cli("audit", "-n", "1").stdout)[0]
    assert refused["OUTCOME"] == "not-found"


def test_quota(shared, name):
    shared.cli("quota", "home", "memory=1G")
    try:
        over = shared.cli("launch", "debian", name, "--memory", "4G", check=False)
        assert over.returncode == 1 and "quota" in over.stderr and "portena" in over.stderr
        assert shared.api("GET", f"/v1/spaces/home/instances/{name}").status == 404
        assert next(r for r in rows(shared.cli("quota").stdout) if r["WHAT"] == "memory")["LIMIT"] == "1 GiB"
    finally:
        shared.cli("quota", "home", "memory=0")
    assert next(r for r in rows(shared.cli("quota").stdout) if r["WHAT"] == "memory")["LIMIT"] == "none"


def test_users_and_tokens(shared):
    shared.cli("user", "create", "erna", input="correct horse battery\n")
    try:
        assert "erna" in shared.cli("user", "list").stdout
        shared.cli("space", "member", "add", "home", "erna", "viewer")
        assert next(r for r in rows(shared.cli("space", "members", "home").stdout) if "erna" in r.values())
        login = shared.api("POST", "/v1/session", {"user": "erna", "password": "correct horse battery", "token": True})
        erna = {"Authorization": "Bearer " + login.json["token"]}
        assert shared.api("GET", "/v1/spaces/home", headers=erna).json["role"] == "viewer"
        [token] = [r for r in rows(shared.cli("token", "list", "erna").stdout)]
        shared.cli("token", "delete", token["ID"], "--user", "erna", check=False)
        shared.cli("space", "member", "remove", "home", "erna")
        assert shared.api("GET", "/v1/spaces/home", headers=erna).status in (401, 404)
    finally:
        shared.cli("user", "delete", "erna", "--yes", check=False)
    assert "erna" not in shared.cli("user", "list").stdout


def test_refusals_name_the_way_out(shared, name):
    shared.cli("launch", "debian", name)
    for args, code, words in ((["start", name], 1, "running"), (["rename", name, "other"], 1, "stopped"), (["delete", name], 1, "--force"),
                              (["launch", "debian", name], 1, "already"), (["show", "no-such-one"], 3, "portena list"),
                              (["launch", "no-such-image", "x"], 3, "portena image list"), (["launch", "debian", "Bad Name"], (1, 2), "name"),
                              (["set", name, "memory=lots"], (1, 2), "memory"), (["set", name, "no-such=1"], (1, 2), "no-such"),
                              (["set", name, "disk=1M"], 1, "disk"), (["image", "delete", "debian"], 1, name), (["exec", "no-such-one", "--", "true"], 3, "")):
        said = shared.cli(*args, check=False)
        codes = code if isinstance(code, tuple) else (code,)
        assert said.returncode in codes and words in said.stderr and said.stderr.startswith("portena: "), (args, said.returncode, said.stderr)
