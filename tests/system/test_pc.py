# SPDX-License-Identifier: Apache-2.0
"""An unmodified system, as somebody would bring it along (tests/lib/pcdisk.py): started by UEFI with secure boot from its own disk, told who it is by its seed
disc, reached through QEMU's guest agent, hibernated and resumed, stopped and taken away. One guest: a boot takes a while."""
import json
import os
import signal
import subprocess
import time

import pytest
from daemon import BUILD, Daemon, wait_for
from disks import disc
from pcdisk import DISK, ESP, ROOT, build
from test_robust import power_cut

USER_DATA = "#cloud-config\nusers:\n  - name: anna\n"


@pytest.fixture
def d():
    build()
    one = Daemon("pc").start()
    yield one
    one.destroy()


def sh(d, script, **more):
    return d.cli("exec", "theirs", "--", "sh", "-c", script, **more)


def answers(d, name="theirs"):
    """Its agent does, after whatever else it is at."""
    wait_for(lambda: f"its agent answers: {d.instance(name)} {d.cli('logs', name).stdout[-3000:]}", lambda: d.instance(name)["agent"], 900, 0.2)


def launch(d, tmp_path):
    (tmp_path / "user-data").write_text(USER_DATA)
    d.cli("image", "import", DISK, "brought", timeout=900)
    d.cli("image", "import", disc(tmp_path / "tools.iso"), "tools")
    d.cli("launch", "brought", "theirs", "--hardware", "virtio", "--secure-boot", "--tpm", "--iso", "tools", "--memory", "512M", "--cpu", "2", "--accel", "tcg",
          "--user-data", tmp_path / "user-data")
    i = d.instance("theirs")
    assert (i["model"], i["firmware"], i["agent"]) == ("pc", "uefi", False)
    said = d.cli("exec", "theirs", "--", "true", check=False)
    assert said.returncode and "install qemu-guest-agent" in said.stderr
    answers(d)
    assert "answers" in d.cli("show", "theirs").stdout


def commands(d):
    i = d.instance("theirs")
    wait_for("it has its address", lambda: i["address"] in sh(d, "ip -4 -br a").stdout, 900, 1)
    said = sh(d, "hostname; id -un; getent passwd anna; od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*; ls /dev/tpm0; date +%s").stdout
    assert said.splitlines()[:2] == ["theirs", "root"] and "anna:" in said and "/dev/tpm0" in said, said
    assert said.splitlines()[-3].strip() == "1", "secure boot"
    assert abs(int(said.split()[-1]) - time.time()) < 60
    done = d.cli("exec", "theirs", "--user", "anna", "--cwd", "/tmp", "--env", "A=b=c", "--", "sh", "-c", "id -un; pwd; echo $A; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "anna\n/tmp\nb=c\n", "err\n")
    big = os.urandom(200_000)
    assert sh(d, "cat", input=big, binary=True).stdout == big
    assert sh(d, "head -c 3000000 /dev/zero | tr '\\0' x").stdout == "x" * 3000000
    assert sh(d, "kill -USR1 $$", check=False).returncode in (128 + signal.SIGUSR1, -signal.SIGUSR1)
    done = d.cli("exec", "theirs", "--", "nonesuch", check=False)
    assert done.returncode == 127 and "nonesuch" in done.stderr
    # On a terminal it is as without one; what it cannot do says so.
    done = subprocess.run(["script", "-qec", f"{BUILD}/src/cli/portena exec theirs -- sh -c 'tty; echo here'", "/dev/null"], env=d.env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=600)
    assert "not a tty" in done.stdout and "here" in done.stdout, done
    said = d.cli("shell", "theirs", check=False)
    assert said.returncode and "gives no terminal" in said.stderr
    said = d.cli("ps", "theirs", check=False)
    assert said.returncode and "ps aux" in said.stderr
    # A command that takes its time holds nobody up, and is ended by a signal here.
    long = subprocess.Popen([BUILD / "src/cli/portena", "exec", "theirs", "--", "sh", "-c", "echo $$ > /run/long; exec sleep 1000"], env=d.env, stdin=subprocess.DEVNULL)
    wait_for("it runs", lambda: sh(d, "cat /run/long", check=False).stdout.strip(), 600)
    long.send_signal(signal.SIGTERM)
    assert long.wait(600) in (128 + signal.SIGTERM, -signal.SIGTERM)
    wait_for("it has ended too", lambda: sh(d, "kill -0 $(cat /run/long)", check=False).returncode, 600, 0.2)


def files(d, tmp_path):
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "bytes").write_bytes(os.urandom(300_001))
    (tree / "below/two words").write_text("x\n")
    (tree / "empty").write_text("")
    (tree / "link").symlink_to("below/two words")
    (tree / "bytes").chmod(0o751)
    d.cli("cp", tree, "theirs:/srv/tree")
    assert sh(d, "cd /srv/tree; stat -c '%n %a %s' bytes; readlink link; find . | sort; cat 'below/two words'").stdout == \
        "bytes 751 300001\nbelow/two words\n.\n./below\n./below/two words\n./bytes\n./empty\n./link\nx\n"
    d.cli("cp", "theirs:/srv/tree", tmp_path / "back")
    assert subprocess.run(["diff", "-r", tree, tmp_path / "back"]).returncode == 0
    assert (tmp_path / "back/bytes").stat().st_mode & 0o777 == 0o751 and os.readlink(tmp_path / "back/link") == "below/two words"
    assert not sh(d, "ls -a /srv/tree | grep portena", check=False).stdout
    base = "/v1/spaces/home/instances/theirs/files?path="
    assert {e["name"]: e["type"] for e in d.api("GET", base + "/srv/tree").json["items"]} == \
        {"below": "directory", "bytes": "file", "empty": "file", "link": "symlink"}
    assert d.api("GET", base + "/none").status == 404 and d.api("DELETE", base + "/none").status == 404
    assert d.api("DELETE", base + "/srv/tree/below").status == 409 and d.api("DELETE", base + "/srv/tree&recursive=true").status in (200, 204)
    assert sh(d, "ls /srv").stdout == ""


