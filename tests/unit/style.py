#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that can be measured, for every file that git knows (all of them, where there is no git)."""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
CODE, SCRIPTS = {".c", ".h"}, {".py", ".sh"}
FILE_LINES, FUNCTION_LINES, TEST_FUNCTION_LINES, LINE_CHARS, TEST_LINE_CHARS = 700, 60, 90, 140, 190
FOREIGN = ("web/", "images/", "tests/fuzz/corpus/", "tests/component/golden/")
# Plain C that no tool of ours builds alone, and so an older way to be included once.
GUARDED = {"src/base/wire.h", "src/helpers/jail.h"}
TABLES = {"src/api/router.c"}  # a line a route
# Where this is worked on, not where it runs: this checkout, what it is kept in, the directory of the build.
SHARED = {"/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/lib", "/var/tmp"}  # no machine's own
HERE = re.compile("|".join(re.escape(str(p)) + r"(?![\w-])" for p in (TOP, TOP.parent, pathlib.Path.cwd())
                           if len(p.parts) > 2 and str(p) not in SHARED) or "(?!)")
# Reserved for examples (RFC 2606, 6761), one word, an address; or a project that is named on purpose, or part of a format.
HOSTS = re.compile(r"([a-z0-9-]+|[\d.]+|.*\.(example|invalid|test|localhost)|example\.(com|org|net)|server\.evil|"
                   r"(www\.)?apache\.org|(\w+\.)*debian\.(org|net)|(\w+\.)*kernel\.org|github\.com|docker\.io|schemas\.dmtf\.org|www\.vmware\.com)", re.I)


def tracked():
    try:
        out = subprocess.run(["git", "-C", TOP, "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
        names = [n for n in out.split("\0") if n]
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(TOP)) for d in ("src", "tests", "man", "docs", "packaging") for p in (TOP / d).rglob("*") if p.is_file()]
    for name in sorted(names):
        path = TOP / name
        if name.startswith(FOREIGN) or path.is_symlink() or not path.is_file():
            continue
        try:
            yield name, path.suffix, path.read_text()
        except UnicodeDecodeError:
            pass


def any_text(name, suffix, text):
    for number, line in enumerate(text.splitlines(), 1):
        if HERE.search(line):
            yield number, "names a path of the machine it was written on"
        for host in re.findall(r"https?://([A-Za-z0-9.-]*[A-Za-z0-9])", line):
            if not HOSTS.fullmatch(host):
                yield number, f"names the host {host}: examples end in .example"


def code_and_scripts(name, suffix, text):
    lines = text.splitlines()
    if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(lines[:2]):
        yield 1, "says no licence: // SPDX-License-Identifier: Apache-2.0"
    if len(lines) > FILE_LINES:
        yield len(lines), f"has {len(lines)} lines, more than {FILE_LINES}: which two subjects share it?"
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield len(lines), "does not end in one line break"
    for number, line in enumerate(lines, 1):
        if name != "tests/unit/style.py" and re.search(r"\b(TODO|FIXME|XXX)\b(?!X)", line):
            yield number, "is not done: do it, or make it an issue"
        if line != line.rstrip():
            yield number, "ends in blanks"
        if "\t" in line:
            yield number, "holds a tab"


def c_code(name, suffix, text):
    lines, start = text.splitlines(), None
    test = name.startswith("tests/")
    for number, line in enumerate(lines, 1):
        if len(line) > (TEST_LINE_CHARS if test else LINE_CHARS) and name not in TABLES:
            yield number, f"has {len(line)} characters"
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > (TEST_FUNCTION_LINES if test else FUNCTION_LINES):
                yield start - 1, f"{lines[start - 2][:40]}… has {number - start - 1} lines"
            start = None
    if suffix == ".h" and name not in GUARDED and "#pragma once" not in lines:
        yield 1, "has no #pragma once"
    if suffix == ".h" and name not in GUARDED:
        yield from public_names(name, lines)
    own = pathlib.Path(name).with_suffix(".h")
    if suffix == ".c" and name.startswith("src/") and not name.startswith("src/helpers/") and (TOP / own).exists():
        first = re.search(r'^#\s*include\s+(\S+)', text, re.M)
        if first and first.group(1) != f'"{own.relative_to("src")}"':
            yield 1, f"does not include its own header first: {own.relative_to('src')}"


def public_names(name, lines):
    """What a header declares begins with pt_ or Pt, so that two folders' names cannot meet. Helpers are programs of their own."""
    if not name.startswith("src/") or name.startswith("src/helpers/"):
        return
    for number, line in enumerate(lines, 1):
        found = re.match(r"(?!typedef|static|return|G_DEFINE|#|PT_)[A-Za-z_][\w ]*[ *]+(\w+)\(", line)
        if found and not found.group(1).startswith("pt_"):
            yield number, f"declares {found.group(1)}: public names begin with pt_"


found = []
for name, suffix, text in tracked():
    checks = [any_text]
    if suffix in CODE | SCRIPTS:
        checks.append(code_and_scripts)
    if suffix in CODE:
        checks.append(c_code)
    for check in checks:
        found += [f"{name}:{number}: {what}" for number, what in check(name, suffix, text)]
print("\n".join(found))
sys.exit(bool(found))
