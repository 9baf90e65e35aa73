#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the built-in images once for all tests, through a daemon as a user would, and keeps the files in BUILD/check/images. Run again, it
builds only those whose recipe has changed since. The disk of an unmodified system (pcdisk.py) likewise."""
import hashlib
import pathlib
import platform
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from daemon import IMAGES, TOP, Daemon  # noqa: E402
import pcdisk  # noqa: E402


def fingerprint():
    files = sorted(p for d in ("images", "src/drivers/image") for p in (TOP / d).rglob("*") if p.is_file())
    files += [TOP / "src/sys/arch.c"]
    files += sorted((TOP / "src/helpers").glob("guest[._]*")) + [TOP / "src/base/guest.h"]  # in the kernel's image
    return hashlib.sha256(b"".join(str(p.relative_to(TOP)).encode() + p.read_bytes() for p in files)).hexdigest()


def main():
    pcdisk.build()
    mark = IMAGES.parent / "images.fingerprint"
    if IMAGES.is_dir() and mark.exists() and mark.read_text() == fingerprint():
        print("images are there already")
        return
    shutil.rmtree(IMAGES, ignore_errors=True)
    d = Daemon("images", images=False).start()
    try:
        foreign = platform.machine() != "aarch64" and shutil.which("qemu-aarch64-static")
        for name in sys.argv[1:] or ["debian", "desktop", "kernel", *(["debian:aarch64", "kernel:aarch64"] if foreign else [])]:
            recipe, _, arch = name.partition(":")
            print(d.cli("image", "build", recipe, *(["--arch", arch] if arch else []), timeout=1200).stdout, flush=True)
        d.stop()
        IMAGES.mkdir(parents=True)
        for image in (d.state / "images").iterdir():
            if not image.name.startswith("."):
                shutil.copytree(image, IMAGES / image.name)
        mark.write_text(fingerprint())
    finally:
        d.destroy()


main()
