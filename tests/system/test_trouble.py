# SPDX-License-Identifier: Apache-2.0
"""The bad days: a full disk, a database that cannot be written, a second daemon on the same state, a gateway killed."""
import subprocess

from daemon import BUILD, Daemon, wait_for


def test_second_daemon_is_refused(own):
    second = subprocess.run([str(BUILD / "src/daemon/portenad"), "--state", str(own.state), "--run", str(own.run), "--uplink", "none", "--no-tune",
                             "--cgroup", own.cgroup, "--libexec", str(BUILD / "src/helpers")], capture_output=True, text=True, env=own.env, timeout=60)
    assert second.returncode == 1 and "portenad:" in second.stderr
    assert own.api("GET", "/healthz").status == 200


def test_wrong_settings_are_named():
    for argv, word in ((["--node", "Not A Name"], "node"), (["--state", "relative"], "state"), (["--no-such"], "no-such"),
                       (["--config", "/nonexistent"], "/nonexistent")):
        done = subprocess.run([str(BUILD / "src/daemon/portenad"), *argv], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and word in done.stderr, done.stderr


def test_full_disk(tmp_path):
    """State on a small file system that is filled up: requests fail with a reason, what runs goes on, and room makes it well again."""
    image = tmp_path / "disk.img"
    with open(image, "wb") as f:
        f.truncate(6 << 30)
    where = tmp_path / "m"
    where.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(where)], check=True)
    try:
        d = Daemon("full", base=where / "d" if (where / "d").mkdir() is None else None)
        d.start()
        try:
            d.cli("launch", "debian", "one", "--wait")
            with open(where / "ballast", "wb") as f:
                try:
                    while True:
                        f.write(b"\0" * (1 << 24))
                        f.flush()
                except OSError:
                    pass
            failed = d.api("POST", "/v1/spaces/home/instances?wait=60", {"name": "two", "image": "debian"})
            assert d.cli("exec", "one", "--", "echo", "alive").stdout == "alive\n"
            if failed.status >= 400:
                assert failed.status in (507, 500, 503) and failed.json["detail"]
            (where / "ballast").unlink()
            wait_for("there is room", lambda: d.api("POST", "/v1/spaces/home/instances?wait=60", {"name": "three", "image": "debian"}).status < 300)
            wait_for("it runs", lambda: d.instance("three")["state"] == "running")
        finally:
            d.destroy()
    finally:
        subprocess.run(["umount", str(where)], check=True)
