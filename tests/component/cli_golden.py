#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What portena says, word for word: plays the transcripts in golden/ against the fake API.

A transcript has lines "$ portena …" (or "$ fault NAME", "$ reset"), below each what it printed: standard output as it is, standard
error behind "! ", input behind "< " (given, not checked), and "[N]" for an exit status that is not 0. `cli_golden.py PORTENA --update` writes what is said now.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import fake_api

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z|(?!2026-01-31 08:09)\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?|(?<=is built \()\d+ s")


def environment(home, sock):
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")}
    return {**keep, "HOME": home, "XDG_CONFIG_HOME": home + "/.config", "PORTENA_SOCKET": sock, "TZ": "UTC", "TERM": "xterm"}


def blocks(text):
    """(command line, input) of each command."""
    command, given = None, []
    for line in text.splitlines():
        if line.startswith("$ ") or line.startswith("#"):
            if command:
                yield command, given
            command, given = line, []
        elif line.startswith("< "):
            given.append(line[2:])
    if command:
        yield command, given


def play(portena, path, fake):
    fake.reset()
    out = []
    with tempfile.TemporaryDirectory() as home:
        env = environment(home, fake.socket)
        for command, given in blocks(path.read_text()):
            out.append(command)
            if command.startswith("#"):
                continue
            words = shlex.split(command[2:])
            if words[0] == "fault":
                fake.faults = set(words[1:])
                continue
            if words[0] == "reset":
                fake.reset()
                continue
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                env = {**env, name: value}
            out += ["< " + line for line in given]
            r = subprocess.run([portena] + words[1:], input="".join(line + "\n" for line in given), capture_output=True, text=True, env=env,
                               cwd=home, timeout=300)
            said = r.stdout.splitlines() + ["! " + line for line in r.stderr.splitlines()]
            out += [TIME.sub("<time>", line.replace(fake.dir, "<dir>")).rstrip() for line in said]
            if r.returncode:
                out.append(f"[{r.returncode}]")
    return "\n".join(out) + "\n"


def main():
    portena, update = os.path.abspath(sys.argv[1]), "--update" in sys.argv
    fake = fake_api.Fake()
    paths = sorted(GOLDEN.glob("*.txt"))
    failed = 0
    print(f"1..{len(paths)}")
    for n, path in enumerate(paths, 1):
        said = play(portena, path, fake)
        good = said == path.read_text()
        if update and not good:
            path.write_text(said)
            good = True
        print(f"{'ok' if good else 'not ok'} {n} {path.stem}")
        if not good:
            failed += 1
            import difflib
            for line in difflib.unified_diff(path.read_text().splitlines(), said.splitlines(), "golden", "said", lineterm=""):
                print("# " + line)
    fake.close()
    sys.exit(failed > 0)


main()