def exported(d, tmp_path, word):
    """Its disk, taken away: a whole file system with this word on it."""
    raw, root = tmp_path / "out.raw", tmp_path / "root"
    d.cli("export", "theirs", tmp_path / "out.qcow2", timeout=900)
    subprocess.run(["qemu-img", "convert", "-O", "raw", tmp_path / "out.qcow2", raw], check=True)
    subprocess.run(["dd", f"if={raw}", f"of={root}", "bs=1M", f"skip={1 + ESP}", f"count={ROOT}", "conv=sparse"], check=True, capture_output=True)
    check = subprocess.run(["e2fsck", "-fn", root], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    assert subprocess.run(["debugfs", "-R", "cat /srv/kept", root], capture_output=True, text=True).stdout == word + "\n"


def disks(d):
    """Serial number → its device in the guest and its size there."""
    return {x[1]: (x[0], int(x[2])) for x in (line.split() for line in sh(d, "lsblk -bdnpo NAME,SERIAL,SIZE").stdout.splitlines()) if len(x) == 3}


def addresses(d):
    """MAC → the guest's name of the card, and its IPv4 address."""
    said = json.loads(sh(d, "ip -j addr").stdout)
    return {c["address"]: (c["ifname"], next((a["local"] for a in c["addr_info"] if a["family"] == "inet"), None)) for c in said}


def devices_come(d):
    """A disk and a card, in the system as it runs: by their serial number, MAC and address. The disk has grown meanwhile."""
    d.cli("volume", "create", "data", "--size", "64M")
    d.cli("volume", "create", "more", "--size", "32M")
    d.cli("volume", "attach", "theirs", "data")
    d.cli("volume", "attach", "theirs", "more", "--read-only")
    wait_for(lambda: f"both are there: {disks(d)}", lambda: {k: v[1] >> 20 for k, v in disks(d).items() if "portena" in k} ==
             {"portena-disk-0": 64, "portena-disk-1": 32}, 600, 0.5)
    device = disks(d)["portena-disk-0"][0]
    sh(d, f"udevadm settle; mount /dev/disk/by-id/virtio-portena-disk-0 /mnt; echo kept > /mnt/file; sync -f /mnt; grep -q '^{device} /mnt ext4 rw' /proc/mounts")
    assert sh(d, f"dd if=/dev/zero of={disks(d)['portena-disk-1'][0]} count=1 conv=fsync", check=False).returncode, "read-only"
    d.cli("volume", "grow", "data", "128M")
    wait_for(lambda: f"it has grown: {disks(d)}", lambda: disks(d)["portena-disk-0"] == (device, 128 << 20), 600, 0.5)
    d.cli("space", "create", "lab", "--subnet", "10.84.0.0/24")
    d.cli("network", "attach", "theirs", "lab")
    [card] = d.instance("theirs")["nics"]
    assert card["address"].startswith("10.84.0.")
    wait_for(lambda: f"it has the card {card}: {addresses(d)}", lambda: addresses(d).get(card["mac"], ("", None))[1] == card["address"], 600, 0.5)
    return card


def devices_go(d, card):
    """What they were lasted while it slept; taken away, they are gone from the system, and what was written is on the volume."""
    assert sh(d, "cat /mnt/file").stdout == "kept\n"
    assert addresses(d)[card["mac"]][1] == card["address"]
    sh(d, "echo more >> /mnt/file; umount /mnt")
    d.cli("network", "detach", "theirs", card["name"])
    for name in ("data", "more"):
        d.cli("volume", "detach", "theirs", name)
    wait_for(lambda: f"they are gone: {disks(d)} {addresses(d)}", lambda: not any("portena" in k for k in disks(d)) and card["mac"] not in addresses(d), 600, 0.5)
    i = d.instance("theirs")
    assert (i["disks"], i["nics"], i["state"]) == ([], [], "running")
    d.cli("launch", "debian", "mine", "--init", "app", "--", "sleep", "100000")
    d.cli("volume", "attach", "mine", "data")
    assert d.cli("exec", "mine", "--", "cat", "/mnt/data/file").stdout == "kept\nmore\n"
    d.cli("delete", "mine", "--force")
    for name in ("data", "more"):
        d.cli("volume", "delete", name, "--yes")
    d.cli("space", "delete", "lab", "--yes")


def sleep_and_wake(d, wake):
    """What it holds in memory is there again, and its clock is right, though the world has gone on without it."""
    sh(d, "sysctl -w kernel.domainname=remembered >/dev/null; cat /dev/disk/by-label/CIDATA > /dev/null")
    up = float(sh(d, "cut -d ' ' -f 1 /proc/uptime").stdout)
    d.cli("hibernate", "theirs", timeout=900)
    i = d.instance("theirs")
    assert (i["state"], i["error"], i["agent"]) == ("hibernated", None, False)
    assert not any("qemu" in text or "swtpm" in text for text in d.processes().values())
    wake()
    answers(d)
    assert sh(d, "cat /proc/sys/kernel/domainname").stdout == "remembered\n"
    assert float(sh(d, "cut -d ' ' -f 1 /proc/uptime").stdout) >= up
    wait_for("its clock is right", lambda: abs(int(sh(d, "date +%s").stdout) - time.time()) < 10, 600, 0.5)


def test_an_unmodified_system(d, tmp_path):
    launch(d, tmp_path)
    commands(d)
    files(d, tmp_path)
    # Its disk is whole though it runs, because its agent lets it stand still; and then it goes on.
    sh(d, "echo running > /srv/kept")
    exported(d, tmp_path, "running")
    # A daemon that is killed takes nothing along, and the one after it knows at once that the agent answers.
    d.kill()
    d.start()
    answers(d)
    card = devices_come(d)
    sleep_and_wake(d, lambda: d.cli("resume", "theirs", timeout=900))
    devices_go(d, card)

    def after_a_power_cut():
        memory = d.state / "instances" / d.instance("theirs")["id"] / "memory"
        wait_for("it is on the disk", memory.exists, 600)
        power_cut(d)
        d.start()
        d.cli("resume", "theirs", timeout=900)

    sleep_and_wake(d, after_a_power_cut)
    # Its agent is asked to end it, and its disk has all on it.
    sh(d, "echo stopped > /srv/kept; mkdir -p /etc/systemd/logind.conf.d; printf '[Login]\\nHandlePowerKey=ignore\\n' > /etc/systemd/logind.conf.d/no.conf; "
          "systemctl restart systemd-logind 2>/dev/null; true")
    d.cli("stop", "theirs", "--deadline", "800s", timeout=900)
    i = d.instance("theirs")
    assert (i["state"], i["exit_signal"], i["exit_code"]) == ("stopped", 0, 0), i
    exported(d, tmp_path, "stopped")
    d.cli("delete", "theirs")
    d.is_clean()
