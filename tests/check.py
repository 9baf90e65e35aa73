#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every stage of `make check`, counts what each printed, ends with "N passed, N failed, N skipped".

A stage is a command and the format of its results: Meson's testlog.json (with TAP points inside), JUnit XML, TAP, or its
exit status alone. Later stages run even where an earlier one failed, but not without the build they need."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

TOP = pathlib.Path(__file__).resolve().parents[1]
OUT = TOP / "build" / "check"
STAGE_S = 1800  # no stage needs half of it
totals = {"passed": 0, "failed": 0, "skipped": 0}
notes = []


def count(kind, what=None, why=""):
    totals[kind] += 1
    if kind != "passed":
        notes.append(f"{kind}: {what}{': ' + why if why else ''}")


def tell_failures(text):
    """Of a long TAP log, what it says below each point that failed: the end of the log is seldom about it."""
    for found in re.finditer(r"^not ok\b.*\n(?:[ \t]+.*\n)*", text, re.M):
        print(found.group(0)[:4000], flush=True)


def count_tap(text, name):
    points = 0
    for line in text.splitlines():
        found = re.match(r"(not )?ok\b\s*\d*\s*-?\s*([^#]*)(#\s*SKIP\s*(.*))?", line, re.I)
        if not found:
            continue
        points += 1
        if found.group(3):
            count("skipped", f"{name} {found.group(2).strip()}", found.group(4))
        elif found.group(1):
            count("failed", f"{name} {found.group(2).strip()}")
        else:
            count("passed")
    return points


def count_meson(build, log):
    path = build / "meson-logs" / f"{log}.json"
    if not path.exists():
        count("failed", f"{build.name}: no results")
        return
    for line in path.read_text().splitlines():
        test = json.loads(line)
        name, result = f"{build.name}/{test['name']}", test["result"]
        before = dict(totals)
        points = count_tap(test.get("stdout") or "", name)
        if result in ("OK", "EXPECTEDFAIL") and not points:
            count("passed")
        elif result == "SKIP" and not points:
            count("skipped", name, (test.get("stdout") or "").strip().splitlines()[-1:] and test["stdout"].strip().splitlines()[-1])
        elif result not in ("OK", "SKIP", "EXPECTEDFAIL") and totals["failed"] == before["failed"]:
            count("failed", name, result)
        if result not in ("OK", "SKIP", "EXPECTEDFAIL"):
            print((test.get("stdout") or "")[-3000:], (test.get("stderr") or "")[-6000:])


def count_junit(path, name):
    if not path.exists():
        count("failed", f"{name}: no results")
        return
    for case in ET.parse(path).getroot().iter("testcase"):
        label = f"{name} {case.get('classname', '')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            count("failed", label)
        elif skipped is not None:
            count("skipped", label, skipped.get("message", ""))
        else:
            count("passed")


def bounded(argv, out=None, **kw):
    """Runs argv in a process group of its own and returns its exit status; a stage that never ends must not take the others' results with
    it, so after STAGE_S the group is told to end, then made to, and the status is that of a failure."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT if out else None, start_new_session=True,
                             **{"cwd": TOP, **kw})
    for how, patience in ((None, STAGE_S), (signal.SIGTERM, 30), (signal.SIGKILL, None)):
        if how:
            print(f"== no end within {STAGE_S} s, {how.name}", flush=True)
            os.killpg(child.pid, how)
        try:
            rc = child.wait(patience)
            return rc or (1 if how else 0)
        except subprocess.TimeoutExpired:
            continue


def run(name, argv, log=None, **kw):
    start = time.time()
    print(f"== {name}", flush=True)
    if log:
        with open(log, "w") as out:
            rc = bounded(argv, out, **kw)
        if rc:
            print(pathlib.Path(log).read_text(errors="replace")[-8000:])
    else:
        rc = bounded(argv, **kw)
    print(f"== {name}: {'ok' if rc == 0 else f'exit {rc}'}, {time.time() - start:.0f} s", flush=True)
    return rc


def build(name, options, env=None):
    where = TOP / name
    if not (where / "build.ninja").exists():
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        if run(f"configure {name}", ["meson", "setup", "-Dwerror=true", *options, str(where)], env={**os.environ, **(env or {})},
               log=where / "configure.log"):
            count("failed", f"configure {name}")
            return None
    if run(f"compile {name}", ["ninja", "-C", str(where)], log=where / "compile.log"):
        count("failed", f"compile {name}")
        return None
    count("passed")
    return where


def meson_suites(where, suites, log, extra=()):
    args = [a for s in suites for a in ("--suite", s)]
    run(f"{where.name}: {', '.join(suites)}", ["meson", "test", "-C", str(where), "--no-rebuild", "--logbase", log, *args, *extra],
        log=where / f"{log}.out")
    count_meson(where, log)


def pytest(name, *args, log=None):
    xml = OUT / f"{name}.xml"
    xml.unlink(missing_ok=True)
    run(name, ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--junitxml={xml}", *args], log=log)
    return xml, name


def tap(name, argv, env=None, cwd=TOP):
    log = OUT / f"{name}.log"
    before = totals["failed"]
    rc = run(name, argv, log=log, cwd=cwd, env={**os.environ, **(env or {})})
    points = count_tap("\n".join(l for l in log.read_text(errors="replace").splitlines() if not l.startswith(" ")), name)
    if (rc or not points) and totals["failed"] == before:
        count("failed", name, f"exit {rc}, {points} results")
    if totals["failed"] > before:
        tell_failures(log.read_text(errors="replace"))


def main():
    only = set(sys.argv[1:])
    wanted = lambda stage: not only or stage in only
    gcc = build("build", ["--prefix=/usr", "--buildtype=release"])
    OUT.mkdir(parents=True, exist_ok=True)
    if wanted("web"):
        if run("web build", ["web/build.sh"], log=OUT / "web.log"):
            count("failed", "web build")
        else:
            count("passed")
            # As `npm test` does, but Node.js wants its options before the files.
            tap("web", ["node", "--test", "--test-reporter=tap", *map(str, sorted((TOP / "web/test").glob("*.test.mjs")))], cwd=TOP / "web")
    if gcc and wanted("unit"):
        meson_suites(gcc, ["unit", "component"], "unit", ["--timeout-multiplier", "4"])
    if wanted("sanitize"):
        san = build("build-asan", ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false"], {"CC": "clang"})
        if san:
            meson_suites(san, ["unit", "component", "fuzz"], "sanitize", ["--timeout-multiplier", "4"])
    if gcc and wanted("system"):
        with concurrent.futures.ThreadPoolExecutor(1) as beside:  # neither needs what the other makes, nor both processors for long
            images = beside.submit(run, "images", ["/usr/bin/python3", "tests/lib/images.py"], log=OUT / "images.log")
            meson_suites(gcc, ["system"], "system", ["--num-processes", "1", "--timeout-multiplier", "2"])
        if images.result():
            count("failed", "images")
        pc = "tests/system/test_pc.py"  # one guest, most of whose time is its boot
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            its = beside.submit(pytest, "system-pc", pc, log=OUT / "system-pc.log")
            count_junit(*pytest("system", "tests/system", f"--ignore={pc}"))
        count_junit(*its.result())
    if gcc and wanted("browser"):
        tap("browser", ["tests/browser/run.sh"])
    print()
    for note in notes:
        print(note)
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] or not totals["passed"] else 0


sys.exit(main())
