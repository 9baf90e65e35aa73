# SPDX-License-Identifier: Apache-2.0
"""The routes of the fake API that are about volumes."""
import datetime
import re

from fake_stream import Refusal

GIB = 1 << 30


def route(method, pattern):
    def add(f):
        f.route = (method, re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern) + "$"))
        return f
    return add


class Volumes:
    def volumes(self):
        then = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        own = [{"id": i["volume"], "name": n, "space": s, "pool": "local", "instance": n, "size": i["disk"], "actual": i["disk"], "used": GIB,
                "attached": None, "path": None, "created": then} for (s, n), i in self.fake.instances.items()]
        return own + list(self.fake.data_volumes.values())

    @route("GET", "/v1/spaces/{s}/volumes")
    def r_volumes(self, s):
        self.answer(200, {"items": self.volumes(), "revision": 2})

    @route("POST", "/v1/spaces/{s}/volumes")
    def r_new_volume(self, s):
        b = self.json()
        if b["name"] in self.fake.data_volumes:
            raise Refusal("conflict", f"space {s} has a volume called {b['name']} already", "choose another name")
        v = {"id": "01k2" + b["name"].ljust(22, "0")[:22], "space": s, "pool": "local", "instance": None, "size": 10 * GIB, "actual": 10 * GIB,
             "used": 4096, "attached": None, "path": None, "created": None, **b}
        self.fake.data_volumes[b["name"]] = v
        self.answer(201, v)

    @route("PATCH", "/v1/spaces/{s}/volumes/{v}")
    def r_grow(self, s, v):
        for i in self.fake.instances.values():
            if i["volume"] == v:
                i["disk"] = self.json()["size"]
        for d in self.fake.data_volumes.values():
            if d["id"] == v:
                d["size"] = d["actual"] = self.json()["size"]
        self.answer(200, {"id": v, "size": self.json()["size"]})

    @route("DELETE", "/v1/spaces/{s}/volumes/{v}")
    def r_del_volume(self, s, v):
        [d] = [d for d in self.fake.data_volumes.values() if d["id"] == v]
        if d["attached"]:
            raise Refusal("conflict", f"volume {d['name']}: {d['attached']} has it",
                          f"nothing was removed; detach it first:  portena volume detach {d['attached']} {d['name']}")
        del self.fake.data_volumes[d["name"]]
        self.answer(204)

    @route("POST", "/v1/spaces/{s}/instances/{i}/disks")
    def r_attach(self, s, i):
        o, b = self.find(s, i), self.json()
        if b["volume"] not in self.fake.data_volumes:
            raise Refusal("not-found", f"space {s} has no volume called {b['volume']}", "those there are: portena volume list")
        path = b.get("path", "/mnt/" + b["volume"])
        self.fake.data_volumes[b["volume"]].update(attached=i, path=path)
        o["disks"] = o["disks"] + [{"volume": b["volume"], "id": self.fake.data_volumes[b["volume"]]["id"], "path": path, "read_only": b["read_only"],
                                    "slot": len(o["disks"]), "change": "none", "force": False}]
        self.answer(202, {**o, "operation": self.fake.operation("attach", f"spaces/{s}/instances/{i}")})

    @route("DELETE", "/v1/spaces/{s}/instances/{i}/disks/{v}")
    def r_detach(self, s, i, v):
        o, fails = self.find(s, i), None
        if "busy" in self.fake.faults and self.query.get("force") != "true":
            fails = {"code": "conflict", "detail": f"volume {v}: in use in {i} at /mnt/{v}, by postgres (231)",
                     "hint": f"it stays attached; end that first, or take it away all the same:  portena volume detach {i} {v} --force"}
        else:
            o["disks"] = [d for d in o["disks"] if d["volume"] != v]
            self.fake.data_volumes[v].update(attached=None, path=None)
        self.answer(202, {**o, "operation": self.fake.operation("detach", f"spaces/{s}/instances/{i}", fails=fails)})
