"""A part whose bytes are not what was committed: the error that says so, and what to do about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from engine.errors import CrysiftError

SUFFIX = ".parquet"
DERIVED = re.compile(r"^(?P<name>.+)-(?P<hash8>[0-9a-f]{8})$")
"""Folder name of a derived table."""

_DECODING = (pa.ArrowException, OSError, ValueError, LookupError, TypeError)


class DamagedPartError(CrysiftError):
    """A part is truncated, empty, altered or foreign; ``table`` is its folder's path or URL."""

    def __init__(self, table: str, part: str, reason: str) -> None:
        super().__init__(table, part, reason)  # all that unpickling needs
        self.table = table
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        """Name the file, what is wrong with it, and the way out."""
        return f"{self.path} is damaged or was not written by crysift ({self.reason}): {self._way_out()}"

    @property
    def path(self) -> str:
        """Path or URL of the file."""
        return f"{self.table}/{self.part}{SUFFIX}"

    @property
    def is_derived(self) -> bool:
        """Whether the part can be made again from another part of the store."""
        return DERIVED.match(self.table.rsplit("/", 1)[-1]) is not None

    def _way_out(self) -> str:
        if self.is_derived:
            return (
                "`crysift verify --repair` takes it away, and the command that made it (featurize, predict; "
                "screen does both) makes it again"
            )
        also = "" if self.table.endswith("/structures") else " and the part of the same name in structures"
        return f"delete the file{also} and run the same command again to ingest it anew from its source"


@contextmanager
def damage_explained(table: str, part: str) -> Iterator[None]:
    """Turn what decoding raises into a DamagedPartError.

    An error of the disk or network (an OSError with an errno) says nothing of the part and passes through.
    """
    try:
        yield
    except _DECODING as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedPartError(table, part, str(error)) from error
