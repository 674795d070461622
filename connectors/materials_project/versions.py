"""Database versions, which are dates with any separators, some with a number behind (2025.09.25.post1)."""

import re

from engine.errors import CrysiftError


def in_time(version: str) -> tuple[int, ...]:
    """What versions are ordered and told apart by: their numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def parse_version(text: str) -> str:
    """Return what a user writes for a version.

    Raises:
        CrysiftError: there is no date in it.
    """
    if len(in_time(text)) < 2:
        raise CrysiftError(
            f"{text!r} is no database version of the Materials Project; they are dates, as in mp:@2025.09.25"
        )
    return text
