#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual: check.py PORTENA PORTENA.1 PAGE… Every command and option of the program is in its page as rendered, and every page renders without
a warning. Without groff only the first is done, on the source."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

program, own, *others = sys.argv[1:]
bad = []
groff = shutil.which("groff")
text = pathlib.Path(own).read_text().replace("\\-", "-").replace("\\fI", "").replace("\\fR", "").replace("\\fB", "")
for page in [own, *others] if groff else []:
    r = subprocess.run([groff, "-mdoc", "-ww", "-Tutf8", "-Kutf8", "-rLL=120n", "-P-c", page], capture_output=True)
    # An image without documentation lacks groff's own local part, which is no fault of the page.
    said = [line for line in r.stderr.decode().splitlines() if "can't find macro file" not in line]
    if r.returncode or said:
        bad.append(f"{page}: " + "\n".join(said))
    if page == own:
        text = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", r.stdout.decode()).replace("−", "-").replace("‐", "-")
        text = re.sub(r"\s+", " ", text)
table = json.loads(subprocess.run([program, "__commands"], capture_output=True, check=True).stdout)
for c in table["commands"]:
    if c["hidden"]:
        continue
    for wanted in [c["name"], *(f"--{o['name']}" for o in c["options"])]:
        if wanted not in text:
            bad.append(f"portena.1: '{wanted}' of {c['name']} is missing")
    if len(c["examples"]) != 2:
        bad.append(f"{c['name']}: the help shows {len(c['examples'])} examples, not two")
    if c["summary"][-1] == "." or not c["summary"][0].isupper() or len(c["summary"]) > 80:
        bad.append(f"{c['name']}: summary '{c['summary']}'")
    letters = [o["letter"] for o in c["options"] + table["options"] if o["letter"]]
    names = [o["name"] for o in c["options"] + table["options"]]
    if len(set(letters)) != len(letters) or len(set(names)) != len(names):
        bad.append(f"{c['name']}: an option twice: {letters} {names}")
print("\n".join(bad))
sys.exit(bool(bad))
