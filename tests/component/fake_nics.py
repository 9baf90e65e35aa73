# SPDX-License-Identifier: Apache-2.0
"""The fake API's routes of further network cards."""
from fake_stream import Refusal
from fake_volumes import route


class Nics:
    @route("POST", "/v1/spaces/{s}/instances/{i}/nics")
    def r_nic_attach(self, s, i):
        o, b = self.find(s, i), self.json()
        if b.get("space") == "same":
            raise Refusal("conflict", f"{i}: it is in the network 10.83.0.0/24 of space {s}, and could not tell that of space same from it",
                          "a space is given another network when it is made:  portena space create NAME --subnet 10.84.0.0/24")
        n = len(o["nics"]) + 1
        o["nics"] = [*o["nics"], {"name": b.get("name", f"eth{n}"), "space": b.get("space", s), "address": b.get("address", "10.84.0.9"),
                                  "address6": "fd84::9", "mac": f"02:00:00:00:01:0{n}"}]
        self.answer(202, {**o, "operation": self.fake.operation("attach", f"spaces/{s}/instances/{i}")})

    @route("DELETE", "/v1/spaces/{s}/instances/{i}/nics/{n}")
    def r_nic_detach(self, s, i, n):
        o = self.find(s, i)
        if n not in [c["name"] for c in o["nics"]]:
            raise Refusal("not-found", f"{i}: it has no further network card called {n}", f"those it has:  portena show {i}")
        o["nics"] = [c for c in o["nics"] if c["name"] != n]
        self.answer(202, {**o, "operation": self.fake.operation("detach", f"spaces/{s}/instances/{i}")})
