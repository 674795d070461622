"""Read a page as its own scripts do, in Python."""

import base64
import gzip
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"f32": "<f4", "u8": "u1", "u16": "<u2", "u32": "<u4"}


class Elements(HTMLParser):
    """The scripts of a page by id, as an HTML parser sees them, and its tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: dict[str, str] = {}
        self.encodings: dict[str, str | None] = {}
        self.tags: list[str] = []
        self.policy = self.style = ""
        self._in_style = False
        self._open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._in_style = tag == "style"
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""
        if tag == "script":
            named = dict(attrs)
            self._open = named.get("id") or f"script-{len(self.scripts)}"
            self.scripts[self._open] = ""
            self.encodings[self._open] = named.get("data-encoding")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        if self._open is not None:
            self.scripts[self._open] += data

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False
        if tag == "script":
            self._open = None


@dataclass(frozen=True)
class Page:
    """A page that was read."""

    elements: Elements
    meta: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Page":
        elements = Elements()
        elements.feed(path.read_text("utf-8"))
        return cls(elements, json.loads(elements.scripts["meta"]))

    def block(self, name: str) -> bytes:
        data = base64.b64decode(self.elements.scripts[name], validate=True)
        return gzip.decompress(data) if self.elements.encodings[name] == "gzip+base64" else data

    def array(self, name: str, dtype: str, width: int = 1) -> NDArray[Any]:
        values = np.frombuffer(self.block(name), dtype)
        return values if width == 1 else values.reshape(-1, width)

    def column(self, name: str) -> list[Any]:
        """Values of a column: categories and truth values in place of codes, None where missing."""
        described = next(column for column in self.meta["columns"] if column["name"] == name)
        if described["dtype"] == "utf8":
            return self.block(described["block"]).decode().split("\n")
        values: list[Any] = self.array(described["block"], DTYPES[described["dtype"]]).tolist()
        if described["kind"] == "number":
            return values
        names = [False, True] if described["kind"] == "boolean" else described["categories"]
        return [None if code == described["missing"] else names[code] for code in values]

    def structures(self) -> dict[int, Any]:
        """All structures of the page by row."""
        described, found = self.meta["structures"], {}
        data = self.block(described["block"])
        for row, begin, length in self.array(described["index"], "<u4", 3):
            found[int(row)] = json.loads(gzip.decompress(data[begin : begin + length]))[str(row)]
        return found
