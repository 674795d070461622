"""The template of a page and what is built into it, under a policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
PARTS = {"style": "dist/page.css", "viewer": "dist/viewer.js", "page": "dist/page.js"}
LICENSES = "dist/LICENSES.txt"


@dataclass(frozen=True)
class Template:
    """A page without title and data: text, scripts and style as they were built."""

    text: str
    parts: dict[str, str]
    licenses: str

    @classmethod
    def built(cls) -> Template:
        """Read the template of this installation; raises CrysiftError where it is not built."""
        folder = files("jobs.page")
        try:
            parts = {name: folder.joinpath(path).read_text("utf-8") for name, path in PARTS.items()}
            text = folder.joinpath("page.html").read_text("utf-8")
            licenses = folder.joinpath(LICENSES).read_text("utf-8")
        except FileNotFoundError as error:
            raise CrysiftError(
                f"the page's scripts are missing ({error.filename}): `npm ci && npm run build` in jobs/page "
                "makes them"
            ) from error
        return cls(text, parts, licenses)

    def policy(self, connect: str = "'none'") -> str:
        """Content security policy: only these scripts and this style, and no network but ``connect``."""
        scripts = " ".join(_source(self.parts[name]) for name in ("viewer", "page"))
        return "; ".join(
            [
                "default-src 'none'",
                f"script-src {scripts}",
                f"style-src {_source(self.parts['style'])}",
                "img-src data: blob:",
                f"connect-src {connect}",
                "base-uri 'none'",
                "form-action 'none'",
                "object-src 'none'",
            ]
        )

    def render(self, title: str, data: Iterable[bytes], policy: str) -> Iterator[bytes]:
        """Yield the page piece by piece; what is filled in is not searched for placeholders again."""
        filled = {
            **self.parts,
            "title": escape(title),
            "csp": escape(policy),
            "licenses": escape(self.licenses),
        }
        pieces = PLACEHOLDER.split(self.text)
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                yield piece.encode()
            elif piece == "data":
                yield from data
            else:
                yield filled[piece].encode()


def _source(content: str) -> str:
    """Return how a policy names inline content: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
