#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""with_server.py COMMAND…: runs a command beside a whole Portena (daemon, gateway, built-in images), told by PORTENA_URL, PORTENA_USER and
PORTENA_PASSWORD where it is; then takes it down and fails if anything is left."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from daemon import BUILD, Daemon, free_port  # noqa: E402


def main():
    d = Daemon("server").start()
    try:
        port = free_port()
        d.start_gateway(port)
        name, chosen = d.first_login("a password of the tests")
        env = {**d.env, "HOME": os.environ.get("HOME", "/root"), "PORTENA_URL": f"https://127.0.0.1:{port}", "PORTENA_USER": name,
               "PORTENA_PASSWORD": chosen, "PORTENA_CLI": str(BUILD / "src/cli/portena")}
        code = subprocess.call(sys.argv[1:], env=env)
        if code:
            print("# portenad:", *d.log.read_text().splitlines()[-15:], sep="\n#  ")
    finally:
        d.destroy()
    return code


sys.exit(main())
