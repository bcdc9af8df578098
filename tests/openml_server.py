"""A server on this machine that answers as OpenML does, and a way for scikit-learn to ask it."""

import contextlib
import gzip
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import Request, urlopen

OPENML = "https://www.openml.org"


@dataclass
class Table:
    """A data set of OpenML: ``kinds`` are "numeric", "string", or the values of a category.

    ``content`` is its ARFF file; ``more`` overrides what its description says.
    """

    name: str
    number: int
    kinds: dict
    target: str | None
    content: str
    rows: int
    version: int = 1
    ignored: tuple = ()
    more: dict = field(default_factory=dict)

    @classmethod
    def of_rows(cls, name, number, kinds, target, rows, **more):
        """Return a data set of dense rows; None is a missing value."""
        lines = [",".join("?" if value is None else str(value) for value in row) for row in rows]
        content = "\n".join([*_head(name, kinds), *lines, ""])
        return cls(name, number, kinds, target, content, len(rows), **more)

    @classmethod
    def of_sparse_rows(cls, name, number, kinds, target, rows, **more):
        """Return a data set of sparse rows, each a dictionary from columns to values."""
        lines = ["{" + ",".join(f"{i} {v}" for i, v in sorted(row.items())) + "}" for row in rows]
        content = "\n".join([*_head(name, kinds), *lines, ""])
        return cls(
            name, number, kinds, target, content, len(rows), more={"format": "Sparse_ARFF"}, **more
        )

    def description(self):
        """Return what OpenML says of it."""
        return {
            "id": str(self.number), "name": self.name, "version": str(self.version),
            "description": "words", "format": "ARFF", "status": "active",
            "url": f"{OPENML}/data/v1/download/{self.number}/{self.name}.arff",
            "default_target_attribute": self.target,
            "md5_checksum": hashlib.md5(self.content.encode()).hexdigest(), **self.more,
        }  # fmt: skip

    def features(self):
        """Return what OpenML says of its columns."""
        return [
            {"index": str(i), "name": name, "is_target": str(name == self.target).lower(),
             "data_type": kind if isinstance(kind, str) else "nominal",
             "is_ignore": str(name in self.ignored).lower(), "is_row_identifier": "false",
             "number_of_missing_values": "0"}
            for i, (name, kind) in enumerate(self.kinds.items())
        ]  # fmt: skip


def _head(name, kinds):
    yield f"@RELATION {name}"
    for column, kind in kinds.items():
        said = kind.upper() if isinstance(kind, str) else "{" + ",".join(map(str, kind)) + "}"
        yield f"@ATTRIBUTE '{column}' {said}"
    yield "@DATA"


class OpenML:
    """The server: ``asked`` are the paths that were asked for; set ``broken`` to a status."""

    def __init__(self, tables):
        self.tables, self.asked, self.broken, self.spoil = list(tables), [], None, None
        self.address = ""

    def answer(self, path):
        """Return a status and the bytes that belong to a path."""
        self.asked.append(path)
        if self.broken is not None:
            return self.broken, b"broken"
        if found := re.match(r"/api/v1/json/data/list/data_name/([^/]+)/limit/2(.*)", path):
            version = re.search(r"data_version/(\d+)", found[2])
            known = [t for t in self.tables if t.name.lower() == found[1]
                     and (version is None or t.version == int(version[1]))]  # fmt: skip
            listed = [{"did": t.number, "version": t.version, "status": "active"} for t in known]
            return self._json({"data": {"dataset": listed}}) if listed else (412, b"{}")
        number = re.search(r"/(\d+)(/|$)", path)
        table = next((t for t in self.tables if number and t.number == int(number[1])), None)
        if table is None:
            return 412, b"{}"
        if path.startswith("/data/"):
            content = table.content.encode()
            return 200, content if self.spoil is None else self.spoil(content)
        if "/features/" in path:
            return self._json({"data_features": {"feature": table.features()}})
        if "/qualities/" in path:
            counts = [{"name": "NumberOfInstances", "value": f"{table.rows}.0"}]
            return self._json({"data_qualities": {"quality": counts}})
        return self._json({"data_set_description": table.description()})

    @staticmethod
    def _json(value):
        return 200, json.dumps(value).encode()

    def urlopen(self, request, *args, **options):
        """Ask this server instead of the one that a request names."""
        url = request.full_url
        if not url.startswith(OPENML):
            raise URLError(f"{url} is not on this machine")
        here = Request(
            self.address + url.removeprefix(OPENML), headers=dict(request.header_items())
        )
        return urlopen(here, *args, timeout=30)


@contextlib.contextmanager
def serving(*tables):
    """Serve data sets as long as the ``with`` block lasts."""
    openml = OpenML(tables)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, content = openml.answer(self.path)
            packed = gzip.compress(content, 1)
            self.send_response(status)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    openml.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield openml
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
