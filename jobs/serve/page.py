"""A page that `crysift report` wrote, changed so that it asks the server for what it lacks."""

from __future__ import annotations

import base64
import json
import re
import tempfile
import zlib
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import CrysiftError
from jobs.page.blocks import GZIP, SEPARATOR, json_element

if TYPE_CHECKING:
    from engine.store import Store

API = "/api"
META = re.compile(rb'<script type="application/json" id="meta">(.*?)</script>\n?', re.DOTALL)
POLICY = re.compile(rb'(http-equiv="Content-Security-Policy"\s+content=")([^"]*)"', re.IGNORECASE)
ALONE, WITH_SERVER = b"connect-src &#x27;none&#x27;", b"connect-src &#x27;self&#x27;"


@dataclass(frozen=True)
class ServedPage:
    """The page, the policy for its header, and the structure of each of its rows."""

    html: bytes
    policy: str
    structure_ids: list[str]

    @classmethod
    def read(cls, path: Path) -> ServedPage:
        """Read a page; raises CrysiftError for a file that `crysift report` did not write."""
        html = path.read_bytes()
        meta, policy = META.search(html), POLICY.search(html)
        if meta is None or policy is None or ALONE not in policy[2]:
            raise CrysiftError(
                f"{path} is no page of `crysift report`: name one, or leave --report out to make one"
            )
        document = json.loads(meta[1])
        ids = _texts(html, document, "structure_id")
        served = json_element("meta", {**document, "served": {"api": API}})
        html = html[: meta.start()] + served + html[meta.end() :]
        html = POLICY.sub(lambda found: found[0].replace(ALONE, WITH_SERVER), html, count=1)
        header = unescape(policy[2].replace(ALONE, WITH_SERVER).decode())
        return cls(html, f"{header}; frame-ancestors 'none'", ids)

    @classmethod
    def of_store(cls, store: Store) -> ServedPage:
        """Make the page of a store; raises what `write_report` raises."""
        from jobs.page.pack import ReportSettings, write_report

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.html"
            write_report(store, path, ReportSettings())
            return cls.read(path)


def _texts(html: bytes, document: dict[str, list[dict[str, str]]], name: str) -> list[str]:
    """Decode a column of texts."""
    block = next(column["block"] for column in document["columns"] if column["name"] == name)
    begin = html.index(b">", html.index(f' id="{block}" '.encode())) + 1
    data = base64.b64decode(html[begin : html.index(b"<", begin)])
    return zlib.decompress(data, GZIP).decode().split(SEPARATOR)
