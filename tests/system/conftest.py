# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from daemon import Daemon, wait_for  # noqa: E402


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="system tests need root"))


@pytest.fixture(scope="session")
def shared():
    """One daemon for the tests that only use it; each takes names of its own and deletes what it made."""
    d = Daemon("shared").start()
    yield d
    d.destroy()


@pytest.fixture(scope="module")
def daemon(request):
    """One daemon for the tests of a file, to be killed as they like."""
    d = Daemon(request.module.__name__.removeprefix("test_")).start()
    yield d
    d.destroy()


@pytest.fixture
def d(daemon):
    """That one. After each test everything is deleted, and then nothing is left."""
    yield daemon
    if not daemon.process or daemon.process.poll() is not None:
        daemon.start()
    for i in daemon.api("GET", "/v1/instances").json["items"]:
        daemon.cli("delete", i["name"], "--force", "--space", i["space"])
    for v in daemon.api("GET", "/v1/spaces/home/volumes").json["items"]:
        daemon.cli("volume", "delete", v["id"], "--yes")
    daemon.is_clean()
    wait_for("it holds little", lambda: all(len(os.listdir(f"/proc/{daemon.process.pid}/{x}")) < 64 for x in ("fd", "task")))


@pytest.fixture
def own():
    """A daemon of the test's own, to be killed, starved and restarted. That nothing is left is part of the test."""
    d = Daemon("own").start()
    yield d
    d.destroy()


@pytest.fixture
def name(request, shared):
    """An instance name of this test's own, deleted afterwards."""
    n = "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")[:50].strip("-")
    yield n
    for i in shared.api("GET", "/v1/spaces/home/instances").json["items"]:
        if i["name"] == n or i["name"].startswith(n + "-"):
            shared.cli("delete", i["name"], "--force")
