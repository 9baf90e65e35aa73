# SPDX-License-Identifier: Apache-2.0
"""Users, roles, quotas and tokens over the real daemon; the network of a space between real guests."""
import json
import socket
import time

import pytest
from daemon import wait_for


def user(d, name, password="correct horse battery", **kw):
    answer = d.api("POST", "/v1/users", {"name": name, "password": password, **kw})
    assert answer.status == 201, answer.body
    login = d.api("POST", "/v1/session", {"user": name, "password": password, "token": True})
    assert login.status == 201, login.body
    return {"Authorization": "Bearer " + login.json["token"]}


@pytest.fixture
def space(shared):
    made = []

    def make(name, **quota):
        answer = shared.api("POST", "/v1/spaces", {"name": name, **({"quota": quota} if quota else {})})
        assert answer.status in (201, 202), answer.body
        made.append(name)
        return name
    yield make
    for name in made:
        shared.api("DELETE", f"/v1/spaces/{name}?force=true&wait=300")
        wait_for("the space is gone", lambda n=name: shared.api("GET", f"/v1/spaces/{n}").status == 404)


def test_roles(shared, space):
    space("lab")
    anna, ben = user(shared, "anna"), user(shared, "ben")
    assert shared.api("GET", "/v1/spaces/lab", headers=anna).status == 404
    shared.api("PUT", "/v1/spaces/lab/members/anna", {"role": "owner"})
    shared.api("PUT", "/v1/spaces/lab/members/ben", {"role": "viewer"})
    launch = shared.api("POST", "/v1/spaces/lab/instances?wait=300", {"name": "pc", "image": "debian"}, headers=anna)
    assert launch.status in (200, 201, 202), launch.body
    assert shared.api("GET", "/v1/spaces/lab/instances/pc", headers=ben).json["state"] == "running"
    assert shared.api("POST", "/v1/spaces/lab/instances/pc/actions", {"action": "stop"}, headers=ben).status == 403
    assert shared.api("GET", "/v1/users", headers=anna).status == 403
    # who lost the role lost the space
    assert shared.api("DELETE", "/v1/spaces/lab/members/ben").status in (200, 204)
    assert shared.api("GET", "/v1/spaces/lab/instances/pc", headers=ben).status == 404
    names = [a["user"] for a in shared.api("GET", "/v1/audit?limit=200").json["items"]]
    assert "anna" in names and "ben" in names
    for u in ("anna", "ben"):
        assert shared.api("DELETE", f"/v1/users/{u}").status in (200, 204)
    assert shared.api("GET", "/v1/session", headers=anna).status == 401


def test_quota(shared, space):
    space("small", instances=2, memory=1 << 30)
    url = "/v1/spaces/small/instances"
    assert shared.api("POST", url + "?wait=300", {"name": "a", "image": "debian", "memory": 600 << 20}).status < 300
    over = shared.api("POST", url, {"name": "b", "image": "debian", "memory": 600 << 20})
    assert over.status == 422 and "quota" in over.json["detail"], over.body
    assert shared.api("POST", url + "?wait=300", {"name": "b", "image": "debian", "memory": 100 << 20}).status < 300
    assert shared.api("POST", url, {"name": "c", "image": "debian", "memory": 1 << 24}).status == 422
    assert shared.api("PATCH", url + "/b", {"memory": 900 << 20}).status == 422
    assert [i["name"] for i in shared.api("GET", url).json["items"]] == ["a", "b"]


def test_names_and_isolation(shared, space):
    """Two spaces with the same subnet: names resolve within one, nothing crosses."""
    space("east")
    space("west")
    for s in ("east", "west"):
        for n in ("one", "two"):
            assert shared.api("POST", f"/v1/spaces/{s}/instances?wait=300&wait_ready=300", {"name": n, "image": "debian"}).status < 300
    east = shared.api("GET", "/v1/spaces/east/instances/two").json["address"]
    west = shared.api("GET", "/v1/spaces/west/instances/two").json["address"]
    assert east == west
    for host in ("two", "two.east.internal", east):
        wait_for(f"{host} answers", lambda: shared.cli("exec", "one", "--space", "east", "--", "ping", "-c1", "-W60", host, check=False).returncode == 0)
    foreign = shared.cli("exec", "one", "--space", "east", "--", "getent", "hosts", "two.west.internal", check=False)
    assert foreign.returncode != 0
    shared.cli("stop", "two", "--space", "east", "--force")
    gone = shared.cli("exec", "one", "--space", "east", "--", "ping", "-c1", "-W1", east, check=False)
    assert gone.returncode != 0, "west answered for east"
    # the node's own address and the outside are not reachable: the uplink is "none"
    for target in ("192.0.2.1", "1.1.1.1"):
        assert shared.cli("exec", "one", "--space", "east", "--", "ping", "-c1", "-W1", target, check=False).returncode != 0


def test_two_change_the_same(shared, name):
    shared.cli("launch", "debian", name)
    url = f"/v1/spaces/home/instances/{name}"
    tag = shared.api("GET", url).headers["ETag"]
    first = shared.api("PATCH", url, {"description": "mine"}, headers={"If-Match": tag})
    second = shared.api("PATCH", url, {"description": "theirs"}, headers={"If-Match": tag})
    assert first.status in (200, 202) and second.status == 412
    assert shared.api("GET", url).json["description"] == "mine"


def test_events_tell_of_a_launch(shared, name):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(shared.socket))
    s.sendall(b"GET /v1/events?space=home HTTP/1.1\r\nHost: x\r\n\r\n")
    s.settimeout(300)
    text = b""
    while b"\r\n\r\n" not in text:  # from here on it is told of everything
        text += s.recv(65536)
    shared.cli("launch", "debian", name)
    while b'"running"' not in text or f"instances/{name}".encode() not in text:
        text += s.recv(65536)
    s.close()
    assert b"event: " in text and b"text/event-stream" in text.lower()


def test_tokens(shared):
    anna = user(shared, "carla")
    made = shared.api("POST", "/v1/users/carla/tokens", {"name": "script", "expires_in": "1d", "scope": "read"}, headers=anna)
    assert made.status == 201, made.body
    token = {"Authorization": "Bearer " + made.json["token"]}
    assert shared.api("GET", "/v1/session", headers=token).status == 200
    assert shared.api("PATCH", "/v1/users/carla", {"full_name": "C"}, headers=token).status == 403
    listed = shared.api("GET", "/v1/users/carla/tokens", headers=anna).json["items"]
    assert made.json["token"] not in json.dumps(listed)
    assert shared.api("DELETE", f"/v1/users/carla/tokens/{made.json['id']}", headers=anna).status in (200, 204)
    assert shared.api("GET", "/v1/session", headers=token).status == 401
    shared.api("DELETE", "/v1/users/carla")


def test_wrong_passwords_slow_down(shared):
    user(shared, "dora")
    start, codes = time.monotonic(), []
    for _ in range(12):
        codes.append(shared.api("POST", "/v1/session", {"user": "dora", "password": "wrong"}).status)
        if codes[-1] == 429:
            break
    assert set(codes) <= {401, 429} and (429 in codes or time.monotonic() - start > 3)
    shared.api("DELETE", "/v1/users/dora")


def test_metrics_and_doctor(shared):
    text = shared.api("GET", "/metrics").body.decode()
    assert "portena_instances" in text and "# TYPE" in text
    checks = {i["check"]: i for i in shared.api("GET", "/v1/doctor").json["items"]}
    assert checks and all(i["state"] in ("ok", "warn", "bad") for i in checks.values())
    assert shared.cli("doctor", check=False).stdout
