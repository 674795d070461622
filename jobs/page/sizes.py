"""Sizes of files as people write them."""

from __future__ import annotations

import re

from engine.errors import CrysiftError

UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "ki": 2**10, "mi": 2**20, "gi": 2**30}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?|)b?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 20MB, 1.5 GB or 512KiB; raises CrysiftError for anything else."""
    match = SIZE.fullmatch(text)
    if match is None:
        raise CrysiftError(f"{text!r} is not a size: write 20MB, 1.5GB or 512KiB")
    return int(float(match[1]) * UNITS[match[2].lower()])


def size_text(count: int) -> str:
    """Return a number of bytes as a person reads it."""
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
