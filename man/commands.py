#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""portena(1) out of portena.1.in and the program's own table: commands.py PORTENA INPUT OUTPUT."""
import json
import subprocess
import sys


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\[u2026]").replace("’", "\\(cq").replace("'", "\\(aq")
    return "\\&" + text if text[:1] in (".", "'") else text


def plain(text):
    """Of a sentence: hyphens stay hyphens."""
    text = text.replace("\\", "\\e").replace("…", "\\[u2026]").replace("~", "\\(ti").replace("'", "\\(aq")
    return "\\&" + text if text[:1] in (".", "'") else text


def options(table):
    out = [".Bl -tag -width indent -compact"]
    for o in table:
        names = ([f"\\-{o['letter']}"] if o["letter"] else []) + ["\\-\\-" + escape(o["name"])]
        value = f" \\fI{escape(o['value'])}\\fR" if o.get("value") else ""
        out += [".It \\fB" + "\\fR, \\fB".join(names) + "\\fR" + value, plain(o["help"]) + "."]
    return out + [".El"]


def command(c):
    out = [f".Ss {escape(c['name'])} {escape(c['args'])}".rstrip(), plain(c["summary"]) + "."]
    if c.get("alias"):
        out += [".Ic " + escape(c["alias"]), "is the same."]
    for line in (c.get("text") or "").splitlines():
        out.append(plain(line.strip()))
    if c["options"]:
        out += [".Pp"] + options(c["options"])
    out += [".Pp", "For example:"] + [".Dl $ " + escape(e) for e in c["examples"]]
    return out


def main():
    program, source, target = sys.argv[1:]
    table = json.loads(subprocess.run([program, "__commands"], capture_output=True, check=True).stdout)
    commands = [line for c in table["commands"] if not c["hidden"] for line in command(c)]
    page = open(source).read().replace("@OPTIONS@", "\n".join(options(table["options"]))).replace("@COMMANDS@", "\n".join(commands))
    with open(target, "w") as f:
        f.write(page)


main()
