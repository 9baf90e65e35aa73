# SPDX-License-Identifier: Apache-2.0
"""Images made out of nothing: OCI layouts, docker archives, and a registry that serves a layout over HTTP and can be told to misbehave."""
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import tarfile
import threading

MTIME = 1600000000


def entry(name, data=b"", type=tarfile.REGTYPE, **kw):
    return dict(name=name, data=data, type=type, **kw)


def directory(name, **kw):
    return entry(name, type=tarfile.DIRTYPE, mode=kw.pop("mode", 0o755), **kw)


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for e in entries:
            info = tarfile.TarInfo(e["name"])
            info.type, info.mode, info.mtime = e["type"], e.get("mode", 0o644), e.get("mtime", MTIME)
            info.uid, info.gid, info.linkname = e.get("uid", 0), e.get("gid", 0), e.get("link", "")
            info.devmajor, info.devminor = e.get("device", (0, 0))
            info.pax_headers = e.get("pax", {})
            data = e.get("data", b"") if info.type == tarfile.REGTYPE else b""
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def layout(path, layers, config=None, tag="latest", architecture="amd64", media="application/vnd.oci.image.layer.v1.tar+gzip", pack=None):
    """An OCI layout at `path` with these layers (bytes of tar); returns the digest of its manifest."""
    path = pathlib.Path(path)
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(data):
        (blobs / sha(data)).write_bytes(data)
        return {"digest": "sha256:" + sha(data), "size": len(data)}

    packed = [blob(pack(x) if pack else gzip.compress(x, mtime=0)) | {"mediaType": media} for x in layers]
    c = blob(json.dumps({"architecture": architecture, "os": "linux", "config": config or {},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]}}).encode())
    m = blob(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                         "config": c | {"mediaType": "application/vnd.oci.image.config.v1+json"}, "layers": packed}).encode())
    m |= {"mediaType": "application/vnd.oci.image.manifest.v1+json", "annotations": {"org.opencontainers.image.ref.name": tag}}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [m]}))
    return m["digest"]


def docker_archive(path, layers, config=None, name="test/image:1"):
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": config or {},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(x) for x in layers]}}).encode()
    names = [f"{sha(x)}/layer.tar" for x in layers]
    manifest = json.dumps([{"Config": sha(config) + ".json", "RepoTags": [name], "Layers": names}]).encode()
    pathlib.Path(path).write_bytes(tar([entry(sha(config) + ".json", config), entry("manifest.json", manifest)] +
                                       [entry(n, x) for n, x in zip(names, layers)]))


class Registry:
    """The read half of the distribution API (github.com/opencontainers/distribution-spec) over a layout, on loopback. `die_after`: each
    blob breaks off after so many bytes; `stall`: it goes quiet there instead."""

    def __init__(self, path, die_after=None, stall=None, tamper=False):
        layout_path = pathlib.Path(path)
        index = json.loads((layout_path / "index.json").read_text())
        manifest = index["manifests"][0]["digest"].split(":")[1]
        done = threading.Event()
        self.done = done
        self.asked = threading.Event()  # a layer was begun

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.do_GET(head=True)

            def do_GET(self, head=False):
                parts = self.path.split("?")[0].strip("/").split("/")
                if parts == ["v2"]:
                    return self.answer(200, b"{}", "application/json", head)
                what = parts[-1].split(":")[-1]
                if parts[-2] == "manifests":
                    if what not in ("latest", manifest):
                        return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', "application/json", head)
                    what = manifest
                file = layout_path / "blobs" / "sha256" / what
                if not file.exists():
                    return self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}', "application/json", head)
                kind = "application/vnd.oci.image.manifest.v1+json" if parts[-2] == "manifests" else "application/octet-stream"
                self.answer(200, file.read_bytes(), kind, head, blob=parts[-2] == "blobs")

            def answer(self, status, body, kind, head, blob=False):
                whole = body
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if kind.endswith("manifest.v1+json"):
                    self.send_header("Docker-Content-Digest", "sha256:" + sha(whole))
                self.end_headers()
                if head:
                    return
                if blob and tamper and len(body) > 2000:
                    body = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
                cut = die_after if die_after is not None else stall
                if blob and len(body) > 2000:
                    registry.asked.set()
                if blob and cut is not None and len(body) > cut:
                    self.wfile.write(body[:cut])
                    self.wfile.flush()
                    if stall is not None:
                        done.wait(600)
                    self.close_connection = True
                    self.connection.close()
                    return
                self.wfile.write(body)

        registry = self
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    def close(self):
        self.done.set()
        self.server.shutdown()
        self.server.server_close()
