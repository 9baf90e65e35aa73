#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks every #include "…" under src/ against src/LAYERS."""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parents[2] / "src"


def rules():
    allowed = {}
    for line in (SRC / "LAYERS").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            folder, _, others = line.partition(":")
            allowed[folder.strip()] = others.split()
    return allowed


def violations(allowed):
    for path in sorted(SRC.rglob("*.[ch]")):
        folder = path.relative_to(SRC).parts[0]
        if folder not in allowed:
            yield f"{path}: folder '{folder}' is not in src/LAYERS"
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            target = found.group(1)
            if "/" not in target:
                yield f'{path}:{number}: write the folder: "{target}"'
            elif not (target.split("/")[0] == folder or target.split("/")[0] in allowed[folder] or target in allowed[folder]):
                yield f"{path}:{number}: {folder}/ may not include {target}"


found = list(violations(rules()))
print("\n".join(found))
sys.exit(bool(found))
