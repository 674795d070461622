"""Blocks of data in a page: raw little-endian numbers and text, compressed, as elements that a browser keeps.

The format is that of `src/data.ts`, which reads them.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Encoding = Literal["gzip+base64", "base64"]

GZIP = 31
"""zlib's name for the gzip container with the largest window; it writes no time."""
LEVEL = 9
MANTISSA_BITS = 15
"""Of a measured number's 23: between four and five digits."""
SEPARATOR = "\n"
ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Block:
    """A named block, as it stands in the page."""

    name: str
    data: bytes
    encoding: Encoding = "gzip+base64"

    def html(self) -> bytes:
        """The element; base64 holds no character that could end it."""
        opening = f'<script type="application/octet-stream" id="{self.name}" data-encoding="{self.encoding}">'
        return opening.encode() + base64.b64encode(self.data) + b"</script>\n"

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        return len(Block(self.name, b"", self.encoding).html()) + encoded_bytes(len(self.data))


def encoded_bytes(count: int) -> int:
    """How many characters of base64 so many bytes take."""
    return -(-count // 3) * 4


def numbers(name: str, values: NDArray[Any]) -> Block:
    """Compress an array as raw little-endian numbers of its own type."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return Block(name, gzipped(little.tobytes()))


def text(name: str, values: Iterable[str]) -> Block:
    """Compress one text per row, joined by line feeds; those within a text become spaces."""
    return Block(name, gzipped(SEPARATOR.join(value.replace(SEPARATOR, " ") for value in values).encode()))


def json_block(name: str, value: Any) -> Block:
    """Compress a value as JSON; raises ValueError for numbers that are not finite."""
    document = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Block(name, gzipped(document.encode()))


def gzipped(data: bytes) -> bytes:
    """Compress to one gzip member; equal data give equal bytes."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    return compressor.compress(data) + compressor.flush()


def rounded(values: NDArray[np.float32], bits: int = MANTISSA_BITS) -> NDArray[np.float32]:
    """Round to so many bits of mantissa, which halves the compressed size; NaN stays NaN.

    Ties go up; a number that overflows by it becomes infinite.
    """
    dropped = 23 - bits
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    kept = (raw + np.uint32(1 << (dropped - 1))) & np.uint32((0xFFFFFFFF << dropped) & 0xFFFFFFFF)
    return np.where(np.isnan(values), np.float32(np.nan), kept.view(np.float32))


def json_element(name: str, value: Any) -> bytes:
    """Return an element of JSON whose text cannot end it, nor be taken for a tag or a comment.

    Raises ValueError for numbers that are not finite.
    """
    document = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escaped in ESCAPED.items():
        document = document.replace(character, escaped)
    return f'<script type="application/json" id="{name}">'.encode() + document.encode() + b"</script>\n"
