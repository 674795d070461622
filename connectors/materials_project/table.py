"""The Delta table of summary documents that the Materials Project publishes as open data on S3."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from connectors.http import Patience
from connectors.materials_project.documents import DOCUMENT, LEAVES, PLACES
from connectors.materials_project.versions import in_time
from engine.errors import CrysiftError
from engine.source import SourceInterruptedError

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyarrow.fs import FileSystem

ADDRESS = "s3://materialsproject-build/collections/summary/"
PARTITION = "version"
OPENINGS = 3
"""How often the log of the table is read anew: the library asks again where no answer came, but not where one
broke off."""
COLUMNS = {**LEAVES, "nelements": ("nelements",)}
"""The columns of numbers and texts that hold a field."""
ELEMENT = "structure.sites.species.element"
"""Few different texts, which are read faster as codes."""
OPTIONAL = {"pbc", "last_updated", "energy_above_hull", "theoretical"}

_LIST = re.compile(r"\.(list|bag)\.(item|element|array|array_element)(?=\.|$)")
_REFUSED = re.compile(r"\b40[0134] [A-Z]")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class SummaryTable:
    """One database version of the table, as it stands when it is opened; several threads may read it."""

    def __init__(self, version: str, files: tuple[str, ...], storage: "FileSystem") -> None:
        self.version = version
        self.files = files
        self._storage = storage

    @classmethod
    def open(cls, version: str | None, patience: Patience) -> Self:
        """Open a database version, written with any separators; without it the newest.

        Raises:
            SourceInterruptedError: the bucket does not answer after bounded attempts.
            CrysiftError: there is no such table or version, or it is of a kind that cannot be read.
        """
        retrying = Retrying(
            stop=stop_after_attempt(OPENINGS),
            wait=wait_random_exponential(patience.first_wait, patience.longest_wait),
            retry=retry_if_exception_type(SourceInterruptedError),
            reraise=True,
        )
        table = retrying(_delta_table, patience)
        with _answering(ADDRESS):
            held = {partition.get(PARTITION) for partition in table.partitions()}
            chosen = _choose(version, [name for name in held if name])
            dataset = table.to_pyarrow_dataset(partitions=[(PARTITION, "=", chosen)])
        return cls(chosen, tuple(sorted(dataset.files)), dataset.filesystem)

    @contextmanager
    def file(self, path: str) -> Iterator["SummaryFile"]:
        """Open one of the files; errors within tell whether it is damaged or does not arrive."""
        try:
            remote = pa.PythonFile(_RemoteFile(self._storage, path), mode="r")
            with remote:
                yield SummaryFile(path, remote)
        except (pa.ArrowException, OSError) as error:
            raise CrysiftError(
                f"{ADDRESS}{path} is damaged ({_readable(error)}): take another database version "
                "(mp:@VERSION), or the same materials from the API by a --filter, and tell the Materials "
                "Project"
            ) from error


class SummaryFile:
    """A file of the table, to be read by row groups and fields of ``DOCUMENT``."""

    def __init__(self, path: str, file: pa.NativeFile) -> None:
        self._path = path
        metadata = pq.read_metadata(file)
        columns = (metadata.schema.column(i).path for i in range(len(metadata.schema)))
        self._paths = {_LIST.sub("", column): column for column in columns}
        few = [self._paths[ELEMENT]] if ELEMENT in self._paths else []
        self._parquet = pq.ParquetFile(file, metadata=metadata, read_dictionary=few, pre_buffer=True)

    @property
    def row_groups(self) -> int:
        """How many row groups the file has."""
        return int(self._parquet.num_row_groups)

    def read(self, row_group: int, names: Iterable[str]) -> pa.Table:
        """The fields ``names`` of the documents in a row group, null where the file has none of a field.

        Raises:
            CrysiftError: the file lacks a field that every document needs.
        """
        names = list(names)
        wanted = {name: self._columns(name) for name in names}
        columns = [column for paths in wanted.values() for column in paths]
        group = self._parquet.read_row_group(row_group, columns=columns)
        arrays = [
            _field(group, name) if wanted[name] else pa.nulls(len(group), DOCUMENT.field(name).type)
            for name in names
        ]
        return pa.table(arrays, names=names)

    def _columns(self, name: str) -> list[str]:
        missing = [leaf for leaf in COLUMNS[name] if leaf not in self._paths]
        if not missing:
            return [self._paths[leaf] for leaf in COLUMNS[name]]
        if name in OPTIONAL:
            return []
        raise CrysiftError(
            f"{ADDRESS}{self._path} has no column {missing[0]}: the Materials Project has changed its table; "
            "look for a newer version of crysift, or take another database version (mp:@VERSION)"
        )


class _RemoteFile:
    """A file in the bucket, whose errors say that it does not arrive, in words that no damage has."""

    def __init__(self, storage: "FileSystem", path: str) -> None:
        self._place = ADDRESS + path
        self._file = storage.open_input_file(path)

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def close(self) -> None:
        self._file.close()

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        with _answering(self._place):
            return bytes(self._file.read(size))


@contextmanager
def _answering(place: str) -> Iterator[None]:
    """Tell what the bucket refuses from what it does not answer."""
    try:
        yield
    except Exception as error:  # the library raises exceptions of many kinds, some without a name
        if isinstance(error, CrysiftError):
            raise
        reason = _readable(error)
        if isinstance(error, FileNotFoundError):
            raise SourceInterruptedError(
                f"{place} has just been removed, for the table was rewritten. What arrived before is stored: "
                "run the same command again, it reads the table as it is now"
            ) from error
        if not isinstance(error, OSError) or _REFUSED.search(reason):
            raise CrysiftError(
                f"{place} cannot be read ({reason}): see whether AWS_ENDPOINT_URL is set and leads "
                "elsewhere, or take the materials from the API by a --filter"
            ) from error
        raise SourceInterruptedError(
            f"{place} gave no answer after several attempts; the last one: {reason}. What arrived before is "
            "stored: run the same command again later, it goes on where it stopped"
        ) from error


def _readable(error: Exception) -> str:
    """The text of an error in one line of bounded length; that of the storage library is a coloured tree."""
    words = _ESCAPES.sub("", str(error)).replace("↳", " - ").split()
    return " ".join(words)[:600]


def _delta_table(patience: Patience) -> "DeltaTable":
    from deltalake import DeltaTable

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith("http://") and "AWS_ALLOW_HTTP" not in os.environ:
        raise CrysiftError(
            f"AWS_ENDPOINT_URL is {endpoint}, which is not encrypted: set AWS_ALLOW_HTTP=true if that is "
            "meant, or unset AWS_ENDPOINT_URL to read from the Materials Project"
        )
    with _answering(ADDRESS):
        return DeltaTable(ADDRESS, storage_options=_storage_options(patience))


def _storage_options(patience: Patience) -> dict[str, str]:
    """Anonymous access, with the patience of other requests; AWS_ENDPOINT_URL may lead to another server."""
    return {
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "us-east-1",
        "connect_timeout": f"{patience.connect * 1000:.0f}ms",
        "timeout": f"{patience.answer * 1000:.0f}ms",
        "max_retries": str(patience.attempts - 1),
        "retry_timeout": f"{patience.attempts * patience.answer * 1000:.0f}ms",
        "backoff_config.init_backoff": f"{patience.first_wait * 1000:.0f}ms",
        "backoff_config.max_backoff": f"{patience.longest_wait * 1000:.0f}ms",
    }


def _choose(wanted: str | None, held: list[str]) -> str:
    """The version that is wanted among those that the table holds, or the newest; both are dates."""
    in_order = sorted(held, key=in_time)
    if not in_order:
        raise CrysiftError(
            f"{ADDRESS} is not partitioned by {PARTITION}; look for a newer version of crysift"
        )
    if wanted is None:
        return in_order[-1]
    found = [version for version in in_order if in_time(version) == in_time(wanted)]
    if not found:
        raise CrysiftError(
            f"{ADDRESS} has no database version {wanted!r}; it has {', '.join(in_order)}: name one of these, "
            "or none for the newest"
        )
    return found[-1]


def _field(group: pa.Table, name: str) -> pa.ChunkedArray:
    """A field of the documents, null where an object that holds it is."""
    head, *rest = PLACES.get(name, name).split(".")
    return pc.struct_field(group[head], rest) if rest else group[head]
